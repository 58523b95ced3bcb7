//! A disk that fills up while records are written: one line says so, what is recorded is whole, and once there is room
//! the run goes on.

use crate::support::{Ended, Host, config, faulty, skipped};
use inferhost::record::{Record, Status};
use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Command;

const REPETITIONS: usize = 400;

fn many_runs(host: &Host) {
    let run = format!("modes = [\"prefill\", \"logprobs\"]\nrepetitions = {REPETITIONS}");
    host.write("config.toml", &config(&run, &faulty("good", "")));
}

#[track_caller]
fn whole_but_not_all(records: &[Record]) {
    assert!(!records.is_empty() && records.len() < 2 * REPETITIONS, "{} records", records.len());
    assert!(records.iter().all(|record| record.status == Status::Ok));
}

#[track_caller]
fn complete(records: &[Record], before: &[Record]) {
    let keys: HashSet<_> = records.iter().map(|r| (&r.cell, r.round, r.repetition)).collect();
    assert_eq!((keys.len(), records.len()), (2 * REPETITIONS, 2 * REPETITIONS), "none lost, none doubled");
    assert_eq!(records[..before.len()], *before, "what was there is untouched");
}

/// A file system of so many bytes at `path`.
struct Disk {
    path: PathBuf,
}

impl Disk {
    fn new(path: PathBuf, bytes: u32) -> Option<Self> {
        std::fs::create_dir(&path).unwrap();
        let options = format!("size={bytes}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).output();
        mounted.is_ok_and(|mount| mount.status.success()).then_some(Self { path })
    }

    fn grow(&self, bytes: u32) {
        let options = format!("remount,size={bytes}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.path).status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

#[test]
fn a_full_disk_stops_the_run_and_resume_goes_on() {
    let host = Host::new();
    let Some(disk) = Disk::new(host.path("out"), 128 << 10) else {
        return skipped("no file system can be mounted here");
    };
    many_runs(&host);
    let run = ["run", "config.toml", "--out", "out"];
    host.run(&run).fails(1, &["append a record to out/records.jsonl", "No space left", "go on by --resume"]);
    let before = host.records();
    whole_but_not_all(&before);
    // Still full: nothing is lost by trying.
    host.run(&[&run[..], &["--resume"]].concat()).fails(1, &["No space left"]);
    disk.grow(16 << 20);
    let before = if host.records().len() > before.len() { host.records() } else { before };
    host.run(&[&run[..], &["--resume"]].concat()).succeeds();
    complete(&host.records(), &before);
    host.leaves_nothing();
}

/// The same where the system limits the size of files, which would end a program that does not take care.
#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk() {
    let host = Host::new();
    many_runs(&host);
    let limited = |args: &[&str]| {
        let mut command = host.wrapped("ulimit -f 200 && exec \"$@\"", args);
        Ended::of(command.output().unwrap())
    };
    let run = ["run", "config.toml", "--out", "out"];
    limited(&run).fails(1, &["append a record to out/records.jsonl", "File too large"]);
    let before = host.records();
    whole_but_not_all(&before);
    host.run(&[&run[..], &["--resume"]].concat()).succeeds();
    complete(&host.records(), &before);
    host.leaves_nothing();
}
