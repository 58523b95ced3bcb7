//! Reports of whole run folders.

use super::*;
use crate::accuracy::Evaluation;
use crate::manifest::sample::manifest;
use crate::record::{DegradedKind, Record, sample};
use crate::store::{Evaluations, Records, RunFolder};
use std::fs;

fn report_of(manifest: Manifest, records: Vec<Record>) -> Report {
    report_with(manifest, records, Vec::new())
}

fn report_with(manifest: Manifest, records: Vec<Record>, evaluations: Vec<Evaluation>) -> Report {
    let found = Evaluations { evaluations, torn: false };
    let settings = ReportSettings::of(&manifest.config).unwrap();
    let analysis = analyse(&manifest, Records { records, torn: false }.into(), &found, Test::Welch, settings);
    Report { manifest, analysis, tracks: Tracks::default() }
}

fn on(backend: &str, repetition: u32, latency_ms: f64, of: Record) -> Record {
    Record {
        cell: format!("{backend} {} {}", of.scenario, of.mode.name()),
        backend: backend.into(),
        repetition,
        latency_ms: Some(latency_ms),
        throughput_tok_s: of.tokens_processed.map(|tokens| tokens as f64 / latency_ms * 1000.0),
        ..of
    }
}

/// Two backends, prefill and generation, one of the second backend's runs lost.
fn mixed_records() -> Vec<Record> {
    let crash = "the worker ended by <signal> 11\n\u{1b}[31mpanicked | at 'x'\u{1b}[0m";
    let lost = sample::degraded(DegradedKind::Crashed, crash);
    let lost =
        Record { cell: "candle micro prefill".into(), backend: "candle".into(), repetition: 1, ..lost };
    let other_output = Record { output_digest: Some("bb".into()), ..sample::generated() };
    vec![
        on("ort", 0, 2.0, sample::ok()),
        on("ort", 1, 2.1, sample::ok()),
        on("candle", 0, 4.0, sample::ok()),
        lost,
        on("ort", 0, 9.0, sample::generated()),
        on("ort", 1, 9.4, sample::generated()),
        on("candle", 0, 16.0, sample::generated()),
        on("candle", 1, 18.0, other_output),
    ]
}

fn mixed() -> Report {
    report_of(manifest(10), mixed_records())
}

#[test]
fn terminal_text() {
    insta::assert_snapshot!(mixed().terminal(Layout::Terminal { width: 80 }));
}

#[test]
fn plain_text() {
    insta::assert_snapshot!(mixed().terminal(Layout::Plain));
}

#[test]
fn markdown_document() {
    let report = mixed();
    insta::assert_snapshot!(markdown::markdown(&report.manifest, &report.analysis));
}

/// The same with an evaluation of three backends, of which one is off and one was lost.
fn evaluated() -> Report {
    use crate::accuracy::{Verdict, sample};
    let evaluations = vec![
        sample::evaluation("candle", Verdict::Failed, 0.0123),
        sample::evaluation("ort", Verdict::Baseline, 0.0),
        sample::degraded("gone"),
    ];
    report_with(Manifest { planned_evaluations: 4, ..manifest(10) }, mixed_records(), evaluations)
}

#[test]
fn terminal_text_with_accuracy() {
    insta::assert_snapshot!(evaluated().terminal(Layout::Terminal { width: 100 }));
}

#[test]
fn markdown_document_with_accuracy() {
    let report = evaluated();
    let document = markdown::markdown(&report.manifest, &report.analysis);
    let results = document.split("## Degraded runs").next().unwrap();
    insta::assert_snapshot!(results);
}

#[test]
fn accuracy_table() {
    let report = evaluated();
    let table = accuracy::csv(report.analysis.accuracy.as_ref().unwrap()).unwrap();
    insta::assert_snapshot!(String::from_utf8(table).unwrap());
    let cells = String::from_utf8(csv::csv(&report.analysis.cells).unwrap()).unwrap();
    assert_eq!(cells.lines().filter(|row| row.split(',').any(|field| field == "FAILED")).count(), 2);
}

#[test]
fn csv_table() {
    let table = csv::csv(&mixed().analysis.cells).unwrap();
    insta::assert_snapshot!(String::from_utf8(table).unwrap());
}

/// A scenario long enough to be sampled, on one backend twice, on another once and too short the other time, and lost on
/// a third; and one that is not long enough.
fn sampled() -> Report {
    let short = on("candle", 1, 180.0, sample::long());
    let unsampled = Record { telemetry: sample::ok().telemetry, ..short };
    let degraded = sample::degraded(DegradedKind::RuntimeMissing, "no plugin");
    let Record { status, degraded, telemetry, latency_ms, .. } = degraded;
    let (cell, backend) = ("gone study".to_string(), "gone".to_string());
    let lost = Record { cell, backend, status, degraded, telemetry, latency_ms, ..sample::long() };
    report_of(
        manifest(6),
        vec![
            on("ort", 0, 9.0, sample::generated()),
            on("ort", 0, 2_000.0, sample::long()),
            on("ort", 1, 2_100.0, sample::long()),
            on("candle", 0, 6_000.0, sample::long()),
            unsampled,
            lost,
        ],
    )
}

