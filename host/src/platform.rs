//! What differs between operating systems in how a process dies and what it may use.

use crate::output;
use crate::text::one_line;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Limits what this process may allocate, in bytes of address space.
///
/// # Errors
/// What the system said.
#[cfg(unix)]
pub fn limit_memory(bytes: u64) -> std::io::Result<()> {
    use nix::sys::resource::{Resource, setrlimit};
    setrlimit(Resource::RLIMIT_AS, bytes, bytes).map_err(std::io::Error::from)
}

/// Limits what this process may allocate.
///
/// # Errors
/// Always: there is no such limit here.
#[cfg(not(unix))]
pub fn limit_memory(_: u64) -> std::io::Result<()> {
    Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "memory_limit_mb works on Unix only"))
}

/// Ends the process without running exit handlers, which may hang inside a plugin's library, and with it the
/// processes a plugin started, where it leads their group.
pub fn exit_now() -> ! {
    #[cfg(unix)]
    {
        use nix::sys::signal::{Signal, kill, killpg};
        let this = nix::unistd::Pid::this();
        if nix::unistd::getpgrp() == this {
            let _ = killpg(this, Signal::SIGKILL);
        }
        let _ = kill(this, Signal::SIGKILL);
    }
    std::process::abort()
}

/// A file that may not grow further is to give a write error, as a full disk does, and not to end the process.
pub fn survive_file_size_limit() {
    #[cfg(unix)]
    {
        use nix::sys::signal::{SigSet, Signal};
        // Blocked it waits for ever. Every thread inherits that, and no process that is started.
        let _ = SigSet::from(Signal::SIGXFSZ).thread_block();
    }
}

thread_local! {
    /// Whether a panic of this thread is caught and said in other words.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What `work` gives; none where a library panics in it over input that it does not expect, of which nothing is printed.
pub fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = QUIET.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work)).ok();
    QUIET.set(before);
    done
}

/// Makes a panic one line on standard error, without a backtrace.
pub fn quiet_panics() {
    one_line_panics(|place, text| format!("inferhost: internal error{place}: {text}; please report this"));
}

/// The same for a worker, where what panics may be the host's code and its cause the plugin: the descriptors it
/// closed, the memory it spoilt.
pub fn quiet_panics_of_worker() {
    one_line_panics(|place, text| format!("the worker panicked{place}: {text}"));
}

fn one_line_panics(line: impl Fn(&str, &str) -> String + Send + Sync + 'static) {
    std::panic::set_hook(Box::new(move |info| {
        if QUIET.get() {
            return;
        }
        let text = one_line(info.payload_as_str().unwrap_or("no message"));
        let place = info.location().map_or(String::new(), |at| format!(" at {}:{}", at.file(), at.line()));
        output::say(&line(&place, &text));
    }));
}
