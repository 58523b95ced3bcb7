//! Whole comparisons, of folders written for them.

use super::*;
use crate::manifest::{Manifest, sample::manifest};
use crate::record::{DegradedKind, Record, sample};
use crate::report::Layout;
use crate::store::RunFolder;
use serde_json::json;
use std::fs;
use tempfile::TempDir;

const SETTINGS: Settings = Settings { threshold: 0.02, fail_above: 0.05 };

/// A folder of `records`, each a repetition of its cell in the order given.
fn folder(manifest: &Manifest, records: impl IntoIterator<Item = Record>) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    RunFolder::create(root.path()).unwrap().write_manifest(manifest).unwrap();
    let mut lines = String::new();
    for record in records {
        lines += &serde_json::to_string(&record).unwrap();
        lines.push('\n');
    }
    fs::write(root.path().join("records.jsonl"), lines).unwrap();
    root
}

/// Five runs of one cell around `middle` ms, 2% up and down.
fn runs(backend: &str, prompt_tokens: u32, middle: f64, of: &Record) -> Vec<Record> {
    let wobble = [0.98, 1.02, 1.0, 1.01, 0.99];
    let run = |(repetition, factor): (usize, &f64)| {
        let latency = middle * factor;
        Record {
            cell: format!("{backend} {prompt_tokens} {}", of.mode.name()),
            backend: backend.into(),
            prompt_tokens,
            repetition: repetition as u32,
            latency_ms: Some(latency),
            ttft_ms: of.ttft_ms.map(|_| latency / 4.0),
            telemetry: None,
            ..of.clone()
        }
    };
    wobble.iter().enumerate().map(run).collect()
}

/// Two backends, four prefills and a generation each; `factor` slows those cells of `ort` whose prompts it is given.
fn matrix(factor: impl Fn(u32) -> f64) -> Vec<Record> {
    let mut records = Vec::new();
    for backend in ["ort", "candle"] {
        for prompt in [8, 16, 24, 32] {
            let slower = if backend == "ort" { factor(prompt) } else { 1.0 };
            records.extend(runs(backend, prompt, f64::from(prompt) / 4.0 * slower, &sample::ok()));
        }
        records.extend(runs(backend, 8, 9.0, &sample::generated()));
    }
    records
}

fn compared(before: &TempDir, after: &TempDir) -> Compared {
    compare(before.path(), &[after.path().to_path_buf()], &[], SETTINGS).unwrap()
}

fn verdicts(compared: &Compared) -> Vec<(String, &'static str)> {
    let cells = compared.comparisons[0].cells.iter();
    let metrics = cells.flat_map(|cell| cell.metrics.iter().map(move |metric| (cell, metric)));
    let changed = metrics.filter(|(_, metric)| metric.verdict.is_change());
    changed
        .map(|(cell, of)| {
            let name = format!("{} {} {}", cell.cell.backend, cell.cell.scenario.shape(), of.metric.name());
            (name, of.verdict.name())
        })
        .collect()
}

#[test]
fn the_planted_cells_are_found_and_no_others() {
    let before = folder(&manifest(50), matrix(|_| 1.0));
    let none: [(String, &str); 0] = [];
    let names = |of: &Compared| of.comparisons[0].failures.iter().map(Failure::to_string).collect::<Vec<_>>();
    assert_eq!(verdicts(&compared(&before, &folder(&manifest(50), matrix(|_| 1.0)))), none);
    assert_eq!(
        verdicts(&compared(&before, &folder(&manifest(50), matrix(|_| 1.015)))),
        none,
        "under the threshold"
    );
    for (slower, verdict) in [(1.2, "slower"), (1.0 / 1.25, "faster")] {
        let one = folder(&manifest(50), matrix(|prompt| if prompt == 24 { slower } else { 1.0 }));
        assert_eq!(verdicts(&compared(&before, &one)), [("ort 1x24 latency".to_string(), verdict)]);
    }
    let call = compared(&before, &folder(&manifest(50), matrix(|_| 1.2)));
    assert_eq!(verdicts(&call).len(), 4, "{:?}", verdicts(&call));
    let prefill = "ort on gpt2-5m, prefill: +20.0% over 4 cells";
    assert_eq!(names(&call), [prefill], "and not the whole worker, whose other call stood still");
}

/// Every cell of `ort` slower by `factor`, and `other` by its own.
fn slower_worker(factor: f64, other: f64) -> Vec<Record> {
    let slow = |record: Record| {
        let factor = if record.backend == "ort" { factor } else { other };
        Record { latency_ms: record.latency_ms.map(|ms| ms * factor), ..record }
    };
    matrix(|_| 1.0).into_iter().map(slow).collect()
}