#[test]
fn terminal_text_with_resources() {
    insta::assert_snapshot!(sampled().terminal(Layout::Terminal { width: 100 }));
}

#[test]
fn markdown_document_with_resources() {
    let report = sampled();
    let document = markdown::markdown(&report.manifest, &report.analysis);
    let (results, rest) = document.split_once("## Backends").unwrap();
    assert!(rest.trim_end().lines().last().unwrap().starts_with("- **Resources**"), "{rest}");
    insta::assert_snapshot!(results);
}

#[test]
fn doubled_and_missing_runs_are_told_apart() {
    let once = on("ort", 0, 2.0, sample::ok());
    let text = report_of(manifest(2), vec![once.clone(), once]).terminal(Layout::Plain);
    for line in [
        "quick: 1 of 2 planned runs recorded, 1 ok, 0 degraded\n",
        "warning: 1 planned runs have no record; go on by --resume.\n",
        "warning: 1 records are left out: they repeat runs recorded before, the first of which counts.\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn a_run_folder_alone_is_enough() {
    let root = tempfile::tempdir().unwrap();
    let mut folder = RunFolder::create(root.path()).unwrap();
    folder.write_manifest(&manifest(1)).unwrap();
    folder.append(&sample::generated()).unwrap();
    let text = report(root.path(), Layout::Plain).unwrap();
    assert!(text.starts_with("quick: 1 of 1 planned runs recorded, 1 ok, 0 degraded\n"), "{text}");
    for file in ["report.md", "summary.csv"] {
        assert!(fs::metadata(root.path().join(file)).unwrap().len() > 0);
    }
}

#[test]
fn a_missing_manifest_is_a_clear_error() {
    let root = tempfile::tempdir().unwrap();
    let message = report(root.path(), Layout::Plain).unwrap_err().to_string();
    assert!(message.contains("no manifest.json"), "{message}");
}

#[test]
fn strange_folders_have_a_report_too() {
    let lost = |message: &str| sample::degraded(DegradedKind::OutOfMemory, message);
    let nothing_known = Manifest { models: vec![], backends: vec![], name: "\n|".into(), ..manifest(0) };
    let not_finite =
        Record { latency_ms: Some(f64::NAN), ttft_ms: Some(f64::INFINITY), ..sample::generated() };
    let unknown = Record { backend: "a|b\u{1b}[2J<b>".into(), model: String::new(), ..sample::ok() };
    for (manifest, records) in [
        (manifest(4), vec![]),
        (nothing_known.clone(), vec![]),
        (manifest(2), vec![lost(""), lost("|\r\n")]),
        (nothing_known, vec![unknown.clone(), not_finite]),
        (Manifest { ended_at: None, baseline: Some("gone".into()), ..manifest(1) }, vec![unknown]),
    ] {
        let report = report_of(manifest, records);
        let markdown = markdown::markdown(&report.manifest, &report.analysis);
        for layout in [Layout::Plain, Layout::Terminal { width: 0 }, Layout::Terminal { width: u16::MAX }] {
            let text = report.terminal(layout);
            assert!(!text.contains('\u{1b}') && !markdown.contains("<b>"), "{text}\n{markdown}");
            assert!(text.contains(" planned runs recorded") && markdown.contains(" planned runs recorded"));
        }
        assert!(csv::csv(&report.analysis.cells).unwrap().starts_with(b"cell,model,backend,"));
        serde_json::to_string(&report.analysis).unwrap();
    }
}

#[test]
fn a_terminal_line_fits_its_terminal() {
    let long = "a-backend-with-quite-a-long-name-that-somebody-found-telling";
    let records = [sample::generated(), sample::degraded(DegradedKind::Timeout, &long.repeat(4))];
    let records = records.map(|record| Record { backend: long.into(), scenario: long.into(), ..record });
    for width in [80, 100] {
        let text = report_of(manifest(2), records.to_vec()).terminal(Layout::Terminal { width });
        let tables = text.lines().filter(|line| !line.starts_with("tok/s") && !line.starts_with("warning"));
        let widest = tables.map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= usize::from(width), "{widest}\n{text}");
    }
}

/// The time it takes is not asserted but printed: `cargo test --release -p inferhost hundred -- --nocapture`.
#[test]
fn a_hundred_thousand_records_are_read_and_reported() {
    let root = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(root.path()).unwrap();
    folder.write_manifest(&manifest(100_000)).unwrap();
    let mut lines = Vec::new();
    for run in 0..100_000u32 {
        let backend = ["ort", "candle", "trt"][run as usize % 3];
        let scenario = format!("scenario-{}", run / 3 % 20);
        let of = if run % 2 == 0 { sample::ok() } else { sample::generated() };
        let record = on(backend, run / 60, 9.0 + f64::from(run % 97) / 7.0, Record { scenario, ..of });
        serde_json::to_writer(&mut lines, &record).unwrap();
        lines.push(b'\n');
    }
    fs::write(root.path().join("records.jsonl"), lines).unwrap();
    let start = std::time::Instant::now();
    let text = report(root.path(), Layout::Plain).unwrap();
    println!("100,000 records read, analysed and reported in {:?}", start.elapsed());
    assert!(text.contains("100,000 of 100,000 planned runs recorded, 100,000 ok"), "{text}");
}
