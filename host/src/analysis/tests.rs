//! The whole way from records to an analysis.

use super::*;
use crate::manifest::sample::manifest;
use crate::record::{Disturbance, Mode, Record, sample};
use crate::stats::Summary;
use crate::store::Records;

fn of(planned: u64, records: Vec<Record>) -> Analysis {
    let records = records.into_iter().map(in_its_cell).collect();
    analysed(&manifest(planned), Records { records, torn: false })
}

fn analysed(manifest: &Manifest, records: Records) -> Analysis {
    analyse(manifest, records.into(), &Evaluations::default(), Test::Welch, ReportSettings::default())
}

/// The sample with an id that follows from what it measures, as in a run folder.
fn in_its_cell(record: Record) -> Record {
    let Record { backend, prompt_tokens, mode, use_cache, .. } = &record;
    Record { cell: format!("{backend} {prompt_tokens} {} {use_cache:?}", mode.name()), ..record }
}

fn on(backend: &str, repetition: u32, throughput: f64) -> Record {
    let throughput_tok_s = Some(throughput);
    Record { backend: backend.into(), repetition, throughput_tok_s, ..sample::ok() }
}

#[test]
fn no_records_are_all_missing() {
    let found = of(4, Vec::new());
    assert_eq!(found.runs, RunCounts { planned: 4, missing: 4, ..RunCounts::default() });
    assert_eq!(found.baseline.as_deref(), Some("ort"));
    assert!(found.cells.is_empty() && found.tables().is_empty() && found.agreement.is_empty());
}

#[test]
fn every_denominator_is_counted() {
    let at = |repetition, record: Record| Record { repetition, ..record };
    let lost = sample::degraded(DegradedKind::Timeout, "no answer in 10 s");
    let found = of(3, vec![sample::ok(), at(1, lost.clone()), at(2, lost), at(3, sample::ok())]);
    let runs = &found.runs;
    assert_eq!((runs.recorded, runs.ok, runs.degraded), (4, 2, 2));
    assert_eq!((runs.missing, runs.surplus, runs.doubled), (0, 1, 0));
    assert_eq!(runs.degraded_by_kind, BTreeMap::from([(DegradedKind::Timeout, 2)]));
    let [cell] = found.cells.as_slice() else { panic!("{:?}", found.cells) };
    assert_eq!((cell.recorded, cell.ok, cell.latency_ms.n), (4, 2, 2));
    let [group] = found.degraded.as_slice() else { panic!("{:?}", found.degraded) };
    assert_eq!((group.count, group.stage, group.message.as_str()), (2, Stage::Run, "no answer in 10 s"));
}

#[test]
fn runs_that_are_not_valid_are_counted_and_marked_and_stay() {
    let of_kind = |kind| Disturbance { kind, message: "found; do".into() };
    let (busy, hot) = (of_kind(DisturbanceKind::Busy), of_kind(DisturbanceKind::Throttled));
    let with = |repetition, disturbances| Record { disturbances, ..on("ort", repetition, 1.0) };
    let found = of(4, vec![with(0, vec![busy.clone(), hot]), with(1, vec![busy]), on("ort", 2, 4.0)]);
    assert_eq!(
        (found.runs.ok, found.runs.disturbed, found.cells[0].throughput_tok_s.mean),
        (3, 2, Some(2.0))
    );
    let by_kind = [(DisturbanceKind::Busy, 2), (DisturbanceKind::Throttled, 1)];
    assert_eq!(found.runs.disturbed_by_kind, BTreeMap::from(by_kind));
    let marked = Flag::Disturbed { busy: 2, swapped: 0, throttled: 1, runs: 2 };
    assert!(found.cells[0].flags.contains(&marked), "{:?}", found.cells[0].flags);
}

#[test]
fn what_was_not_needed_is_not_missing() {
    let mut manifest = manifest(10);
    manifest.counts.spared = 7;
    let runs = analysed(&manifest, Records { records: vec![in_its_cell(sample::ok())], torn: false }).runs;
    assert_eq!((runs.planned, runs.recorded, runs.spared, runs.missing), (10, 1, 7, 2));
}

#[test]
fn a_doubled_run_does_not_make_up_for_a_lost_one() {
    let later_round = Record { round: 1, ..on("ort", 0, 3.0) };
    let found = of(4, vec![on("ort", 0, 1.0), on("ort", 0, 2.0), later_round, on("candle", 0, 1.0)]);
    let runs = &found.runs;
    assert_eq!((runs.recorded, runs.missing, runs.surplus, runs.doubled), (3, 1, 0, 1));
    assert_eq!((runs.ok, found.cells[0].ok, found.cells[0].throughput_tok_s.mean), (3, 2, Some(2.0)));
}

#[test]
fn a_cell_of_degraded_runs_alone_has_counts_and_no_figures() {
    let found = of(1, vec![sample::degraded(DegradedKind::Crashed, "signal 11")]);
    let cell = &found.cells[0];
    assert_eq!((cell.ok, cell.latency_ms, cell.throughput_ratio), (0, Summary::default(), None));
}

