//! Every backend against the baseline, cell by cell: how large the difference is, how sure, and what may be said of it.
//!
//! A claim needs three things: enough ok runs on both sides, significance after Holm's correction over all comparisons
//! of the same metric, and a difference that matters. A difference shown to be too small to matter is a claim too.

use super::cell::CellSummary;
use super::group::{Call, Scenario};
use crate::stats::{EffectSize, Interval, Summary, TTest, Test, effect_size, holm, ratio_of_means, t_test};
use crate::validity::LEAST_RUNS;
use schemars::JsonSchema;
use serde::Serialize;

/// The level of significance.
pub const ALPHA: f64 = 0.05;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Milliseconds around the call.
    LatencyMs,
    /// Tokens processed over latency, per second.
    ThroughputTokS,
    /// Milliseconds to the first token.
    TtftMs,
    /// Milliseconds per token after the first.
    TpotMs,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::LatencyMs, Self::ThroughputTokS, Self::TtftMs, Self::TpotMs];

    /// The name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LatencyMs => "latency_ms",
            Self::ThroughputTokS => "throughput_tok_s",
            Self::TtftMs => "ttft_ms",
            Self::TpotMs => "tpot_ms",
        }
    }

    /// The cell's sample of it.
    pub fn of(self, cell: &CellSummary) -> &Summary {
        match self {
            Self::LatencyMs => &cell.latency_ms,
            Self::ThroughputTokS => &cell.throughput_tok_s,
            Self::TtftMs => &cell.ttft_ms,
            Self::TpotMs => &cell.tpot_ms,
        }
    }

    fn more_is_better(self) -> bool {
        self == Self::ThroughputTokS
    }
}

/// What may be said of a backend against the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Significantly better, by the threshold and more, and the ratio's interval excludes 1.
    Better,
    /// The same for worse.
    Worse,
    /// The whole 95% interval of the ratio lies within the threshold.
    Equivalent,
    /// None of these is shown.
    Unclear,
    /// One side has fewer ok runs than `least` asks for, or they took less time.
    TooFewRuns,
}

impl Outcome {
    /// As reports name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Equivalent => "equivalent",
            Self::Unclear => "unclear",
            Self::TooFewRuns => "too few runs",
        }
    }
}

/// One metric of one cell against the baseline's.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// The model.
    pub model: String,
    /// What was called.
    pub call: Call,
    /// The scenario.
    pub scenario: Scenario,
    /// The backend.
    pub backend: String,
    /// What it is compared with.
    pub baseline: String,
    /// The backend's cell.
    pub cell: String,
    /// The baseline's cell.
    pub baseline_cell: String,
    /// What is compared.
    pub metric: Metric,
    /// The backend's ok runs.
    pub n: usize,
    /// The baseline's.
    pub baseline_n: usize,
    /// The backend's mean.
    pub mean: Option<f64>,
    /// The baseline's.
    pub baseline_mean: Option<f64>,
    /// The backend's mean over the baseline's.
    pub ratio: Option<f64>,
    /// Its 95% confidence interval, by the delta method on its logarithm.
    pub ratio_ci95: Option<Interval>,
    /// The backend's mean less the baseline's, and the test of it; none where a side has fewer than 2 runs or neither
    /// varies.
    pub test: Option<TTest>,
    /// The test's p after Holm's correction over `family` tests.
    pub p_holm: Option<f64>,
    /// Tests of the same metric in this report.
    pub family: usize,
    /// In units of what runs vary by.
    pub effect: Option<EffectSize>,
    /// What may be said.
    pub outcome: Outcome,
}

/// All comparisons with `baseline`; differences below `threshold` count as none. What other programs measured is compared
/// with what the same program measured alone, and takes no part in our corrections.
pub(super) fn comparisons(
    cells: &[CellSummary],
    baseline: &str,
    test: Test,
    threshold: f64,
) -> Vec<Comparison> {
    let mut found: Vec<Comparison> = Vec::new();
    for row in cells.chunk_by(CellSummary::same_row) {
        let Some(base) = row.iter().find(|cell| cell.backend == baseline) else { continue };
        let others = row.iter().filter(|cell| cell.backend != baseline && cell.same_tool(base));
        found.extend(
            others.flat_map(|cell| Metric::ALL.map(|metric| Comparison::of(cell, base, metric, test))),
        );
    }
    found.retain(|of| of.n > 0 && of.baseline_n > 0);
    Metric::ALL.into_iter().for_each(|metric| correct(&mut found, metric));
    for comparison in &mut found {
        comparison.outcome = comparison.decide(threshold);
    }
    found
}

/// Holm's correction over the tests of one metric.
fn correct(all: &mut [Comparison], metric: Metric) {
    let mut tested: Vec<&mut Comparison> =
        all.iter_mut().filter(|of| of.metric == metric && of.test.is_some()).collect();
    let p: Vec<f64> = tested.iter().filter_map(|of| Some(of.test?.p)).collect();
    let family = p.len();
    for (comparison, p) in tested.iter_mut().zip(holm(&p)) {
        comparison.p_holm = Some(p);
        comparison.family = family;
    }
}

impl Comparison {
    fn of(cell: &CellSummary, base: &CellSummary, metric: Metric, test: Test) -> Self {
        let (a, b) = (metric.of(cell), metric.of(base));
        let ratio = ratio_of_means(a, b);
        let enough = cell.has_enough_runs() && base.has_enough_runs();
        Self {
            model: cell.model.clone(),
            call: cell.call,
            scenario: cell.scenario.clone(),
            backend: cell.backend.clone(),
            baseline: base.backend.clone(),
            cell: cell.cell.clone(),
            baseline_cell: base.cell.clone(),
            metric,
            n: a.n,
            baseline_n: b.n,
            mean: a.mean,
            baseline_mean: b.mean,
            ratio: ratio.map(|of| of.ratio),
            ratio_ci95: ratio.and_then(|of| of.ci95),
            test: t_test(a, b, test),
            p_holm: None,
            family: 0,
            effect: effect_size(a, b),
            outcome: if enough { Outcome::Unclear } else { Outcome::TooFewRuns },
        }
    }

    fn decide(&self, threshold: f64) -> Outcome {
        if self.outcome == Outcome::TooFewRuns || self.n.min(self.baseline_n) < LEAST_RUNS {
            return Outcome::TooFewRuns;
        }
        let Some((ratio, interval)) = self.ratio.zip(self.ratio_ci95) else { return Outcome::Unclear };
        let matters = (ratio - 1.0).abs() >= threshold;
        // Two samples without any spread cannot be tested; that they differ is plain.
        let significant = self.p_holm.map_or(interval.low == interval.high, |p| p < ALPHA);
        if matters && significant && !interval.contains(1.0) {
            let better = (ratio > 1.0) == self.metric.more_is_better();
            return if better { Outcome::Better } else { Outcome::Worse };
        }
        let within = interval.low > 1.0 - threshold && interval.high < 1.0 + threshold;
        if within { Outcome::Equivalent } else { Outcome::Unclear }
    }
}
