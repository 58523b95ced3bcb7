//! What is claimed, and what is not: comparisons, flags, recommendations, crossovers.

use super::*;
use crate::accuracy::sample as evaluations;
use crate::accuracy::{Evaluation, Verdict};
use crate::manifest::ModelEntry;
use crate::manifest::sample::manifest;
use crate::record::{Record, sample};
use crate::store::Records;

/// Prefill runs of one backend with these latencies, in this order.
fn runs(backend: &str, latencies: &[f64]) -> Vec<Record> {
    let run = |(repetition, latency): (u32, &f64)| Record {
        cell: backend.into(),
        backend: backend.into(),
        repetition,
        latency_ms: Some(*latency),
        throughput_tok_s: Some(8000.0 / latency),
        ..sample::ok()
    };
    (0..).zip(latencies).map(run).collect()
}

fn analysed(records: Vec<Record>, evaluations: Vec<Evaluation>) -> Analysis {
    let manifest = manifest(records.len() as u64);
    with_manifest(&manifest, records, evaluations)
}

fn with_manifest(manifest: &Manifest, records: Vec<Record>, evaluations: Vec<Evaluation>) -> Analysis {
    let records = Records { records, torn: false };
    let settings = ReportSettings::of(&manifest.config).unwrap();
    analyse(manifest, records.into(), &Evaluations { evaluations, torn: false }, Test::Welch, settings)
}

fn outcome(candle: &[f64], ort: &[f64]) -> Outcome {
    let found = analysed([runs("ort", ort), runs("candle", candle)].concat(), Vec::new());
    let latency = found.comparisons.iter().find(|of| of.metric == Metric::LatencyMs).unwrap();
    assert_eq!((latency.n, latency.baseline_n), (candle.len(), ort.len()));
    latency.outcome
}

#[test]
fn a_claim_needs_runs_significance_and_a_difference_that_matters() {
    let base = [10.0, 10.1, 9.9, 10.05, 9.95];
    let scaled = |factor: f64| base.map(|latency| latency * factor);
    for (candle, expected) in [
        (scaled(0.8).to_vec(), Outcome::Better),
        (scaled(1.2).to_vec(), Outcome::Worse),
        (scaled(1.0005).to_vec(), Outcome::Equivalent),
        (scaled(1.015).to_vec(), Outcome::Unclear),
        (vec![8.0, 14.0, 9.0, 13.0, 12.0], Outcome::Unclear),
        (vec![20.0, 20.1], Outcome::TooFewRuns),
    ] {
        assert_eq!(outcome(&candle, &base), expected, "{candle:?}");
    }
    assert_eq!(outcome(&[20.0; 3], &[10.0; 3]), Outcome::Worse, "what does not vary is plainly apart");
}

#[test]
fn degraded_runs_take_part_in_no_claim() {
    let lost = |repetition| Record {
        cell: "candle".into(),
        backend: "candle".into(),
        repetition,
        ..sample::degraded(DegradedKind::Crashed, "gone")
    };
    let mut records = [runs("ort", &[10.0, 10.1, 9.9]), runs("candle", &[5.0, 5.1])].concat();
    records.extend((2..9).map(lost));
    let found = analysed(records, Vec::new());
    assert!(found.comparisons.iter().all(|of| of.outcome == Outcome::TooFewRuns && of.n == 2));
    let standing = found.standings.iter().find(|of| of.backend == "candle").unwrap();
    assert_eq!(
        (standing.degraded_rate.count, standing.degraded_rate.of, standing.pooled.latency_ms.n),
        (7, 9, 2)
    );
    assert!(found.recommendations.iter().all(|of| of.leaders == ["ort"]), "{:?}", found.recommendations);
}