#[test]
fn ratios_are_to_the_baseline_of_the_same_row() {
    let larger = Record { prompt_tokens: 19, ..on("candle", 0, 500.0) };
    let found = of(4, vec![larger, on("candle", 0, 1000.0), on("ort", 0, 3000.0), on("ort", 1, 5000.0)]);
    let ratios: Vec<_> = found.cells.iter().map(|c| (c.backend.as_str(), c.throughput_ratio)).collect();
    assert_eq!(ratios, [("ort", Some(1.0)), ("candle", Some(0.25)), ("candle", None)]);
}

#[test]
fn tables_line_backends_up_and_leave_gaps() {
    let larger = Record { prompt_tokens: 19, ..on("mystery", 0, 500.0) };
    let found = of(4, vec![larger, on("candle", 0, 1000.0), on("ort", 0, 3000.0), sample::generated()]);
    let tables = found.tables();
    assert_eq!(
        tables.iter().map(|table| table.call.to_string()).collect::<Vec<_>>(),
        ["prefill", "generate cached"]
    );
    assert_eq!(tables[0].backends, ["ort", "candle", "mystery"]);
    let filled: Vec<Vec<bool>> =
        tables[0].rows.iter().map(|row| row.cells.iter().map(Option::is_some).collect()).collect();
    assert_eq!(filled, [[true, true, false], [false, false, true]]);
}

#[test]
fn a_baseline_that_never_ran_gives_no_ratio() {
    let manifest = Manifest { baseline: Some("trt".into()), ..manifest(1) };
    let found = analysed(&manifest, Records { records: vec![on("ort", 0, 1.0)], torn: true });
    assert_eq!((found.baseline.as_deref(), found.cells[0].throughput_ratio), (Some("trt"), None));
    assert!(found.runs.torn);
}

#[test]
fn outputs_are_compared_run_by_run() {
    let digest = |backend: &str, repetition: u32, digest: &str| Record {
        output_digest: Some(digest.into()),
        ..on(backend, repetition, 1.0)
    };
    let found = of(
        4,
        vec![
            digest("candle", 0, "aa"),
            digest("candle", 1, "cc"),
            digest("candle", 2, "dd"),
            digest("ort", 0, "aa"),
            digest("ort", 1, "bb"),
        ],
    );
    let [row] = found.agreement.as_slice() else { panic!("{:?}", found.agreement) };
    assert_eq!(row.reference, "ort");
    assert_eq!(row.compared, [Difference { backend: "candle".into(), runs: 2, differing: 1 }]);
    assert!(!row.holds());
}

#[test]
fn calls_come_in_reading_order() {
    let call = |mode, use_cache| Record { mode, use_cache, ..sample::ok() };
    let found = of(
        4,
        vec![
            call(Mode::Logprobs, None),
            call(Mode::Generate, Some(false)),
            call(Mode::Generate, Some(true)),
            call(Mode::Prefill, None),
        ],
    );
    let calls: Vec<String> = found.cells.iter().map(|cell| cell.call.to_string()).collect();
    assert_eq!(calls, ["prefill", "generate cached", "generate uncached", "logprobs"]);
}

#[test]
fn what_runs_used_is_over_the_runs_that_were_sampled() {
    let of_round = |round, record| Record { round, repetition: 0, ..record };
    let mut unsampled = sample::long();
    unsampled.telemetry = sample::ok().telemetry;
    let mut third = sample::long();
    third.telemetry.as_mut().unwrap().rss_p90_mb = Some(905.5);
    let found = of(3, vec![of_round(0, sample::long()), of_round(1, unsampled), of_round(2, third)]);
    let [cell] = found.cells.as_slice() else { panic!("{:?}", found.cells) };
    let used = &cell.resources;
    assert_eq!((cell.ok, used.sampled_runs(), used.rss_p90_mb.mean), (3, 2, Some(855.5)));
    assert_eq!((used.rss_peak_mb.n, used.rss_peak_mb.mean, cell.rss_peak_mb), (3, Some(612.0), Some(812.0)));
    assert_eq!((used.disk_bytes, used.model_bytes), (Some(20_150_000), Some(20_149_248)));
    assert!(cell.latency_ms.sd.is_some() && cell.ttft_ms.sd.is_some(), "rounds are repetitions too");
}

#[test]
fn every_field_of_the_schema_says_what_it_is() {
    let schema = serde_json::to_value(schemars::schema_for!(Analysis)).unwrap();
    let mut seen = 0;
    described(&schema, "Analysis", &mut seen);
    assert!(seen > 150, "{seen}");
}

fn described(schema: &serde_json::Value, at: &str, seen: &mut usize) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        // A tag has its variant's description.
        let tag = property.get("const").is_some();
        assert!(tag || property["description"].is_string(), "{at}.{name} has no description");
        *seen += 1;
    }
    for key in ["$defs", "oneOf", "anyOf"] {
        match &schema[key] {
            serde_json::Value::Object(map) => {
                map.iter().for_each(|(name, below)| described(below, name, seen))
            }
            serde_json::Value::Array(items) => items.iter().for_each(|below| described(below, at, seen)),
            _ => {}
        }
    }
}

#[test]
fn a_report_is_the_same_every_time() {
    let records = || {
        (0..40).map(|run| on(["ort", "candle"][run % 2], run as u32 / 2, 1000.0 + (run * run % 17) as f64))
    };
    let json = || serde_json::to_string(&of(40, records().collect())).unwrap();
    assert_eq!(json(), json());
}