#[test]
fn a_worker_is_found_as_a_whole_and_its_cells_with_it() {
    let before = folder(&manifest(50), matrix(|_| 1.0));
    for (factor, other, found, verdict) in [
        (1.2, 1.0, 5, "slower"),
        (1.0 / 1.2, 1.0, 5, "faster"),
        (1.05, 1.0, 0, ""),
        // All workers moved: none is a control for another, and more is wanted of each.
        (1.15, 1.0, 5, "slower"),
        (1.1, 1.0, 0, ""),
        (1.1, 1.1, 0, ""),
        (1.4, 1.4, 10, "slower"),
    ] {
        let compared = compared(&before, &folder(&manifest(50), slower_worker(factor, other)));
        let claims = verdicts(&compared);
        assert_eq!(claims.len(), found, "{factor} {claims:?}");
        assert!(claims.iter().all(|(_, of)| *of == verdict), "{factor} {claims:?}");
        let groups = &compared.comparisons[0].groups;
        let whole: Vec<&GroupChange> = groups.iter().filter(|group| group.verdict.is_change()).collect();
        assert!(whole.len() == found / 5 && whole.iter().all(|group| group.call.is_none()), "{whole:?}");
    }
    let failed = compared(&before, &folder(&manifest(50), slower_worker(1.2, 1.0)));
    let named: Vec<String> = failed.comparisons[0].failures.iter().map(Failure::to_string).collect();
    assert_eq!(named, ["ort on gpt2-5m: +20.0% over 5 cells"]);
}

#[test]
fn one_cell_is_found_by_the_others_of_its_worker_where_the_whole_worker_moved() {
    let before = folder(&manifest(50), matrix(|_| 1.0));
    // 5% is within what workers differ by; 10% more in one cell is not.
    let after = folder(&manifest(50), matrix(|prompt| if prompt == 24 { 1.05 * 1.1 } else { 1.05 }));
    let found = compared(&before, &after);
    assert_eq!(verdicts(&found), [("ort 1x24 latency".to_string(), "slower")]);
    let metric = &found.comparisons[0]
        .cells
        .iter()
        .find(|cell| cell.cell.scenario.prompt_tokens == 24)
        .unwrap()
        .metrics[0];
    assert_eq!(metric.basis, Some(Basis::Cell));
    let beyond = metric.beyond_siblings.unwrap();
    assert!((beyond.change - 0.1).abs() < 0.011 && beyond.ci95.unwrap().low > 0.05, "{metric:?}");
}

#[test]
fn a_loss_of_the_processor_claims_nothing() {
    let with_share = |factor: f64, share: f64| {
        let used =
            crate::record::Telemetry { cpu_mean_pct: Some(share), ..crate::record::Telemetry::default() };
        matrix(move |_| factor)
            .into_iter()
            .map(move |record| Record { telemetry: Some(used.clone()), ..record })
    };
    let before = folder(&manifest(50), with_share(1.0, 195.0));
    assert_eq!(verdicts(&compared(&before, &folder(&manifest(50), with_share(1.3, 150.0)))), []);
    let kept = compared(&before, &folder(&manifest(50), with_share(1.3, 195.0)));
    assert_eq!(verdicts(&kept).len(), 4, "the same slowdown with the processor kept");
    // With other threads a smaller share is what was asked for.
    let mut fewer = manifest(50);
    for entry in &mut fewer.backends {
        entry.session.values_mut().for_each(|info| info.threads = Some(1));
    }
    let asked = compared(&before, &folder(&fewer, with_share(1.3, 150.0)));
    assert_eq!(verdicts(&asked).len(), 4);
}

#[test]
fn what_is_new_gone_and_newly_degraded_is_named() {
    let lost = || Record { repetition: 4, ..sample::degraded(DegradedKind::Crashed, "signal 11") };
    let sick = |prompt: u32| {
        let record = runs("ort", prompt, 2.0, &sample::ok()).remove(0);
        Record { cell: record.cell, prompt_tokens: prompt, repetition: 4, ..lost() }
    };
    let of = |backend: &str, prompt: u32| runs(backend, prompt, 2.0, &sample::ok());
    let four = |prompt| of("ort", prompt).into_iter().take(4);
    let before = folder(
        &manifest(50),
        of("ort", 8).into_iter().chain(four(16)).chain([sick(16)]).chain(of("candle", 8)),
    );
    let after = folder(&manifest(50), four(8).chain([sick(8)]).chain(of("ort", 16)).chain(of("ort", 24)));
    let compared = compared(&before, &after);
    let found = &compared.comparisons[0];
    assert_eq!((found.new.len(), found.gone.len()), (1, 1));
    assert_eq!((found.new[0].scenario.prompt_tokens, found.gone[0].backend.as_str()), (24, "candle"));
    let health: Vec<Health> = found.cells.iter().map(|cell| cell.health).collect();
    assert_eq!(health, [Health::NewlyDegraded, Health::NoLongerDegraded]);
    assert_eq!(found.failures, [Failure::NewlyDegraded { cell: found.cells[0].cell.clone(), runs: 1 }]);
    assert_eq!((found.cells[0].metrics[0].after.n, found.before.ok, found.before.recorded), (4, 14, 15));
}