#[test]
fn the_correction_is_over_all_comparisons_of_a_metric() {
    let records = |backend: &str, scenario: u32, latencies: &[f64]| {
        let of = |record: Record| Record {
            prompt_tokens: scenario,
            cell: format!("{backend}{scenario}"),
            ..record
        };
        runs(backend, latencies).into_iter().map(of).collect::<Vec<_>>()
    };
    let (ort, candle) = ([10.0, 10.4, 9.7, 10.2], [10.9, 11.4, 10.5, 10.8]);
    let all =
        (1..=10).flat_map(|scenario| [records("ort", scenario, &ort), records("candle", scenario, &candle)]);
    let found = analysed(all.flatten().collect(), Vec::new());
    let latencies: Vec<&Comparison> =
        found.comparisons.iter().filter(|of| of.metric == Metric::LatencyMs).collect();
    assert_eq!(latencies.len(), 10);
    for of in latencies {
        let p = of.test.unwrap().p;
        assert!(p < 0.05 && of.p_holm.unwrap() > p && of.family == 10, "{of:?}");
    }
}

#[test]
fn a_backend_that_fails_the_gate_is_passed_over() {
    let records = [runs("ort", &[10.0, 10.1, 9.9]), runs("candle", &[5.0, 5.1, 5.05])].concat();
    let gate = vec![
        evaluations::evaluation("ort", Verdict::Baseline, 0.0),
        evaluations::evaluation("candle", Verdict::Failed, 0.2),
    ];
    let (open, gated) = (analysed(records.clone(), Vec::new()), analysed(records, gate));
    let latency = |of: &Analysis| of.recommendations[0].clone();
    assert_eq!(
        (latency(&open).use_case, latency(&open).leaders),
        (Use::LowestLatency, vec!["candle".to_string()])
    );
    assert_eq!(latency(&gated).leaders, ["ort"]);
    assert_eq!(latency(&gated).passed_over[0].reason, "the accuracy gate fails it");
}

#[test]
fn who_is_not_shown_to_differ_shares_the_lead() {
    let records = [runs("ort", &[10.0, 11.0, 9.0, 10.5]), runs("candle", &[9.7, 10.9, 9.1, 10.4])].concat();
    let found = analysed(records, Vec::new());
    assert_eq!(found.recommendations[0].leaders, ["candle", "ort"]);
}

#[test]
fn what_is_imported_stands_beside_and_is_not_recommended() {
    let from = crate::record::Imported { tool: "llama-bench".into(), ..crate::record::Imported::default() };
    let elsewhere = |record: Record| Record { imported: Some(from.clone()), ..record };
    let imported = runs("llama", &[1.0, 1.1, 0.9]).into_iter().map(elsewhere);
    let alone = imported.clone().map(|record| Record { scenario: "n8".into(), cell: "n8".into(), ..record });
    let records = runs("ort", &[10.0, 10.1, 9.9]).into_iter().chain(imported).chain(alone).collect();
    let found = analysed(records, Vec::new());
    let first = &found.recommendations[0];
    assert_eq!((first.leaders.as_slice(), first.scenarios.len()), (&["ort".to_string()][..], 1));
    assert_eq!(first.passed_over[0].reason, "measured by llama-bench, not here");
}

#[test]
fn costs_follow_from_price_and_throughput() {
    let mut manifest = manifest(6);
    manifest.config =
        serde_json::json!({"report": {"price_per_hour": 3.6, "prices_per_hour": {"candle": 36.0}}});
    let records = [runs("ort", &[8.0, 8.0, 8.0]), runs("candle", &[4.0, 4.0, 4.0])].concat();
    let found = with_manifest(&manifest, records, Vec::new());
    // 1,000 and 2,000 tok/s at 0.001 and 0.01 a second.
    let costs: Vec<f64> = found.cells.iter().filter_map(|cell| cell.cost_per_million_tokens).collect();
    assert!((costs[0] - 1.0).abs() < 1e-12 && (costs[1] - 5.0).abs() < 1e-12, "{costs:?}");
    let cheapest = found.recommendations.iter().find(|of| of.use_case == Use::LeastCost).unwrap();
    assert_eq!(cheapest.leaders, ["ort"]);
}

fn flags_of(latencies: &[f64]) -> Vec<Flag> {
    analysed(runs("ort", latencies), Vec::new()).cells[0].flags.clone()
}

