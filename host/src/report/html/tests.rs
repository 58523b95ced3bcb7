//! The page's structure, whatever the folder; how it looks and works is tested in a browser (`tests/page.rs`).

use super::page;
use crate::accuracy::{Evaluation, Verdict, sample as evaluations};
use crate::analysis::{Analysis, analyse};
use crate::manifest::{Manifest, ModelEntry, sample::manifest};
use crate::record::{DegradedKind, Record, sample};
use crate::report::charts::charts;
use crate::report::series::Tracks;
use crate::stats::Test;
use crate::store::{Evaluations, Records};

fn analysed(manifest: &Manifest, records: Vec<Record>, evaluations: Vec<Evaluation>) -> Analysis {
    let found = Evaluations { evaluations, torn: false };
    let settings = crate::config::ReportSettings::of(&manifest.config).unwrap();
    analyse(manifest, Records { records, torn: false }.into(), &found, Test::Welch, settings)
}

fn page_of(manifest: &Manifest, records: Vec<Record>, evaluations: Vec<Evaluation>) -> String {
    let analysis = analysed(manifest, records, evaluations);
    page(manifest, &analysis, &charts(manifest, &analysis, &Tracks::default()))
}

fn runs(backend: &str, latencies: &[f64]) -> Vec<Record> {
    let run = |(repetition, latency): (usize, &f64)| Record {
        cell: format!("{backend} cell"),
        backend: backend.into(),
        repetition: repetition as u32,
        latency_ms: Some(*latency),
        throughput_tok_s: Some(16_000.0 / latency),
        ..sample::generated()
    };
    latencies.iter().enumerate().map(run).collect()
}

/// The sections of a page, in order.
fn sections(page: &str) -> Vec<&str> {
    page.split("<section aria-labelledby=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn the_answer_comes_first_and_the_machine_last() {
    let records = [runs("ort", &[9.0, 9.1, 9.2]), runs("candle", &[16.0, 16.5, 17.0])].concat();
    let accuracy = vec![
        evaluations::evaluation("ort", Verdict::Baseline, 0.0),
        evaluations::evaluation("candle", Verdict::Pass, 1e-5),
    ];
    let page = page_of(&manifest(6), records, accuracy);
    let expected = [
        "answer",
        "overview",
        "overall",
        "accuracy",
        "model-1-gpt2-5m",
        "comparisons",
        "cells",
        "how-to-read",
        "backends",
        "models",
        "environment",
    ];
    assert_eq!(sections(&page), expected);
    for part in [
        "<strong>Lowest latency: </strong>ort",
        "href=\"#cell-candle-cell\">candle</a>",
        "id=\"cell-candle-cell\"",
        "line 4 (0/0): 16.0000 ms",
        "id=\"chart-speed-gpt2-5m-generate-cached\"",
        "id=\"chart-perplexity-gpt2-5m-generate-cached\"",
        "ort, micro 1x8+8: 9.10 ms, 95% CI",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn names_are_text_and_cells_of_one_id_are_told_apart() {
    let hostile = "</title><script>alert(1)</script>\"'";
    let mut records = [runs(hostile, &[2.0, 3.0]), runs("b", &[2.0, 3.0])].concat();
    for record in &mut records {
        (record.cell, record.model) = (hostile.into(), hostile.into());
    }
    records.push(Record { model: hostile.into(), ..sample::degraded(DegradedKind::Crashed, hostile) });
    let entry = ModelEntry { name: hostile.into(), spec: hostile.into(), ..ModelEntry::default() };
    let manifest =
        Manifest { name: hostile.into(), models: vec![entry], baseline: Some("b".into()), ..manifest(5) };
    let page = page_of(&manifest, records, vec![]);
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("</title><script").count(), 0);
    let ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), ids.len(), "{ids:?}");
}

#[test]
fn a_page_without_anything_to_say_says_what_is_missing() {
    let page = page_of(&manifest(4), vec![], vec![]);
    assert_eq!(sections(&page)[..2], ["warnings", "how-to-read"]);
    assert!(page.contains("0 of 4 planned runs recorded") && page.contains("4 planned runs have no record"));
}

#[test]
fn a_very_large_page_links_its_detailed_charts() {
    let mut records = Vec::new();
    for model in 0..60 {
        for backend in ["ort", "candle"] {
            for scenario in 0..12 {
                let run = |mut record: Record| {
                    (record.model, record.scenario) = (format!("m{model}"), format!("s{scenario}"));
                    record.cell = format!("{model} {scenario} {backend}");
                    record
                };
                records.extend(runs(backend, &[9.0, 9.5, 10.0, 11.0]).into_iter().map(run));
            }
        }
    }
    let page = page_of(&manifest(records.len() as u64), records, vec![]);
    assert!(page.len() < 8_000_000, "{}", page.len());
    assert!(page.contains("the chart is in <a href=\"plots/distribution-"), "all charts are inside");
    assert!(page.contains("<svg") && !page.contains("the chart is in <a href=\"plots/overall"));
}
