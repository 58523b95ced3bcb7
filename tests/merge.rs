//! A plan run in shards and put together; run folders that do not belong together; many records.

use crate::support::{Host, config, ended, faulty, wait_until};
use inferhost::manifest::Manifest;
use inferhost::record::Record;
use inferhost::store::{read_evaluations, read_manifest, read_records};
use std::collections::HashSet;
use std::fmt::Write;

/// 2 backends x 2 modes x 3 repetitions x 2 rounds, in 4 groups.
fn four_groups() -> String {
    let run = "modes = [\"prefill\", \"generate\"]\nwarmups = 0\nrepetitions = 3\nrounds = 2";
    config(run, &(faulty("a", "") + &faulty("b", "")))
}

const PLANNED: usize = 24;

fn manifest(host: &Host, folder: &str) -> Manifest {
    read_manifest(&host.path(folder)).unwrap()
}

fn records(host: &Host, folder: &str) -> Vec<Record> {
    read_records(&host.path(folder)).unwrap().records
}

fn run_keys(records: &[Record]) -> HashSet<(String, u32, u32)> {
    records.iter().map(|record| (record.cell.clone(), record.round, record.repetition)).collect()
}

fn shard(host: &Host, shard: &str, out: &str) {
    host.run(&["run", "config.toml", "--shard", shard, "--out", out]).succeeds();
}

