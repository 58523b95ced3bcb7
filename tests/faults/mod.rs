//! A plugin that misbehaves in every way it is asked to, and a machine that gives out: the matrix always ends, planned
//! = recorded, each run is recorded for what it was, and no process and no temporary file is left behind. By what
//! goes wrong:
//!
//! - `reported`: errors, wrong output, hangs, floods, workers that end
//! - `lies`: more tokens, text and messages than anyone asked for
//! - `process`: what is done to the worker's process: memory, descriptors, signals, surroundings
//! - `left_behind`: children, threads, files, exit handlers; also after the host was killed
//! - `memory`, `disk`: limits of the system
//! - `host`: signals, terminals and limits of the host itself; the host killed over and over
//! - `folder`: what happens to files meanwhile: the run folder, logs, the cache, a plugin
//! - `commands`: the commands beside `run`, and what holds them up
//! - `soak`: all kinds at once, again and again

mod reported;

#[cfg(target_os = "linux")]
mod commands;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(unix)]
mod folder;
#[cfg(target_os = "linux")]
mod host;
#[cfg(target_os = "linux")]
mod left_behind;
mod lies;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod soak;

use crate::support::{Ended, Host, config, faulty};
use inferhost::record::{Record, Status};

const GENERATE: &str = "modes = [\"generate\"]";
const PREFILL: &str = "modes = [\"prefill\"]";
const LOGPROBS: &str = "modes = [\"logprobs\"]";

/// One backend a case, named by its number, in one matrix of one repetition: the records by case.
#[track_caller]
fn one_each(host: &Host, run: &str, options: &[&str]) -> (Ended, Vec<Record>) {
    let backends: String =
        options.iter().enumerate().map(|(n, text)| faulty(&format!("b{n}"), text)).collect();
    let run = format!("{run}\nrepetitions = 1\nwarmups = 0");
    let (ended, mut records) = host.matrix(&config(&run, &backends));
    let number = |record: &Record| record.backend[1..].parse::<usize>().unwrap();
    records.sort_by_key(number);
    let found: Vec<usize> = records.iter().map(number).collect();
    assert_eq!(found, (0..options.len()).collect::<Vec<_>>(), "each case has one record");
    (ended, records)
}

/// `ok`, or the kind of degradation.
fn outcome(record: &Record) -> &'static str {
    match (&record.degraded, record.status) {
        (None, Status::Ok) => "ok",
        (Some(degraded), Status::Degraded) => degraded.kind.name(),
        other => panic!("{other:?}"),
    }
}

fn message(record: &Record) -> &str {
    record.degraded.as_ref().map_or("", |degraded| degraded.message.as_str())
}
