//! What differs between operating systems in how a process dies and what it may use.

use crate::text::one_line;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Asks the system to kill this process when the one that started it dies, where it can be asked. Elsewhere the
/// closed connection is what ends a worker.
pub fn die_with_parent() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
}

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
    std::panic::set_hook(Box::new(|info| {
        if QUIET.get() {
            return;
        }
        let text = one_line(info.payload_as_str().unwrap_or("no message"));
        let place = info.location().map_or(String::new(), |at| format!(" at {}:{}", at.file(), at.line()));
        eprintln!("inferhost: internal error{place}: {text}; please report this");
    }));
}