#[test]
fn too_few_runs_and_values_that_never_vary_have_an_answer() {
    let times = |values: &[f64]| {
        let run = |(n, ms): (usize, &f64)| Record {
            repetition: n as u32,
            latency_ms: Some(*ms),
            telemetry: None,
            ..sample::ok()
        };
        folder(&manifest(9), values.iter().enumerate().map(run))
    };
    for (before, after, verdict) in [
        (&[2.0][..], &[2.0, 2.1][..], Verdict::TooFewRuns),
        (&[2.0, 2.0], &[2.0, 2.0], Verdict::NoChangeShown),
        (&[2.0, 2.0], &[2.5, 2.5], Verdict::Slower),
        (&[2.0, 2.5], &[2.6, 2.4], Verdict::NoChangeShown),
    ] {
        let found = compared(&times(before), &times(after));
        assert_eq!(found.comparisons[0].cells[0].metrics[0].verdict, verdict, "{before:?} {after:?}");
    }
}

#[test]
fn a_backend_is_paired_with_one_of_another_name_also_in_one_folder() {
    let before = folder(&manifest(50), matrix(|_| 1.0));
    let path = before.path().to_path_buf();
    let pair: BackendPair = "ort=candle".parse().unwrap();
    let of = |pairs: &[BackendPair]| compare(&path, std::slice::from_ref(&path), pairs, SETTINGS);
    let found = of(std::slice::from_ref(&pair)).unwrap();
    let cells = &found.comparisons[0].cells;
    assert!(cells.len() == 5 && cells.iter().all(|cell| cell.backend_after.as_deref() == Some("candle")));
    assert!(found.comparisons[0].new.is_empty() && found.comparisons[0].gone.is_empty());
    for (pairs, part) in [
        (vec![], "name two of its backends"),
        (
            vec![BackendPair { before: "onnx".into(), after: "ort".into() }],
            "has no such backend; it has ort, candle",
        ),
        (vec![pair.clone(), pair], "in two pairs"),
    ] {
        let message = of(&pairs).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    for bad in ["ort", "=ort", "ort=", ""] {
        assert!(bad.parse::<BackendPair>().is_err(), "{bad}");
    }
    let other = folder(&manifest(5), runs("trt", 8, 2.0, &sample::ok()));
    let message = compare(&path, &[other.path().into()], &[], SETTINGS).unwrap_err().to_string();
    assert!(message.contains("no cell is in both (10 against 1 cells)"), "{message}");
}

#[test]
fn what_differs_around_the_cells_is_listed_and_other_work_is_a_warning() {
    let mut other = manifest(50);
    other.models[0].sha256 = Some("feedbeef".into());
    other.machine.cpu = Some("another".into());
    other.config = json!({"seed": 2, "run": {"warmups": 3}});
    other.backends[0].runtime_version = Some("1.32.0".into());
    other.backends[0].session.values_mut().for_each(|info| info.threads = Some(1));
    let found = compared(&folder(&manifest(50), matrix(|_| 1.0)), &folder(&other, matrix(|_| 1.0)));
    let environment = &found.comparisons[0].environment;
    let listed: Vec<String> =
        environment.differences.iter().map(|of| format!("{}: {}", of.of, of.what)).collect();
    let threads = "backend ort: threads on gpt2-5m";
    for part in [
        "machine: CPU",
        "run: seed",
        "run: warmups",
        "model gpt2-5m: SHA-256",
        "backend ort: runtime version",
        threads,
    ] {
        assert!(listed.iter().any(|line| line == part), "{part}: {listed:?}");
    }
    assert_eq!(environment.warnings.len(), 2, "{:?}", environment.warnings);
}

/// One cell slower, one newly degraded, one new, another runtime version, and names that would mean something.
fn mixed() -> Compared {
    let mut newer = manifest(51);
    newer.backends[0].runtime_version = Some("1.32.0".into());
    let mut after = matrix(|prompt| if prompt == 24 { 1.3 } else { 1.0 });
    let lost = sample::degraded(DegradedKind::Crashed, "the worker ended by <signal> 11 | x");
    after[4] = Record { cell: after[4].cell.clone(), repetition: 4, ..lost };
    after.extend(runs("a|b<b>\u{1b}[2J", 8, 2.0, &sample::ok()));
    let mut found = compared(&folder(&manifest(50), matrix(|_| 1.0)), &folder(&newer, after));
    for comparison in &mut found.comparisons {
        comparison.before.folder = "runs/before".into();
        comparison.after.folder = "runs/after".into();
        comparison.notes.retain(|note| !note.contains("planned runs"));
    }
    found
}

#[test]
fn terminal_text() {
    insta::assert_snapshot!(terminal(&mixed(), Layout::Plain, Listed::Changed));
}

#[test]
fn markdown_text() {
    insta::assert_snapshot!(markdown(&mixed()));
}

#[test]
fn no_output_obeys_a_name_and_json_has_its_schema() {
    let found = mixed();
    for text in [
        terminal(&found, Layout::Terminal { width: 80 }, Listed::All),
        terminal(&found, Layout::Plain, Listed::Changed),
        markdown(&found),
    ] {
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    assert!(!markdown(&found).contains("<b>"));
    let schema = serde_json::to_value(schemars::schema_for!(Compared)).unwrap();
    let json = serde_json::to_value(&found).unwrap();
    for name in json.as_object().unwrap().keys() {
        assert!(schema["properties"][name]["description"].is_string(), "{name}");
    }
}
