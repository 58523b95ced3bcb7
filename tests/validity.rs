//! When runs are enough, when a cell's figures count, and that a matrix can be run again from its folder.

use crate::support::{Host, config, faulty};
use inferhost::store::read_manifest;

/// A call of 20 ms, whose mean is soon known to a half.
const STEADY: &str = "fault = \"slow\", delay_ms = 20";
const EARLY: &str = "modes = [\"prefill\"]\nrepetitions = 40\ntarget_ci = 0.5";

#[test]
fn a_cell_ends_early_once_its_mean_is_known() {
    let host = Host::new();
    host.write("config.toml", &config(EARLY, &faulty("steady", STEADY)));
    let ended = host.run(&["run", "config.toml", "--out", "out"]);
    let recorded = host.records().len();
    assert!((5..40).contains(&recorded), "{recorded} of 40");
    let manifest = read_manifest(&host.path("out")).unwrap();
    assert_eq!((manifest.planned_runs, manifest.counts.spared), (40, 40 - recorded as u64));
    let said = format!("{recorded} of 40 planned runs recorded, {} not needed", 40 - recorded);
    assert!(ended.succeeds().stdout.contains(&said), "{}", ended.stdout);
    assert!(!ended.stdout.contains("have no record"), "{}", ended.stdout);

    host.run(&["run", "config.toml", "--out", "out", "--resume"]).succeeds();
    assert_eq!(host.records().len(), recorded, "what was not needed is not made later either");
    assert_eq!(read_manifest(&host.path("out")).unwrap().counts.spared, 40 - recorded as u64);
}

#[test]
fn a_shard_that_ended_early_is_merged_as_such() {
    let host = Host::new();
    let backends = faulty("a", STEADY) + &faulty("b", STEADY);
    host.write("config.toml", &config(EARLY, &backends));
    for shard in ["1/2", "2/2"] {
        host.run(&["run", "config.toml", "--shard", shard, "--out", &shard[..1]]).succeeds();
    }
    host.run(&["merge", "1", "2", "--out", "out"]).succeeds();
    let (manifest, recorded) = (read_manifest(&host.path("out")).unwrap(), host.records().len() as u64);
    assert_eq!((manifest.planned_runs, manifest.counts.spared), (80, 80 - recorded));
    let report = host.run(&["report", "out"]);
    assert!(!report.succeeds().stdout.contains("have no record"), "{}", report.stdout);
}

#[test]
fn nothing_is_claimed_of_less_than_was_asked_for() {
    let backends = faulty("quick", "") + &faulty("slow", STEADY);
    for (run, doubt) in [
        ("repetitions = 4\nmin_repetitions = 4\nmin_measured_s = 1000", "too little time"),
        ("repetitions = 2\nrounds = 2\nmin_repetitions = 4", ""),
        ("repetitions = 2", "too few runs (2 ok)"),
    ] {
        let host = Host::new();
        let (ended, _) = host.matrix(&config(&format!("modes = [\"prefill\"]\n{run}"), &backends));
        ended.succeeds();
        let report = std::fs::read_to_string(host.path("out/report.md")).unwrap();
        assert_eq!(
            report.contains("too little time (") || report.contains("too few runs ("),
            !doubt.is_empty()
        );
        assert!(report.contains(doubt), "{run}: {report}");
        let analysis = std::fs::read_to_string(host.path("out/analysis.json")).unwrap();
        let analysis: serde_json::Value = serde_json::from_str(&analysis).unwrap();
        let outcome = &analysis["comparisons"][0]["outcome"];
        assert_eq!(outcome == "too_few_runs", !doubt.is_empty(), "{run}: {outcome}");
    }
}

#[test]
fn rules_that_cannot_hold_are_refused() {
    let cases = [
        ("min_repetitions = 6", "run.min_repetitions is 6; it must be 2 to 5"),
        ("min_measured_s = -1", "run.min_measured_s is -1"),
        ("min_measured_s = nan", "run.min_measured_s is NaN"),
        ("target_ci = 2\nrepetitions = 9", "run.target_ci is 2"),
        ("target_ci = 0.1", "ends a cell after 5 repetitions at the earliest, and repetitions is 5"),
        ("busy_above_pct = 0", "run.busy_above_pct is 0"),
        ("busy_above_pct = inf", "run.busy_above_pct is inf"),
    ];
    for (run, said) in cases {
        let host = Host::new();
        host.write("config.toml", &config(run, &faulty("a", "")));
        host.run(&["run", "config.toml", "--out", "out"]).fails(2, &[said]);
        assert!(!host.path("out").exists(), "{run}");
    }
}

#[test]
fn a_run_folder_is_run_again_from_its_manifest_alone() {
    let host = Host::new();
    let run = "use_cache = [true, false]\nrepetitions = 2\nmodes = [\"prefill\", \"generate\", \"logprobs\"]";
    let candle = "[[backends]]\nname = \"c\"\nplugin = \"candle\"\noptions = { threads = 2 }\n";
    let backends = faulty("a", "") + &faulty("b", "fault = \"error\"") + candle;
    let (ended, records) = host.matrix(&config(run, &backends));
    ended.succeeds();
    std::fs::remove_file(host.path("config.toml")).unwrap();
    std::fs::rename(host.path("out"), host.path("moved")).unwrap();
    let again = host.run(&["rerun", "moved", "--out", "out"]);
    let said = "again: 12 of 12 cells are the same, and 8 of 8 outputs\nnext: inferhost compare moved out";
    assert!(again.succeeds().stdout.contains(said), "{}", again.stdout);
    let key = |record: &inferhost::record::Record| {
        (record.cell.clone(), record.round, record.repetition, record.output_digest.clone())
    };
    let order = |records: &[inferhost::record::Record]| records.iter().map(key).collect::<Vec<_>>();
    assert_eq!(
        order(&host.records()),
        order(&records),
        "the same runs in the same order with the same output"
    );
    let page = std::fs::read_to_string(host.path("out/report.md")).unwrap();
    assert!(page.contains("is run again here"), "{page}");

    let json = host.run(&["rerun", "moved", "--out", "third", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(&json.succeeds().stdout).unwrap();
    assert_eq!((&summary["same_cells"], &summary["same_outputs"]), (&12.into(), &8.into()), "{summary}");
}

#[test]
fn what_cannot_be_run_again_says_why() {
    let host = Host::new();
    host.run(&["rerun", "none"]).fails(2, &["none"]);
    let (ended, _) = host.matrix(&config("repetitions = 1", &faulty("a", "")));
    ended.succeeds();
    host.run(&["rerun", "out", "--out", "out"]).fails(2, &["out", "--resume"]);
    let path = host.path("out/manifest.json");
    let manifest = std::fs::read_to_string(&path).unwrap();
    let change = |from: &str, to: &str| {
        assert!(manifest.contains(from), "{from}: {manifest}");
        std::fs::write(&path, manifest.replacen(from, to, 1)).unwrap();
    };
    change("\"seed\": 0", "\"seed\": \"zero\"");
    host.run(&["rerun", "out", "--out", "again"]).fails(2, &["its manifest holds no config to run"]);
    change("\"deadline_s\": 180.0", "\"deadline_s\": -1.0");
    host.run(&["rerun", "out", "--out", "again"]).fails(2, &["run.deadline_s is -1"]);
    let of_model = "\"sha256\": \"";
    change(of_model, "\"sha256\": \"0");
    host.run(&["rerun", "out", "--out", "again"]).fails(2, &["tiny", "is not the one that was measured"]);
    assert!(!host.path("again").exists());
}
