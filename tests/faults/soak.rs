//! Every kind of fault at random, over and over, in one matrix: the small form of `scripts/soak.py`.

use super::{GENERATE, outcome};
use crate::support::processes::zombies_of;
use crate::support::{Host, config, ended, faulty};
use std::collections::{BTreeMap, HashSet};

/// Those that end or answer by themselves, and two that take the deadline.
const FAULTS: &str = "\"segfault\", \"abort\", \"exit\", \"stack_overflow\", \"double_free\", \"heap_corruption\", \
    \"thread_destructor\", \"panic\", \"error\", \"long_error\", \"missing_runtime\", \"out_of_memory_error\", \
    \"unsupported\", \"shape_not_covered\", \"nan\", \"short_output\", \"wrong_shape\", \"token_out_of_range\", \
    \"too_many_tokens\", \"callback_thread\", \"slow\", \"print_garbage\", \"children\", \"daemons\", \"twin\", \
    \"eat_descriptors\", \"close_descriptors\", \"close_all_descriptors\", \"nonblocking\", \"ignore_signals\", \
    \"surroundings\", \"temporary_files\"";

#[test]
fn hundreds_of_runs_with_every_kind_of_fault_are_each_recorded_once() {
    const RUNS: usize = 300;
    let host = Host::new();
    let count = host.path("count").display().to_string();
    let options = |faults: &str, rate: f64| {
        format!(
            "faults = [{faults}], rate = {rate}, seed = 5, flood_mb = 1, delay_ms = 1, count_file = {count:?}"
        )
    };
    let backends =
        faulty("mixed", &options(FAULTS, 0.4)) + &faulty("late", &options("\"hang\", \"stop\"", 0.02));
    let run = format!(
        "{GENERATE}\nwarmups = 0\nrepetitions = {}\ndeadline_s = 0.5\nopen_deadline_s = 30",
        RUNS / 2
    );
    host.write("config.toml", &config(&run, &backends));
    let mut child = host.start(&["run", "config.toml", "--out", "out"]);
    let mut zombies = 0;
    crate::support::wait_until("the matrix", || {
        // One that has just ended is about to be reaped.
        zombies = zombies.max(zombies_of(child.id()).len());
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(ended(&mut child), Some(0));
    let records = host.records();
    let keys: HashSet<_> = records.iter().map(|r| (&r.cell, r.round, r.repetition)).collect();
    assert_eq!((keys.len(), records.len()), (RUNS, RUNS), "none lost, none doubled");
    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    records.iter().for_each(|record| *outcomes.entry(outcome(record)).or_default() += 1);
    for kind in ["ok", "timeout", "crashed", "exception", "invalid_output", "out_of_memory"] {
        assert!(outcomes.contains_key(kind), "{outcomes:?}");
    }
    assert!(zombies <= 8, "{zombies} at once");
    host.leaves_nothing();
    println!("{outcomes:?}");
}
