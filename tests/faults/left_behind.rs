//! What a plugin leaves behind: processes in the worker's group and out of it, threads, files, handlers that run at
//! exit. All of it goes with the worker; where the host is killed, with the host.

use super::{GENERATE, message, one_each, outcome};
use crate::support::processes::{guard_of, of_hosts_in, worker_of, zombies_of};
use crate::support::{Host, config, ended, faulty, wait_until};
use inferhost::record::Mode;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::process::Child;

/// One run of each plugin, which ends as it is said beside its options and leaves nothing.
#[track_caller]
fn each_ends_as<const N: usize>(cases: [(&str, &str); N]) {
    let host = Host::new();
    let run = format!("{GENERATE}\ndeadline_s = 2\nopen_deadline_s = 30");
    let (ended, records) = one_each(&host, &run, &cases.map(|(options, _)| options));
    ended.succeeds();
    for ((options, kind), record) in cases.iter().zip(&records) {
        assert_eq!(outcome(record), *kind, "{options}: {}", message(record));
    }
    host.leaves_nothing();
}

#[test]
fn what_a_plugin_leaves_goes_with_its_worker() {
    let cases = [
        ("fault = \"children\"", "ok"),
        ("fault = \"daemons\"", "ok"),
        ("fault = \"daemons\", then = \"abort\"", "crashed"),
        ("fault = \"children\", then = \"daemons\", stage = \"open\"", "ok"),
        ("fault = \"children\", then = \"segfault\"", "crashed"),
        ("fault = \"daemons\", then = \"hang\"", "timeout"),
        ("fault = \"daemons\", then = \"close_all_descriptors\"", "crashed"),
        ("fault = \"temporary_files\"", "ok"),
        ("fault = \"temporary_files\", then = \"abort\"", "crashed"),
    ];
    each_ends_as(cases);
}

/// A child that returns from the call like its parent answers, too: a second reply to the same request, which must not
/// be taken for the reply to the next.
#[test]
fn a_twin_of_the_worker_is_not_heard() {
    let host = Host::new();
    let run = "modes = [\"prefill\", \"generate\"]\nwarmups = 0\nrepetitions = 10";
    let twin = faulty("twin", "fault = \"twin\", after = 3");
    let (ended, records) = host.matrix(&config(run, &(twin + &faulty("good", ""))));
    ended.succeeds();
    let digest = |mode, backend| {
        let of: Vec<_> = records.iter().filter(|r| r.mode == mode && r.backend == backend).collect();
        assert!(of.len() == 10 && of.iter().all(|record| outcome(record) == "ok"), "{of:?}");
        let digests: BTreeSet<_> = of.iter().map(|record| record.output_digest.clone()).collect();
        assert_eq!(digests.len(), 1, "each reply is that of its own run");
        digests
    };
    for mode in [Mode::Prefill, Mode::Generate] {
        assert_eq!(digest(mode, "twin"), digest(mode, "good"));
    }
    host.leaves_nothing();
}

#[test]
fn what_happens_at_exit_takes_no_record_along() {
    let cases = [
        // Nothing of a worker that has done its work is run any more.
        ("fault = \"exit_in_drop\"", "ok"),
        ("fault = \"exit_handler\"", "timeout"),
        ("fault = \"thread_destructor\"", "crashed"),
    ];
    each_ends_as(cases);
}

/// A host whose worker hangs with a daemon beside it.
fn with_daemons(host: &Host) -> (Child, u32) {
    let hangs = host.path("hangs");
    let once = format!("once_file = {:?}", hangs.display().to_string());
    let backend = faulty("bad", &format!("fault = \"daemons\", then = \"hang\", after = 2, {once}"));
    host.write("config.toml", &config("modes = [\"prefill\"]\nwarmups = 0\nrepetitions = 4", &backend));
    let child = host.start(&["run", "config.toml", "--out", "out"]);
    wait_until("the plugin to hang", || hangs.exists());
    let mut worker = None;
    wait_until("its daemons", || {
        worker = worker_of(child.id());
        of_hosts_in(host.temporary()).len() >= 2
    });
    (child, worker.unwrap())
}

#[test]
fn a_host_that_is_killed_leaves_nothing_either() {
    let host = Host::new();
    let (mut child, _) = with_daemons(&host);
    child.kill().unwrap();
    child.wait().unwrap();
    host.leaves_nothing();
    host.run(&["run", "config.toml", "--out", "out", "--resume"]).succeeds();
    host.leaves_nothing();
}

#[test]
fn a_stopped_worker_ends_with_its_host() {
    let host = Host::new();
    let (mut child, worker) = with_daemons(&host);
    kill(Pid::from_raw(i32::try_from(worker).unwrap()), Signal::SIGSTOP).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    host.leaves_nothing();
}

/// What outlives even the guard is removed by the next host.
#[test]
fn what_a_killed_guard_leaves_is_removed_by_the_next_host() {
    let host = Host::new();
    let (mut child, worker) = with_daemons(&host);
    let guard = guard_of(child.id()).unwrap();
    for pid in [guard, child.id(), worker] {
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    }
    child.wait().unwrap();
    host.run(&["run", "config.toml", "--out", "out", "--resume"]).succeeds();
    host.leaves_nothing();
}

#[test]
fn a_host_reaps_every_worker_and_every_orphan() {
    let host = Host::new();
    let hangs = host.path("hangs");
    let text = hangs.display().to_string();
    let backends = faulty("bad", "fault = \"daemons\", then = \"abort\"")
        + &faulty("last", &format!("fault = \"hang\", once_file = {text:?}"));
    host.write(
        "config.toml",
        &config("modes = [\"prefill\"]\nwarmups = 0\nrepetitions = 4\nshuffle = false", &backends),
    );
    let mut child = host.start(&["run", "config.toml", "--out", "out"]);
    wait_until("the plugin to hang", || hangs.exists());
    assert_eq!(zombies_of(child.id()).len(), 0);
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(ended(&mut child), Some(130));
    host.leaves_nothing();
}
