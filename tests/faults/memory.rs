//! Memory that runs out: at the worker's own limit, and at the machine's.

use super::{GENERATE, message, one_each, outcome};
use crate::support::{Ended, Host, config, faulty, skipped};
use std::path::PathBuf;

#[test]
fn a_leak_ends_at_the_memory_limit() {
    let host = Host::new();
    let run = format!("{GENERATE}\nmemory_limit_mb = 512");
    let (ended, records) = one_each(&host, &run, &["fault = \"leak\"", ""]);
    ended.succeeds();
    assert_eq!([outcome(&records[0]), outcome(&records[1])], ["out_of_memory", "ok"]);
    assert!(message(&records[0]).contains("memory allocation of"), "{}", message(&records[0]));
    assert_eq!(records[0].degraded.as_ref().unwrap().stage, inferhost::record::Stage::Run);
}

/// A control group of its own, with so much memory.
struct Group {
    path: PathBuf,
}

impl Group {
    fn new(limit: &str) -> Option<Self> {
        let name = format!("inferhost-test-{}", std::process::id());
        let memberships = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let of = |line: &str| line.split(':').nth(2).map(str::to_string);
        let first = memberships.lines().find(|line| line.contains(":memory:")).and_then(of);
        let (parent, limits) = match first {
            Some(own) => (
                format!("/sys/fs/cgroup/memory{own}"),
                ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"],
            ),
            None => ("/sys/fs/cgroup".to_string(), ["memory.max", "memory.swap.max"]),
        };
        let candidates = [PathBuf::from(&parent), "/sys/fs/cgroup/memory".into()];
        let path = candidates
            .map(|parent| parent.join(&name))
            .into_iter()
            .find(|path| std::fs::create_dir(path).is_ok())?;
        let group = Self { path };
        std::fs::write(group.path.join(limits[0]), limit).ok()?;
        // Without accounting for swap there is no such file, and as a rule no swap.
        let swap = if limits[1].ends_with("max") { "0" } else { limit };
        let _ = std::fs::write(group.path.join(limits[1]), swap);
        Some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        crate::support::wait_until("the control group to be empty", || {
            std::fs::remove_dir(&self.path).is_ok()
        });
    }
}

#[test]
fn a_worker_that_the_kernel_kills_for_memory_is_told_from_one_killed_by_a_user() {
    let Some(group) = Group::new("200000000") else {
        return skipped("no control group with a memory limit can be made here");
    };
    let host = Host::new();
    let run = format!("{GENERATE}\nwarmups = 0\nrepetitions = 2");
    host.write("config.toml", &config(&run, &(faulty("bad", "fault = \"leak\"") + &faulty("good", ""))));
    let enter = format!("echo $$ > {} && exec \"$@\"", group.path.join("cgroup.procs").display());
    let mut command = host.wrapped(&enter, &["run", "config.toml", "--out", "out"]);
    Ended::of(command.output().unwrap()).succeeds();
    let (bad, good): (Vec<_>, Vec<_>) = host.records().into_iter().partition(|r| r.backend == "bad");
    assert!(good.iter().all(|record| outcome(record) == "ok") && good.len() == 2);
    for record in bad {
        let degraded = record.degraded.as_ref().unwrap();
        assert_eq!((outcome(&record), degraded.signal), ("out_of_memory", Some(9)), "{}", degraded.message);
    }
    host.leaves_nothing();
}