#[test]
fn doubtful_cells_are_flagged() {
    let names = |latencies: &[f64]| -> Vec<&str> {
        let name = |flag: &Flag| match flag {
            Flag::TooFewRuns { .. } => "few",
            Flag::TooLittleTime { .. } => "short",
            Flag::Disturbed { .. } => "disturbed",
            Flag::Unstable { .. } => "unstable",
            Flag::SlowFirstRun { .. } => "slow first",
            Flag::Drift { .. } => "drift",
            Flag::WorkersDiffer { .. } => "workers differ",
        };
        flags_of(latencies).iter().map(name).collect()
    };
    let rising: Vec<f64> =
        (0..20).map(|run| 10.0 + 0.05 * f64::from(run) + 0.01 * f64::from(run % 3)).collect();
    assert_eq!(names(&[10.0, 10.1, 9.9, 10.0]), [""; 0]);
    assert_eq!(names(&[10.0, 10.1]), ["few"]);
    assert_eq!(names(&[10.0, 14.0, 8.0, 12.0]), ["unstable"]);
    assert_eq!(names(&[20.0, 10.0, 10.1, 9.9]), ["unstable", "slow first"]);
    assert_eq!(names(&rising), ["drift"]);
}

#[test]
fn outliers_are_labelled_and_kept() {
    let found = analysed(runs("ort", &[10.0, 10.1, 9.9, 10.05, 30.0, 9.95]), Vec::new());
    let cell = &found.cells[0];
    assert_eq!(
        (cell.outlier_lines.as_slice(), cell.latency_ms.n, cell.latency_ms.max),
        (&[5][..], 6, Some(30.0))
    );
}

/// Four models on which candle is `ratio(params)` times as fast as ort.
fn over_sizes(ratio: fn(f64) -> f64) -> SizeCrossover {
    let sizes = [1e6, 1e7, 5e7, 1e8];
    let mut manifest = manifest(24);
    let entry = |params: &f64| ModelEntry {
        name: format!("m{params}"),
        parameters: Some(*params as u64),
        ..ModelEntry::default()
    };
    manifest.models = sizes.iter().map(entry).collect();
    let of = |params: f64, backend: &str, factor: f64| {
        let own = |record: Record| Record {
            model: format!("m{params}"),
            cell: format!("{params}{backend}"),
            ..record
        };
        runs(backend, &[10.0, 10.1, 9.9].map(|latency| latency / factor))
            .into_iter()
            .map(own)
            .collect::<Vec<_>>()
    };
    let records =
        sizes.iter().flat_map(|&params| [of(params, "ort", 1.0), of(params, "candle", ratio(params))]);
    let found = with_manifest(&manifest, records.flatten().collect(), Vec::new());
    found.crossovers.into_iter().next().unwrap()
}

#[test]
fn a_crossover_is_found_where_it_is_and_not_elsewhere() {
    use crate::stats::Crossing;
    let found = over_sizes(|params| (2e7 / params).powf(0.5));
    assert_eq!((found.backend.as_str(), found.against.as_str(), found.points.len()), ("candle", "ort", 4));
    assert!(matches!(found.fit.crossing, Crossing::Inside { params } if (params / 2e7 - 1.0).abs() < 1e-9));
    let band = found.fit.transition.unwrap();
    assert_eq!((band.low, band.high), (1e7, 5e7));

    let outside = over_sizes(|params| (1e9 / params).powf(0.5));
    assert!(matches!(outside.fit.crossing, Crossing::Above { .. }) && outside.fit.transition.is_none());
}

#[test]
fn a_build_is_weighed_against_what_it_gains() {
    let mut manifest = manifest(6);
    manifest.artifacts = vec![crate::manifest::ArtifactEntry {
        model: "gpt2-5m".into(),
        backend: "candle".into(),
        name: "onnx-fp32".into(),
        build_seconds: Some(60.0),
        ..crate::manifest::ArtifactEntry::default()
    }];
    // 1,000 and 4,000 tok/s.
    let records = [runs("ort", &[8.0, 8.0, 8.0]), runs("candle", &[2.0, 2.0, 2.0])].concat();
    let found = with_manifest(&manifest, records, Vec::new());
    let recovered = found.paybacks[0].recovered.unwrap();
    assert!((recovered.tokens - 80_000.0).abs() < 1e-6, "{recovered:?}");
    assert!((recovered.runs.unwrap() - 10_000.0).abs() < 1e-6, "{recovered:?}");
}

