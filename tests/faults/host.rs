//! What happens to the host itself: signals, terminals that go away, too few descriptors, and being killed over and over.

use crate::support::processes::{is_alive, worker_of};
use crate::support::{Ended, Host, config, ended, faulty, wait_until};
use inferhost::record::{Record, Status};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::{RngExt, SeedableRng};
use std::collections::HashSet;
use std::process::{Child, Stdio};

const RUN: [&str; 4] = ["run", "config.toml", "--out", "out"];
const RESUME: [&str; 5] = ["run", "config.toml", "--out", "out", "--resume"];

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[track_caller]
fn each_once(records: &[Record], planned: usize) {
    let keys: HashSet<_> = records.iter().map(|r| (&r.cell, r.round, r.repetition)).collect();
    assert_eq!((keys.len(), records.len()), (planned, planned), "none lost, none doubled");
}

/// A host whose plugin hangs once, in this stage.
fn hanging(host: &Host, stage: &str) -> Child {
    let hangs = host.path(&format!("hangs-{stage}"));
    let once = hangs.display().to_string();
    let options = format!("fault = \"hang\", stage = {stage:?}, once_file = {once:?}");
    host.write("config.toml", &config("modes = [\"prefill\"]\nrepetitions = 3", &faulty("bad", &options)));
    let child = host.start(&RUN);
    wait_until("the plugin to hang", || hangs.exists());
    child
}

#[test]
fn a_request_to_end_is_heard_wherever_the_worker_is() {
    for (stage, signal) in [
        ("describe", Signal::SIGINT),
        ("open", Signal::SIGINT),
        ("prefill", Signal::SIGTERM),
        ("any", Signal::SIGHUP),
    ] {
        let host = Host::new();
        let mut child = hanging(&host, stage);
        let worker = worker_of(child.id()).unwrap();
        send(&child, signal);
        assert_eq!(ended(&mut child), Some(130), "{signal} in {stage}");
        assert!(!is_alive(worker), "{signal} in {stage}");
        host.leaves_nothing();
        let again = if stage == "describe" { &RUN[..] } else { &RESUME[..] };
        host.run(again).succeeds();
        each_once(&host.records(), 3);
    }
}

/// As `inferhost run | head` and a closed terminal do.
#[test]
fn nobody_needs_to_read_what_the_host_prints() {
    let cases = [
        ("exec \"$@\" >&- 2>&-", "closed"),
        ("exec \"$@\" >/dev/full 2>/dev/full", "full"),
        ("exec \"$@\" 2>&1 | true", "a pipe without a reader"),
    ];
    for (script, what) in cases {
        let host = Host::new();
        let backends = faulty("bad", "fault = \"abort\", every = 2") + &faulty("good", "");
        host.write("config.toml", &config("modes = [\"prefill\"]\nwarmups = 0\nrepetitions = 3", &backends));
        let ended = Ended::of(host.wrapped(script, &RUN).output().unwrap());
        assert!(
            !ended.stderr.contains("panicked") && !ended.stderr.contains("internal error"),
            "{}",
            ended.stderr
        );
        let expected = if what == "full" { Some(1) } else { Some(0) };
        assert_eq!(ended.code, expected, "standard output and error are {what}");
        each_once(&host.records(), 6);
        assert!(host.path("out/report.html").exists());
        host.leaves_nothing();
    }
}

/// Either all runs are recorded, or one line says that descriptors ran out; and then `--resume` completes the records.
#[test]
fn too_few_descriptors_are_said_to_be_too_few() {
    let backends = faulty("bad", "fault = \"abort\", every = 2") + &faulty("good", "");
    let (mut refused, mut done) = (0, 0);
    for limit in [6, 8, 10, 12, 13, 14, 16, 20, 32] {
        let host = Host::new();
        host.write("config.toml", &config("modes = [\"prefill\"]\nwarmups = 0\nrepetitions = 2", &backends));
        let script = format!("ulimit -n {limit} && exec \"$@\"");
        let limited = Ended::of(host.wrapped(&script, &RUN).output().unwrap());
        if limited.code == Some(0) {
            done += 1;
        } else {
            refused += 1;
            limited.fails(1, &["Too many open files"]);
            let resume = host.path("out/manifest.json").exists();
            host.run(if resume { &RESUME[..] } else { &RUN[..] }).succeeds();
        }
        each_once(&host.records(), 4);
        host.leaves_nothing();
    }
    assert!(refused > 0 && done > 0, "{refused} limits were too low, {done} were not");
}

/// Killed when a random number of records has been written since its start, again and again, while its plugin crashes
/// and leaves daemons and files behind.
#[test]
fn a_host_killed_over_and_over_loses_and_doubles_nothing() {
    const PLANNED: usize = 300;
    let host = Host::new();
    let bad = "fault = \"daemons\", then = \"temporary_files\"";
    let backends = faulty("slow", "fault = \"slow\", delay_ms = 1") + &faulty("bad", bad);
    let backends = backends + &faulty("dies", "fault = \"daemons\", then = \"abort\", after = 1, every = 5");
    let run = "modes = [\"prefill\"]\nwarmups = 0\nrepetitions = 20\nrounds = 5";
    host.write("config.toml", &config(run, &backends));
    let records = host.path("out/records.jsonl");
    let lines =
        || std::fs::read(&records).map_or(0, |text| text.iter().filter(|&&byte| byte == b'\n').count());
    let mut rng = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(29);
    let mut kills = 0;
    loop {
        let resume = host.path("out/manifest.json").exists();
        let mut child = host.start(if resume { &RESUME[..] } else { &RUN[..] });
        let last = lines() + rng.random_range(0..14);
        wait_until("records", || lines() >= last || child.try_wait().unwrap().is_some());
        if child.try_wait().unwrap().is_some() {
            assert_eq!(child.wait().unwrap().code(), Some(0));
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills >= 25, "{kills} kills");
    let records = host.records();
    each_once(&records, PLANNED);
    assert!(records.iter().filter(|r| r.backend != "dies").all(|r| r.status == Status::Ok));
    host.leaves_nothing();
    println!("{kills} kills");
}

#[test]
fn a_second_host_is_refused_and_the_first_does_not_notice() {
    let host = Host::new();
    let hangs = host.path("hangs");
    let options = format!("fault = \"slow\", delay_ms = 3000, once_file = {:?}", hangs.display().to_string());
    host.write(
        "config.toml",
        &config("modes = [\"prefill\"]\nwarmups = 0\nrepetitions = 3", &faulty("slow", &options)),
    );
    let mut command = host.command(&RUN);
    let first = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the first run", || hangs.exists());
    host.run(&RESUME).fails(2, &["lock out: another inferhost is writing to it"]);
    Ended::of(first.wait_with_output().unwrap()).succeeds();
    each_once(&host.records(), 3);
    assert!(host.records().iter().all(|record| record.status == Status::Ok));
    host.leaves_nothing();
}
