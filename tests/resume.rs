//! Workers and hosts killed at random moments: no record lost, none doubled, no process left behind.
#![cfg(unix)]

use crate::support::processes::{is_alive, worker_of};
use crate::support::{Host, TINY, config, ended, faulty, wait_until};
use inferhost::record::{Record, Status};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::{RngExt, SeedableRng};
use std::collections::HashSet;
use std::process::Child;
use std::time::Duration;

/// 2 cells x 40 repetitions of about 5 ms.
fn slow_config() -> String {
    let run = "modes = [\"prefill\", \"logprobs\"]\nwarmups = 0\nrepetitions = 40";
    config(run, &faulty("slow", "fault = \"slow\", delay_ms = 5"))
}

const PLANNED: usize = 80;

#[track_caller]
fn each_once(records: &[Record], planned: usize) {
    let keys: HashSet<_> = records.iter().map(|r| (&r.cell, r.round, r.repetition)).collect();
    assert_eq!((keys.len(), records.len()), (planned, planned), "none lost, none doubled");
}

fn rng(seed: u64) -> rand_xoshiro::Xoshiro256PlusPlus {
    rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(seed)
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap())
}

#[test]
fn a_host_killed_at_random_moments_is_resumed_to_the_full_record() {
    let host = Host::new();
    host.write("config.toml", &slow_config());
    warm_the_cache(&host);
    let mut rng = rng(7);
    let mut workers = HashSet::new();
    for _ in 0..12 {
        let mut child = start_or_go_on(&host);
        std::thread::sleep(Duration::from_millis(rng.random_range(0..220)));
        child.kill().unwrap();
        child.wait().unwrap();
        if host.path("out/records.jsonl").exists() {
            workers.extend(host.records().iter().filter_map(|r| r.worker_pid));
        }
    }
    assert_eq!(ended(&mut start_or_go_on(&host)), Some(0));
    let records = host.records();
    each_once(&records, PLANNED);
    assert!(records.iter().all(|r| r.status == Status::Ok));
    let last = records.last().unwrap().worker_pid.unwrap();
    workers.insert(last);
    if cfg!(target_os = "linux") {
        wait_until("the workers of killed hosts to end", || !workers.iter().any(|&worker| is_alive(worker)));
    }
}

fn wait_for_a_record(host: &Host) {
    let records = host.path("out/records.jsonl");
    wait_until("the first record", || std::fs::metadata(&records).is_ok_and(|file| file.len() > 0));
}

/// So that the moments drawn fall into the run.
fn warm_the_cache(host: &Host) {
    host.write("tokens.json", "[[1, 2]]");
    host.run(&["prefill", "--plugin", "faulty", "--model", TINY, "--tokens", "tokens.json"]).succeeds();
}

/// A host that was killed before it wrote a manifest has left nothing to resume.
fn start_or_go_on(host: &Host) -> Child {
    let resume = host.path("out/manifest.json").exists().then_some("--resume");
    let run = ["run", "config.toml", "--out", "out"];
    host.start(&run.into_iter().chain(resume).collect::<Vec<_>>())
}

#[test]
fn a_worker_killed_at_random_moments_costs_one_run_each_time() {
    let host = Host::new();
    host.write("config.toml", &slow_config());
    let mut child = host.start(&["run", "config.toml", "--out", "out"]);
    // Every run hangs on what the plugin says of itself before the first: that worker has a test of its own.
    wait_for_a_record(&host);
    let records = host.path("out/records.jsonl");
    let recorded = || std::fs::read_to_string(&records).unwrap().lines().count();
    let mut rng = rng(11);
    let mut killed = 0;
    while child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(rng.random_range(20..120)));
        let before = recorded();
        if let Some(worker) = worker_of(child.id()) {
            killed += u32::from(kill(pid(worker), Signal::SIGKILL).is_ok());
            // On a busy machine a worker takes longer to open its model than it is let live, and two lost in a row
            // before that end the group.
            wait_until("two more records", || {
                recorded() >= before + 2 || child.try_wait().unwrap().is_some()
            });
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    killed_runs(&host.records(), PLANNED, killed);
}

/// Every run is recorded once, and no kill has cost more than one; the stages in which they struck.
#[track_caller]
fn killed_runs(records: &[Record], planned: usize, killed: u32) -> HashSet<&'static str> {
    each_once(records, planned);
    let degraded: Vec<_> = records.iter().filter_map(|r| r.degraded.as_ref()).collect();
    assert!(killed > 0 && degraded.len() as u32 <= killed, "{killed} killed, {} degraded", degraded.len());
    assert!(degraded.iter().all(|d| d.signal == Some(9)), "{degraded:?}");
    degraded.iter().map(|d| d.stage.name()).collect()
}