fn in_scenario(name: &str, records: Vec<Record>) -> Vec<Record> {
    let of = |record: Record| Record {
        scenario: name.into(),
        cell: format!("{}{name}", record.backend),
        ..record
    };
    records.into_iter().map(of).collect()
}

#[test]
fn a_scenario_that_nobody_could_run_changes_no_answer() {
    let lost = |backend: &str| Record {
        backend: backend.into(),
        ..sample::degraded(DegradedKind::OutOfMemory, "no memory")
    };
    let tie = [runs("ort", &[10.0, 11.0, 9.0, 10.5]), runs("candle", &[9.3, 10.9, 8.6, 10.2])].concat();
    let extra = in_scenario("huge", vec![lost("ort"), lost("candle")]);
    let (without, with) = (analysed(tie.clone(), Vec::new()), analysed([tie, extra].concat(), Vec::new()));
    let first =
        |of: &Analysis| (of.recommendations[0].leaders.clone(), of.recommendations[0].candidates.clone());
    assert_eq!(first(&without), first(&with));
    assert_eq!(first(&with).0, ["candle", "ort"]);
}

#[test]
fn a_call_that_nobody_could_run_leaves_the_question_to_the_others() {
    let generate = |record: Record| Record {
        mode: crate::record::Mode::Generate,
        use_cache: Some(true),
        new_tokens: 8,
        cell: "generate".into(),
        ..record
    };
    let lost = generate(sample::degraded(DegradedKind::Crashed, "gone"));
    let records = [runs("ort", &[10.0, 10.1, 9.9]), vec![lost]].concat();
    let found = analysed(records, Vec::new());
    let first = &found.recommendations[0];
    assert_eq!(
        (first.call.mode, first.leaders.as_slice()),
        (crate::record::Mode::Prefill, &["ort".to_string()][..])
    );
}

#[test]
fn a_candidate_without_a_figure_is_named() {
    let mut manifest = manifest(6);
    manifest.config = serde_json::json!({"report": {"prices_per_hour": {"ort": 1.0}}});
    let records = [runs("ort", &[8.0, 8.1, 8.2]), runs("candle", &[4.0, 4.1, 4.2])].concat();
    let found = with_manifest(&manifest, records, Vec::new());
    let cheapest = found.recommendations.iter().find(|of| of.use_case == Use::LeastCost).unwrap();
    assert_eq!(
        (cheapest.leaders.as_slice(), cheapest.passed_over[0].reason.as_str()),
        (&["ort".to_string()][..], "no price")
    );
}

#[test]
fn a_gain_on_short_work_does_not_pay_for_a_loss_on_long() {
    let mut manifest = manifest(12);
    manifest.artifacts = vec![crate::manifest::ArtifactEntry {
        model: "gpt2-5m".into(),
        backend: "candle".into(),
        build_seconds: Some(60.0),
        ..crate::manifest::ArtifactEntry::default()
    }];
    let payback = |short: [f64; 3], long: [f64; 3]| {
        let records = [
            in_scenario("short", runs("ort", &[1.0, 1.01, 0.99])),
            in_scenario("short", runs("candle", &short)),
            in_scenario("long", runs("ort", &[1000.0, 1001.0, 999.0])),
            in_scenario("long", runs("candle", &long)),
        ];
        with_manifest(&manifest, records.concat(), Vec::new()).paybacks.remove(0)
    };
    assert_eq!(
        payback([0.1, 0.101, 0.099], [1500.0, 1501.0, 1499.0]).recovered,
        None,
        "each round takes longer"
    );
    let faster = payback([0.5, 0.51, 0.49], [500.0, 501.0, 499.0]);
    // A round of two runs saves 500.5 ms.
    let runs = faster.recovered.unwrap().runs.unwrap();
    assert!((runs / (2.0 * 60_000.0 / 500.5) - 1.0).abs() < 1e-9 && faster.n == 12, "{faster:?}");
    let noise = payback([1.0, 1.1, 0.9], [999.0, 1300.0, 700.0]);
    assert!(noise.recovered.is_none() && noise.test.unwrap().p > 0.05, "{noise:?}");
}

