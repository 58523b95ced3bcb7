//! What must not grow with the number of runs. That 100,000 records are read and reported is `report`'s own test.
#![cfg(target_os = "linux")]

use crate::support::{Host, config, faulty};

const RUNS: usize = 5_000;
/// A record that is kept takes more than 500 bytes, so all of them between the first tenth of the runs and the last
/// would take 2 MB.
const SLACK_KIB: u64 = 1024;

/// Resident memory of a host while it makes [`RUNS`] runs, KiB, at even intervals.
fn resident_while_running() -> Vec<u64> {
    let host = Host::new();
    let run = format!("modes = [\"prefill\"]\nwarmups = 0\nrepetitions = {RUNS}");
    host.write("config.toml", &config(&run, &faulty("good", "")));
    let mut child = host.start(&["run", "config.toml", "--out", "out"]);
    let (status, records) = (format!("/proc/{}/status", child.id()), host.path("out/records.jsonl"));
    let mut samples = Vec::new();
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let resident =
            |line: &str| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok();
        let begun = std::fs::metadata(&records).is_ok_and(|file| file.len() > 0);
        // The report at the end reads all records; the run itself must not hold them.
        let running = std::fs::read_to_string(host.path("out/manifest.json"))
            .is_ok_and(|manifest| manifest.contains("\"ended_at\": null"));
        if begun && running {
            samples.extend(text.lines().find_map(resident));
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(host.records().len(), RUNS);
    samples
}

#[test]
fn the_host_holds_no_more_after_many_runs_than_after_few() {
    let samples = resident_while_running();
    let tenth = samples.len() / 10;
    assert!(tenth > 0, "{samples:?}");
    let early = *samples[..tenth].iter().max().unwrap();
    let late = *samples[samples.len() - tenth..].iter().min().unwrap();
    println!("{early} KiB in the first tenth of {RUNS} runs, {late} KiB in the last");
    assert!(
        late < early + SLACK_KIB,
        "{early} KiB in the first tenth of {RUNS} runs, {late} KiB in the last"
    );
}
