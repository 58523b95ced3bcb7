//! Runs a target's cases in a process of its own, under a limit on memory and a watch on time, and says which case it
//! was that failed.

use super::TARGETS;
use super::mutate::Mutator;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Address space of a target's process: far more than any case needs, far less than sizes that overflow ask for.
const MEMORY: u64 = 2 << 30;
/// A single case that is at it for longer will not end. Most take a millisecond.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where no other is given.
const SEED: u64 = 20_261_121;
/// Set for the child to the target it runs.
const CHILD: &str = "INFERHOST_FUZZ_CHILD";
/// Set for the child to the folder in which it works; there it writes which case it is at.
const ROOM: &str = "INFERHOST_FUZZ_ROOM";

/// What is done with one case: input made by the first, in the folder that is the second.
pub(super) type Case = fn(&mut Mutator, &Path);

/// Runs the target of the test called `name`.
///
/// # Panics
/// Where a case fails, with its number and what became of it.
#[track_caller]
pub(super) fn fuzz(name: &str, cases: u64, case: Case) {
    if std::env::var(CHILD).is_ok_and(|child| child == name) {
        return run(Path::new(&std::env::var_os(ROOM).unwrap()), cases, case);
    }
    let room = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, name)
        .env(ROOM, room.path())
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    let last = said[said.len().saturating_sub(30)..].join("\n");
    let at = std::fs::read_to_string(room.path().join("at")).unwrap_or_default();
    assert!(output.status.success(), "{name} ended with {} at case {at}:\n{last}", output.status);
    eprintln!("{name}: {last}");
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// When a target ends.
enum Bound {
    Cases(u64),
    Time(Duration),
}

impl Bound {
    fn of(usual: u64) -> Self {
        let Some(seconds) = setting("INFERHOST_FUZZ_SECONDS") else {
            return Self::Cases(setting("INFERHOST_FUZZ_CASES").unwrap_or(usual));
        };
        // As many targets as there are processors are at it at once.
        let at_once = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        Self::Time(Duration::from_secs(seconds) * at_once / TARGETS)
    }

    fn reached(&self, cases: u64, since: Instant) -> bool {
        match self {
            Self::Cases(most) => cases >= *most,
            Self::Time(most) => since.elapsed() >= *most,
        }
    }
}

fn run(room: &Path, usual: u64, case: Case) {
    limit_memory();
    let seed = setting("INFERHOST_FUZZ_SEED").unwrap_or(SEED);
    let beats = watched();
    let (began, bound) = (Instant::now(), Bound::of(usual));
    let only = setting("INFERHOST_FUZZ_CASE");
    let (mut number, mut run, mut failed) = (only.unwrap_or(0), 0, Vec::new());
    while !bound.reached(run, began) && failed.len() < 10 && (only.is_none() || run == 0) {
        beats.fetch_add(1, Ordering::Relaxed);
        std::fs::write(room.join("at"), number.to_string()).unwrap();
        if catch_unwind(AssertUnwindSafe(|| one(seed, number, room, case))).is_err() {
            eprintln!("case {number} of seed {seed} failed");
            failed.push(number);
        }
        (number, run) = (number + 1, run + 1);
    }
    assert!(failed.is_empty(), "of {run} cases of seed {seed} these failed: {failed:?}");
    eprintln!("{run} cases in {:.1} s", began.elapsed().as_secs_f64());
}

/// Runs a case in an empty folder, beside which nothing may appear.
fn one(seed: u64, number: u64, room: &Path, case: Case) {
    let outside = tempfile::tempdir_in(room).unwrap();
    let folder = outside.path().join("case");
    std::fs::create_dir(&folder).unwrap();
    case(&mut Mutator::new(seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))), &folder);
    let found = std::fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let escaped: Vec<_> = found.filter(|name| name != "case").collect();
    assert!(escaped.is_empty(), "written outside of its folder: {escaped:?}");
}

/// A count of cases that has to go on: where one takes too long, the process ends.
fn watched() -> Arc<AtomicU64> {
    let beats = Arc::new(AtomicU64::new(0));
    let watched = Arc::clone(&beats);
    std::thread::spawn(move || {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            std::thread::park_timeout(Duration::from_millis(200));
            let beat = watched.load(Ordering::Relaxed);
            if beat != seen {
                (seen, since) = (beat, Instant::now());
            } else if since.elapsed() > PATIENCE {
                eprintln!("the case does not end");
                std::process::abort();
            }
        }
    });
    beats
}

#[cfg(unix)]
fn limit_memory() {
    use nix::sys::resource::{Resource, setrlimit};
    setrlimit(Resource::RLIMIT_AS, MEMORY, MEMORY).unwrap();
}

#[cfg(not(unix))]
fn limit_memory() {}