#[test]
fn shards_of_a_plan_are_the_plan() {
    let host = Host::new();
    host.write("config.toml", &four_groups());
    host.run(&["run", "config.toml", "--out", "whole"]).succeeds();
    shard(&host, "1/3", "one");
    shard(&host, "2/3", "two");
    shard(&host, "3/3", "three");
    let planned = ["one", "two", "three"].map(|part| manifest(&host, part).planned_runs);
    assert_eq!(planned, [12, 6, 6], "of 4 groups, the first shard has two");
    host.run(&["report", "two"]).succeeds();
    let report = std::fs::read_to_string(host.path("two/report.md")).unwrap();
    assert!(report.contains("shard 2/3: 6 of the plan's 24 runs"), "{report}");

    let merged = host.run(&["merge", "three", "one", "two", "--out", "all", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(&merged.succeeds().stdout).unwrap();
    assert_eq!((&summary["planned"], &summary["recorded"]), (&PLANNED.into(), &PLANNED.into()));
    let all = records(&host, "all");
    assert_eq!(run_keys(&all), run_keys(&records(&host, "whole")));
    assert_eq!(all.len(), PLANNED);
    let times: Vec<&String> = all.iter().map(|record| &record.started_at).collect();
    assert!(times.is_sorted(), "in the order of time");
    assert!(manifest(&host, "all").ended_at.is_some());
    assert!(std::fs::read_dir(host.path("all/logs/two")).unwrap().count() > 0);
    host.run(&["report", "all"]).succeeds();
}

#[test]
fn a_missing_shard_is_run_by_resuming_what_was_merged() {
    let host = Host::new();
    host.write("config.toml", &four_groups());
    shard(&host, "1/4", "one");
    shard(&host, "3/4", "three");
    let merged = host.run(&["merge", "one", "three", "--out", "out"]);
    assert!(merged.succeeds().stdout.contains("12 of 24 planned runs"), "{}", merged.stdout);
    assert!(merged.stderr.contains("shard 2/4, 4/4 are missing"), "{}", merged.stderr);
    host.run(&["run", "config.toml", "--resume", "--out", "out"]).succeeds();
    let all = host.records();
    assert_eq!((all.len(), run_keys(&all).len()), (PLANNED, PLANNED));
    let manifest = manifest(&host, "out");
    assert_eq!((manifest.planned_runs, manifest.merged_from.len()), (24, 2), "what it was merged from stays");
}

#[test]
fn the_first_shard_alone_evaluates_accuracy() {
    let host = Host::new();
    let ids: Vec<u32> = (0..100).map(|n| n * 7 % 16).collect();
    host.write("ids.json", &format!("{ids:?}"));
    host.write("config.toml", &format!("{}[accuracy]\ntokens = \"ids.json\"\n", four_groups()));
    shard(&host, "1/2", "one");
    shard(&host, "2/2", "two");
    let planned = ["one", "two"].map(|part| manifest(&host, part).planned_evaluations);
    let evaluated = ["one", "two"].map(|part| read_evaluations(&host.path(part)).unwrap().evaluations.len());
    assert_eq!((planned, evaluated), ([2, 0], [2, 0]), "of 2 backends");
    host.run(&["merge", "two", "one", "--out", "out"]).succeeds();
    assert_eq!(manifest(&host, "out").planned_evaluations, 2);
    assert_eq!(read_evaluations(&host.path("out")).unwrap().evaluations.len(), 2);
}

#[test]
fn a_shard_is_resumed_as_the_same_shard_only() {
    let host = Host::new();
    host.write("config.toml", &four_groups());
    shard(&host, "2/4", "out");
    for (args, parts) in [
        (vec!["--shard", "3/4"], ["begun as shard 2/4, not as shard 3/4", "--shard 2/4"]),
        (vec!["--shard", "2/2"], ["begun as shard 2/4, not as shard 2/2", "--shard 2/4"]),
        (vec![], ["begun as shard 2/4, not as the whole plan", "--shard 2/4"]),
    ] {
        let resume = ["run", "config.toml", "--resume", "--out", "out"];
        host.run(&[&resume[..], &args].concat()).fails(2, &parts);
    }
    host.run(&["run", "config.toml", "--resume", "--out", "out", "--shard", "2/4"]).succeeds();
    assert_eq!(host.records().len(), 6);
    host.run(&["run", "config.toml", "--shard", "9/9", "--out", "none"]).fails(2, &["4 groups", "at most 4"]);
    assert!(!host.path("none").exists());
    host.run(&["run", "config.toml", "--shard", "3/2"]).fails(2, &["3/2", "K/N"]);
}

#[test]
fn run_folders_of_two_plans_are_not_merged() {
    let host = Host::new();
    let config = four_groups();
    host.write("config.toml", &config);
    shard(&host, "1/2", "a");
    host.write("config.toml", &config.replace("rounds = 2", "rounds = 3"));
    shard(&host, "2/2", "b");
    let refused = host.run(&["merge", "a", "b", "--out", "out"]);
    refused.fails(2, &["a and b", "`run.rounds` of the config is 2 in the first and 3 in the second"]);
    let cases: [(&[&str], &str); 5] = [
        (&["a", "--out", "out"], "two run folders"),
        (&["a", "none", "--out", "out"], "none"),
        (&["a", "a", "--out", "out"], "given twice"),
        (&["a", "b", "--out", "a"], "one of the folders"),
        (&["a", "b"], "--out"),
    ];
    for (args, part) in cases {
        host.run(&[&["merge"][..], args].concat()).fails(2, &[part]);
    }
    host.write("config.toml", &config);
    shard(&host, "2/2", "c");
    host.run(&["merge", "a", "c", "--out", "b"]).fails(2, &["make a run folder at b", "another --out"]);
    assert!(!host.path("out").exists());
    assert_eq!(records(&host, "b").len(), 18);
}

#[test]
fn two_runs_of_one_plan_are_further_rounds_when_asked() {
    let host = Host::new();
    host.write("config.toml", &four_groups());
    host.run(&["run", "config.toml", "--out", "a"]).succeeds();
    host.run(&["run", "config.toml", "--out", "b"]).succeeds();
    host.run(&["merge", "a", "b", "--out", "out"]).fails(2, &["a and b", "same run", "--as-rounds"]);
    host.run(&["merge", "a", "b", "--out", "out", "--as-rounds"]).succeeds();
    let all = host.records();
    assert_eq!((all.len(), run_keys(&all).len()), (2 * PLANNED, 2 * PLANNED));
    assert_eq!(manifest(&host, "out").planned_runs, 48);
    // A folder whose plan is done stays so.
    host.run(&["run", "config.toml", "--resume", "--out", "out"]).succeeds();
    assert_eq!((host.records().len(), manifest(&host, "out").planned_runs), (48, 48));
}

#[cfg(unix)]
#[test]
fn a_run_folder_that_is_being_written_to_is_not_merged() {
    use nix::sys::signal::{Signal, kill};
    let host = Host::new();
    let run = "modes = [\"prefill\"]\nwarmups = 0\nrepetitions = 40";
    host.write("config.toml", &config(run, &faulty("slow", "fault = \"slow\", delay_ms = 5")));
    host.run(&["run", "config.toml", "--out", "a"]).succeeds();
    let mut child = host.start(&["run", "config.toml", "--out", "b"]);
    let written = host.path("b/records.jsonl");
    wait_until("the first record", || std::fs::metadata(&written).is_ok_and(|file| file.len() > 0));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    host.run(&["merge", "a", "b", "--out", "out"]).fails(2, &["lock b", "another inferhost"]);
    kill(pid, Signal::SIGCONT).unwrap();
    assert_eq!(ended(&mut child), Some(0));
    assert!(!host.path("out").exists());
}

/// Copies of `record` in rounds of 1000 repetitions, `runs` of them from `first` on, a line each.
fn many(record: &Record, first: u32, runs: u32) -> String {
    let mut text = String::new();
    for run in first..first + runs {
        let second = f64::from(run) / 1000.0;
        let started_at = format!("2026-11-20T16:{:02}:{:06.3}Z", (second / 60.0) as u32 % 60, second % 60.0);
        let record = Record { round: run / 1000, repetition: run % 1000, started_at, ..record.clone() };
        writeln!(text, "{}", serde_json::to_string(&record).unwrap()).unwrap();
    }
    text
}

/// Of a record, whose line is more than 1,000 bytes long, hashes are kept and no more.
#[cfg(target_os = "linux")]
#[test]
fn records_are_not_held_while_they_are_merged() {
    const RUNS: u32 = 20_000;
    const BYTES_EACH: u64 = 250;
    let host = Host::new();
    host.write("config.toml", &four_groups());
    host.run(&["run", "config.toml", "--out", "a"]).succeeds();
    std::fs::create_dir(host.path("b")).unwrap();
    std::fs::copy(host.path("a/manifest.json"), host.path("b/manifest.json")).unwrap();
    let generated = records(&host, "a").into_iter().find(|record| !record.token_ms.is_empty()).unwrap();
    let long = Record { token_ms: vec![19.123_456_789; 60], ..generated };
    let [few, many] = [10, RUNS].map(|runs| {
        std::fs::write(host.path("a/records.jsonl"), many(&long, 0, runs)).unwrap();
        std::fs::write(host.path("b/records.jsonl"), many(&long, runs, runs)).unwrap();
        let out = format!("out-{runs}");
        let peak = peak_of(&mut host.start(&["merge", "a", "b", "--out", &out]));
        assert_eq!(records(&host, &out).len() as u32, 2 * runs);
        peak
    });
    let grown = many.saturating_sub(few) * 1024;
    println!("{few} KiB at most for 20 records, {many} KiB for {}", 2 * RUNS);
    assert!(grown < BYTES_EACH * u64::from(2 * RUNS), "{grown} bytes more for {} records", 2 * RUNS);
}

/// The largest resident set of a process until it ends, KiB, as far as it is seen.
#[cfg(target_os = "linux")]
fn peak_of(child: &mut std::process::Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let seen = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(seen.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(child.wait().unwrap().success());
    peak
}