#[test]
fn what_other_programs_measured_takes_no_part_in_our_corrections() {
    let from = crate::record::Imported { tool: "llama-bench".into(), ..crate::record::Imported::default() };
    let ours = [runs("ort", &[10.0, 10.4, 9.7]), runs("candle", &[12.0, 12.3, 11.8])].concat();
    let mut all = ours.clone();
    for backend in ["a", "b", "c"] {
        let imported = runs(backend, &[5.0, 5.1, 5.2]).into_iter();
        all.extend(imported.map(|record| Record { imported: Some(from.clone()), ..record }));
    }
    let (alone, together) = (analysed(ours, Vec::new()), analysed(all, Vec::new()));
    assert_eq!(alone.comparisons, together.comparisons);
    let rank = |of: &Analysis| of.standings.iter().find(|of| of.backend == "candle").unwrap().mean_rank;
    assert_eq!((rank(&alone), rank(&together)), (Some(2.0), Some(2.0)));
    assert!(together.cells.iter().any(|cell| cell.imported.is_some() && cell.throughput_ratio.is_some()));
}

#[test]
fn drift_is_looked_for_within_workers() {
    let of_worker = |round: u32, latency: fn(f64) -> f64| {
        let latencies: Vec<f64> =
            (0..10).map(|run| latency(f64::from(run)) + 0.01 * f64::from(run * 7 % 3)).collect();
        let of = move |record: Record| Record { round, ..record };
        runs("ort", &latencies).into_iter().map(of).collect::<Vec<_>>()
    };
    let flags = |records: Vec<Record>| analysed(records, Vec::new()).cells[0].flags.clone();
    let slowing = flags((0..3).flat_map(|round| of_worker(round, |run| 10.0 + 0.1 * run)).collect());
    assert!(slowing.iter().any(|flag| matches!(flag, Flag::Drift { .. })), "{slowing:?}");
    let apart = flags([of_worker(0, |_| 10.0), of_worker(1, |_| 11.0)].concat());
    assert!(matches!(apart.as_slice(), [Flag::WorkersDiffer { .. }]), "{apart:?}");
}

#[test]
fn scenarios_lost_at_some_sizes_bend_no_line() {
    let sizes = [1_000_000_u64, 10_000_000, 50_000_000, 100_000_000];
    let mut manifest = manifest(0);
    let entry = |params: &u64| ModelEntry {
        name: format!("m{params}"),
        parameters: Some(*params),
        ..ModelEntry::default()
    };
    manifest.models = sizes.iter().map(entry).collect();
    // candle is half as fast in one scenario and four times in the other, at every size that it can run.
    let mut records = Vec::new();
    for (index, params) in sizes.iter().enumerate() {
        let own = |scenario: &str, backend: &str, latency: f64| {
            let found = in_scenario(scenario, runs(backend, &[latency, latency * 1.01, latency * 0.99]));
            let of = |record: Record| Record {
                model: format!("m{params}"),
                cell: format!("{}{params}", record.cell),
                ..record
            };
            found.into_iter().map(of).collect::<Vec<_>>()
        };
        records
            .extend([own("one", "ort", 10.0), own("one", "candle", 20.0), own("big", "ort", 40.0)].concat());
        if index < 2 {
            records.extend(own("big", "candle", 10.0));
        }
    }
    let found = with_manifest(&manifest, records, Vec::new());
    let line = &found.crossovers[0];
    assert!(
        line.points.iter().all(|point| point.scenarios == 1 && (point.ratio - 0.5).abs() < 1e-9),
        "{line:?}"
    );
}
