//! One metric of one cell in one folder, as the tests see it: by its fastest run.
//!
//! Whatever else a machine does only adds time to a run, so the fastest run says most of the program and least of the
//! machine; means and intervals over all runs stay in the tables.

use super::cells::Run;
use crate::stats::quantile;

/// Makes a median absolute deviation estimate a standard deviation.
pub(super) const MAD_TO_SD: f64 = 1.482_602_218_505_602;
/// The standard deviation of the least of n normal values over the median's mean distance from it, times the root of
/// n - 1: within a fifth of this for n from 2 to 30.
const LEAST_TO_GAP: f64 = 1.2;
/// More runs are not held to tell more: those of one round and one minute are not independent.
const MOST_RUNS: usize = 5;

/// One metric's values, as logarithms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) fastest: f64,
    /// Cores that the fastest run used; none without a counter.
    pub(super) cores: Option<f64>,
    /// Squared standard error of `fastest`, from its distance to the median.
    pub(super) error: f64,
    /// Standard deviation of single runs, from the median absolute deviation.
    pub(super) spread: f64,
}

impl Sample {
    /// Of the first `count` runs: of more runs the fastest is faster. None where fewer than two have the metric.
    pub(super) fn of(runs: &[Run], metric: fn(&Run) -> Option<f64>, count: usize) -> Option<Self> {
        let taken: Vec<(f64, &Run)> =
            runs.iter().filter_map(|run| Some((metric(run)?.ln(), run))).take(count).collect();
        let (fastest, run) = taken.iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
        let values: Vec<f64> = taken.iter().map(|(value, _)| *value).collect();
        let median = quantile(&values, 0.5)?;
        let deviations: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
        let known = values.len().min(MOST_RUNS).checked_sub(1).filter(|known| *known > 0)?;
        Some(Self {
            fastest: *fastest,
            cores: run.cpu.map(|cpu| (cpu / run.latency).ln()),
            error: (LEAST_TO_GAP * (median - fastest)).powi(2) / known as f64,
            spread: quantile(&deviations, 0.5)? * MAD_TO_SD,
        })
    }
}
