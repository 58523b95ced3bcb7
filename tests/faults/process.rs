//! What a plugin does to the process it is in: the next run has another.

use super::{GENERATE, message, one_each, outcome};
use crate::support::processes::worker_of;
use crate::support::{Host, config, faulty, wait_until};
use inferhost::record::{DegradedKind, Status};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A case's options, what its run ends as, the signal if one ended the worker.
type Case<'a> = (&'a str, &'a str, Option<i32>);

#[track_caller]
fn check(run: &str, cases: &[Case<'_>]) {
    let host = Host::new();
    let options: Vec<&str> = cases.iter().map(|(options, ..)| *options).chain([""]).collect();
    let (ended, records) = one_each(&host, &format!("{GENERATE}\n{run}"), &options);
    ended.succeeds();
    for ((options, kind, signal), record) in cases.iter().zip(&records) {
        assert_eq!(outcome(record), *kind, "{options}: {}", message(record));
        // Where none is expected, a worker without its channel may have ended itself, or been ended, by SIGKILL.
        let found = record.degraded.as_ref().and_then(|d| d.signal).filter(|_| signal.is_some());
        assert_eq!(found, *signal, "{options}: {}", message(record));
    }
    assert_eq!(outcome(&records[cases.len()]), "ok", "the sound backend is untouched");
    host.leaves_nothing();
}

#[test]
fn spoilt_memory_ends_the_worker_alone() {
    check(
        "",
        &[
            ("fault = \"heap_corruption\"", "crashed", Some(6)),
            ("fault = \"double_free\"", "crashed", Some(6)),
            ("fault = \"stack_overflow\"", "crashed", Some(6)),
        ],
    );
}

#[test]
fn closed_and_used_up_descriptors_end_the_worker_at_most() {
    check(
        "",
        &[
            ("fault = \"eat_descriptors\"", "ok", None),
            ("fault = \"close_descriptors\"", "crashed", None),
            ("fault = \"close_all_descriptors\"", "crashed", None),
            ("fault = \"close_all_descriptors\", then = \"spin\"", "crashed", None),
        ],
    );
}

#[test]
fn signals_and_surroundings_do_not_reach_the_host() {
    check(
        "deadline_s = 2\nopen_deadline_s = 30",
        &[
            ("fault = \"ignore_signals\"", "ok", None),
            ("fault = \"surroundings\"", "ok", None),
            ("fault = \"busy_threads\"", "ok", None),
            ("fault = \"ignore_signals\", then = \"spin\"", "timeout", None),
            ("fault = \"segfault_handler\"", "timeout", None),
            ("fault = \"spin\"", "timeout", None),
        ],
    );
}

/// The host waits for nothing that a worker does not do, and understands nothing that it should not have written.
#[test]
fn nonsense_in_the_channel_ends_at_the_deadline() {
    check(
        "deadline_s = 2\nopen_deadline_s = 30",
        &[
            ("fault = \"channel_garbage\"", "timeout", None),
            ("fault = \"channel_flood\"", "timeout", None),
            ("fault = \"stop\"", "timeout", None),
        ],
    );
}

#[test]
fn a_worker_stopped_from_outside_is_killed_at_the_deadline() {
    let host = Host::new();
    let run = "modes = [\"prefill\"]\nwarmups = 0\nrepetitions = 3\ndeadline_s = 2\nopen_deadline_s = 30";
    let begun = host.path("begun");
    let options = format!("fault = \"slow\", delay_ms = 300, once_file = {:?}", begun.display().to_string());
    host.write("config.toml", &config(run, &faulty("slow", &options)));
    let mut child = host.start(&["run", "config.toml", "--out", "out"]);
    wait_until("the first run", || begun.exists());
    let worker = Pid::from_raw(i32::try_from(worker_of(child.id()).unwrap()).unwrap());
    kill(worker, Signal::SIGSTOP).unwrap();
    assert!(child.wait().unwrap().success());
    let records = host.records();
    let kinds: Vec<_> = records.iter().map(|r| r.degraded.as_ref().map(|d| d.kind)).collect();
    assert_eq!(kinds, [Some(DegradedKind::Timeout), None, None]);
    assert!(records[1].status == Status::Ok && records[1].worker_pid != records[0].worker_pid);
    host.leaves_nothing();
}