/// Every second worker is killed somewhere on its way to the first run. Two in a row would make the host give the
/// model up on that backend, as it should.
#[cfg(target_os = "linux")]
#[test]
fn a_worker_killed_as_it_starts_costs_one_run_each_time() {
    const ROUNDS: usize = 40;
    let host = Host::new();
    warm_the_cache(&host);
    let run = format!("modes = [\"prefill\"]\nwarmups = 0\nrepetitions = 3\nrounds = {ROUNDS}");
    host.write("config.toml", &config(&run, &faulty("good", "")));
    let mut child = host.start(&["run", "config.toml", "--out", "out"]);
    let mut rng = rng(13);
    let (mut last, mut spared, mut killed) = (None, true, 0);
    while child.try_wait().unwrap().is_none() {
        let worker = worker_of(child.id());
        if let Some(worker) = worker.filter(|_| worker != last) {
            last = Some(worker);
            spared = !spared;
            if !spared {
                // By turns before the process is a worker at all, and while it loads, opens and runs.
                let longest = if killed % 2 == 0 { 500 } else { 20_000 };
                std::thread::sleep(Duration::from_micros(rng.random_range(0..longest)));
                killed += u32::from(kill(pid(worker), Signal::SIGKILL).is_ok());
            }
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let stages = killed_runs(&host.records(), 3 * ROUNDS, killed);
    println!("{killed} workers killed, in the stages {stages:?}");
    assert!(stages.contains("load"), "{killed} killed, in the stages {stages:?}");
}

#[test]
fn ctrl_c_keeps_the_records_and_resume_goes_on() {
    let host = Host::new();
    host.write("config.toml", &slow_config());
    let child = host.start(&["run", "config.toml", "--out", "out"]);
    wait_for_a_record(&host);
    kill(pid(child.id()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let kept = host.records();
    assert!(!kept.is_empty() && kept.len() < PLANNED && kept.iter().all(|r| r.status == Status::Ok));
    host.run(&["run", "config.toml", "--out", "out", "--resume"]).succeeds();
    each_once(&host.records(), PLANNED);
    assert_eq!(host.records()[..kept.len()], kept[..]);
}

/// A host whose plugin hangs in its first run.
fn hanging(host: &Host, more: &[&str]) -> Child {
    let hangs = host.path("hangs");
    let options = format!("fault = \"hang\", once_file = {:?}", hangs.display().to_string());
    host.write("config.toml", &config("warmups = 0\nrepetitions = 1", &faulty("bad", &options)));
    let child = host.start(&[&["run", "config.toml", "--out", "out"], more].concat());
    wait_until("the plugin to hang", || hangs.exists());
    child
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_a_worker_that_hangs() {
    let host = Host::new();
    let mut child = hanging(&host, &[]);
    let worker = worker_of(child.id()).unwrap();
    kill(pid(child.id()), Signal::SIGINT).unwrap();
    assert_eq!(ended(&mut child), Some(130));
    wait_until("the worker to end", || !is_alive(worker));
    assert_eq!(host.records(), [], "an interrupted run is not recorded");
    host.run(&["run", "config.toml", "--out", "out", "--resume"]).succeeds();
}

/// In the host itself nothing can end a plugin that hangs: the first Ctrl-C waits for it in vain.
#[cfg(target_os = "linux")]
#[test]
fn a_second_ctrl_c_ends_the_host_at_once() {
    let host = Host::new();
    let mut child = hanging(&host, &["--isolation", "none"]);
    kill(pid(child.id()), Signal::SIGINT).unwrap();
    let status = format!("/proc/{}/status", child.id());
    wait_until("the first to be taken", || {
        let status = std::fs::read_to_string(&status).unwrap();
        status.lines().filter(|line| line.starts_with("S") && line.contains("Pnd:")).all(|l| l.ends_with('0'))
    });
    assert!(child.try_wait().unwrap().is_none(), "one is not enough here");
    kill(pid(child.id()), Signal::SIGINT).unwrap();
    assert_eq!(ended(&mut child), Some(130));
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_that_hangs_ends_with_its_host() {
    let host = Host::new();
    let mut child = hanging(&host, &[]);
    let worker = worker_of(child.id()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the worker to end", || !is_alive(worker));
}

#[test]
fn where_nothing_was_run_there_is_nothing_to_resume() {
    let host = Host::new();
    host.write("config.toml", &slow_config());
    host.run(&["run", "config.toml", "--out", "none", "--resume"]).fails(2, &["none", "nothing to resume"]);
    assert!(!host.path("none").exists());
}

#[test]
fn a_torn_last_record_is_made_again() {
    let host = Host::new();
    host.write("config.toml", &slow_config());
    host.run(&["run", "config.toml", "--out", "out"]).succeeds();
    let path = host.path("out/records.jsonl");
    let text = std::fs::read(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 40]).unwrap();
    assert_eq!(host.records().len(), PLANNED - 1);
    host.run(&["run", "config.toml", "--out", "out", "--resume"]).succeeds();
    each_once(&host.records(), PLANNED);
}

#[test]
fn two_hosts_do_not_write_to_one_folder() {
    let host = Host::new();
    host.write("config.toml", &slow_config());
    let mut first = host.start(&["run", "config.toml", "--out", "out"]);
    wait_for_a_record(&host);
    kill(pid(first.id()), Signal::SIGSTOP).unwrap();
    host.run(&["run", "config.toml", "--out", "out", "--resume"]).fails(2, &["another inferhost"]);
    kill(pid(first.id()), Signal::SIGCONT).unwrap();
    assert!(first.wait().unwrap().success());
    each_once(&host.records(), PLANNED);
    host.run(&["run", "config.toml", "--out", "out"]).fails(2, &["already holds records", "--resume"]);
    each_once(&host.records(), PLANNED);
}

#[test]
fn another_config_does_not_go_on_with_a_run() {
    let host = Host::new();
    host.write("config.toml", &slow_config());
    host.run(&["run", "config.toml", "--out", "out"]).succeeds();
    host.write("config.toml", &slow_config().replace("repetitions = 40", "repetitions = 41"));
    host.run(&["run", "config.toml", "--out", "out", "--resume"])
        .fails(2, &["another config", "run.repetitions"]);
    each_once(&host.records(), PLANNED);
}
