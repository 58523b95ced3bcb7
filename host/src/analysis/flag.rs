//! What makes a cell's figures doubtful. A flag changes no figure and drops no run.

use super::run::Run;
use crate::stats::{Summary, drift, quantile};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Fewest ok runs of a cell for which anything is claimed.
pub const LEAST_RUNS: usize = 3;
/// Coefficient of variation beyond which a cell is unstable.
pub const UNSTABLE_CV: f64 = 0.1;
/// How many times the others' median a worker's first run is, to be flagged.
pub const SLOW_FIRST: f64 = 1.25;
/// Share of the median by which a cell changed from its first run to its last, to be flagged.
pub const DRIFT: f64 = 0.05;
/// Chance of such an order without drift, below which it is flagged.
pub const DRIFT_P: f64 = 0.01;
/// Fewest runs in which drift is looked for.
const DRIFT_RUNS: usize = 8;

/// Why to doubt a cell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Flag {
    /// Fewer than 3 ok runs: nothing is claimed of it.
    TooFewRuns {
        /// How many there are.
        ok: usize,
    },
    /// Runs vary by more than 10% of their mean.
    Unstable {
        /// Coefficient of variation of the latency.
        cv: f64,
    },
    /// In most workers the first measured run took 1.25 times the others' median and more, and longer than any of them:
    /// the warm-up was too short.
    SlowFirstRun {
        /// The median over workers of first run over the others' median.
        ratio: f64,
    },
    /// Latency rose or fell by 5% and more from the first run to the last: Kendall's tau, p below 0.01.
    Drift {
        /// Kendall's rank correlation of latency with the order of runs.
        tau: f64,
        /// Of Kendall's test.
        p: f64,
        /// From the first run to the last, as a share of the median.
        change: f64,
    },
}

/// Of the ok runs of one cell, in the order they were made.
pub(super) fn flags(ok: &[&Run], latency_ms: &Summary) -> Vec<Flag> {
    let mut flags = Vec::new();
    if latency_ms.n < LEAST_RUNS {
        flags.push(Flag::TooFewRuns { ok: latency_ms.n });
    }
    if let Some(cv) = latency_ms.cv.filter(|cv| *cv > UNSTABLE_CV && latency_ms.n >= LEAST_RUNS) {
        flags.push(Flag::Unstable { cv });
    }
    flags.extend(slow_first_run(ok));
    flags.extend(drifting(ok));
    flags
}

fn slow_first_run(ok: &[&Run]) -> Option<Flag> {
    let mut workers: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for run in ok {
        workers.entry(run.round).or_default().extend(run.latency_ms.get());
    }
    let ratios: Vec<f64> = workers.values().filter_map(|latencies| first_over_rest(latencies)).collect();
    let slow = ratios.iter().filter(|&&ratio| ratio >= SLOW_FIRST).count();
    let ratio = quantile(&ratios, 0.5)?;
    (slow * 2 > ratios.len()).then_some(Flag::SlowFirstRun { ratio })
}

/// None of fewer than three other runs; 1 where one of the others took longer.
fn first_over_rest(latencies: &[f64]) -> Option<f64> {
    let (first, rest) = latencies.split_first().filter(|(_, rest)| rest.len() >= LEAST_RUNS)?;
    let slowest = rest.iter().all(|other| first > other);
    Some(if slowest { first / quantile(rest, 0.5)? } else { 1.0 })
}

fn drifting(ok: &[&Run]) -> Option<Flag> {
    let latencies: Vec<f64> = ok.iter().filter_map(|run| run.latency_ms.get()).collect();
    let found = drift(&latencies).filter(|_| latencies.len() >= DRIFT_RUNS)?;
    let change = found.change?;
    (found.p < DRIFT_P && change.abs() >= DRIFT).then_some(Flag::Drift { tau: found.tau, p: found.p, change })
}
