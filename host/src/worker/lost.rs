//! A worker that is no more: how it ended, and what that means for the run it held.

use crate::record::{Degraded, DegradedKind, Stage};
use crate::telemetry::counter;
use crate::text;
use std::process::ExitStatus;
use std::time::Duration;

const SIGINT: i32 = 2;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// The run it held is to be recorded so.
    Degraded(Degraded),
    /// The user asked the host to stop; nothing is to be recorded.
    Interrupted,
}

/// The end of a worker process, classified.
pub(super) fn degraded(
    stage: Stage,
    status: Option<ExitStatus>,
    killed_for_memory: bool,
    tail: &str,
) -> Degraded {
    let (signal, exit_code) = (status.and_then(signal_of), status.and_then(|s| s.code()));
    let last = last_line(tail);
    // The kernel's counter is the machine's, so it speaks of this worker only where SIGKILL ended it.
    let killed_for_memory = killed_for_memory && signal == Some(SIGKILL);
    let aborted = signal.is_none_or(|signal| signal == SIGABRT);
    let out_of_memory = killed_for_memory || (aborted && says_out_of_memory(tail));
    let how = match (signal, exit_code) {
        (Some(signal), _) => format!("the worker was ended by signal {signal}{}", signal_name(signal)),
        (None, Some(code)) => format!("the worker exited with code {code}"),
        (None, None) => "the worker closed its connection".into(),
    };
    let message = match last {
        Some(line) => format!("{how}; its last words: {line}"),
        None => how,
    };
    let kind = if out_of_memory { DegradedKind::OutOfMemory } else { DegradedKind::Crashed };
    Degraded { kind, stage, message, signal, exit_code }
}

/// Whether a signal that users and job schedulers send to whole groups of processes ended the worker.
pub(super) fn asked_to_end(status: Option<ExitStatus>) -> bool {
    status.and_then(signal_of).is_some_and(|signal| [SIGINT, SIGTERM].contains(&signal))
}

/// Whether it was ended by what cannot be resisted.
pub(super) fn was_killed(status: ExitStatus) -> bool {
    // Elsewhere than on Unix a process that is killed exits with 1, like one that fails.
    signal_of(status).map_or(cfg!(not(unix)), |signal| signal == SIGKILL)
}

/// A deadline that passed.
pub(super) fn timeout(stage: Stage, deadline: Duration, tail: &str) -> Degraded {
    let seconds = deadline.as_secs_f64();
    let last = last_line(tail).map_or(String::new(), |line| format!("; its last words: {line}"));
    let message = format!("no answer within {seconds:.1} s, so the worker was killed{last}");
    Degraded::new(DegradedKind::Timeout, stage, message)
}

/// What Rust's and C++'s allocators print before they abort.
fn says_out_of_memory(tail: &str) -> bool {
    tail.contains("memory allocation of") || tail.contains("std::bad_alloc")
}

/// The line that says most: of a Rust or C++ program's end where there is one, as a backtrace may follow it.
fn last_line(tail: &str) -> Option<String> {
    let mut lines = tail.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let telling = |line: &&str| {
        ["memory allocation of", "panicked at", "terminate called"].iter().any(|t| line.contains(t))
    };
    let line = lines.clone().find(telling).or_else(|| lines.next())?;
    Some(text::clipped(line, 200))
}

/// How many processes the kernel has killed for want of memory since boot; none where it does not say.
pub(super) fn oom_kills() -> Option<u64> {
    counter(&std::fs::read_to_string("/proc/vmstat").ok()?, "oom_kill")
}

#[cfg(unix)]
fn signal_of(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal_of(_: ExitStatus) -> Option<i32> {
    None
}

#[cfg(unix)]
fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or(String::new(), |name| format!(" ({name})"))
}

#[cfg(not(unix))]
fn signal_name(_: i32) -> String {
    String::new()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn ends_are_told_apart() {
        let of = |raw, oom, tail| degraded(Stage::Run, Some(ExitStatus::from_raw(raw)), oom, tail);
        let segfault = of(11, false, "noise\nlast line\n");
        assert_eq!(
            (segfault.kind, segfault.signal, segfault.exit_code),
            (DegradedKind::Crashed, Some(11), None)
        );
        assert!(segfault.message.ends_with("signal 11 (SIGSEGV); its last words: last line"));
        let exit = of(3 << 8, false, "");
        assert_eq!((exit.kind, exit.exit_code), (DegradedKind::Crashed, Some(3)));
        assert_eq!(of(9, true, "").kind, DegradedKind::OutOfMemory);
        assert_eq!(of(6, false, "memory allocation of 64 bytes failed").kind, DegradedKind::OutOfMemory);
    }

    #[test]
    fn last_words_are_one_harmless_line() {
        let degraded = degraded(Stage::Run, None, false, "a\n\u{1b}[31mred\u{7}\n\n");
        assert!(degraded.message.ends_with("its last words: red"), "{}", degraded.message);
    }
}
