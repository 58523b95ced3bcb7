//! What makes a cell's figures doubtful. A flag changes no figure and drops no run.

use super::run::Run;
use crate::record::DisturbanceKind;
use crate::stats::{Drift, Summary, drift, normal_two_sided, quantile, summary, variance_split};
use crate::validity::{LEAST_RUNS, Least};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Coefficient of variation beyond which a cell is unstable.
pub const UNSTABLE_CV: f64 = 0.1;
/// How many times the others' median a worker's first run is, to be flagged.
pub const SLOW_FIRST: f64 = 1.25;
/// Share of the median by which a worker's runs changed from the first to the last, or workers differ, to be flagged.
pub const DRIFT: f64 = 0.05;
/// Chance of such an order without drift, below which it is flagged.
pub const DRIFT_P: f64 = 0.01;
/// Fewest runs in which drift is looked for.
const DRIFT_RUNS: usize = 8;

/// Why to doubt a cell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Flag {
    /// Fewer ok runs than `least` asks for: nothing is claimed of it.
    TooFewRuns {
        /// How many there are.
        ok: usize,
    },
    /// The ok runs took less time together than `least` asks for: nothing is claimed of it.
    TooLittleTime {
        /// Of all of them, seconds.
        measured_s: f64,
    },
    /// The machine was not the runs' own.
    Disturbed {
        /// Runs in whose time others used the processors.
        busy: u64,
        /// Runs in whose time memory was moved to or from the disk.
        swapped: u64,
        /// Runs in whose time a processor, a GPU or a quota slowed them.
        throttled: u64,
        /// Runs with any of these.
        runs: u64,
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
    /// The means of the workers, one a round, lie 5% and more apart: F-test, p below 0.01.
    WorkersDiffer {
        /// The largest mean less the smallest, as a share of the median one.
        spread: f64,
        /// Of the F-test that all workers have one mean.
        p: f64,
    },
    /// Latency rose or fell by 5% and more from a worker's first run to its last: Kendall's tau, p below 0.01.
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
pub(super) fn flags(ok: &[&Run], latency_ms: &Summary, least: Least) -> Vec<Flag> {
    let mut flags = Vec::new();
    let measured_s = measured_s(latency_ms);
    if latency_ms.n < least.runs {
        flags.push(Flag::TooFewRuns { ok: latency_ms.n });
    } else if measured_s < least.measured_s {
        flags.push(Flag::TooLittleTime { measured_s });
    }
    flags.extend(disturbed(ok));
    if let Some(cv) = latency_ms.cv.filter(|cv| *cv > UNSTABLE_CV && latency_ms.n >= LEAST_RUNS) {
        flags.push(Flag::Unstable { cv });
    }
    flags.extend(slow_first_run(ok));
    flags.extend(drifting(ok));
    flags.extend(workers_differing(ok));
    flags
}

/// Seconds that the runs took together.
fn measured_s(latency_ms: &Summary) -> f64 {
    latency_ms.mean.unwrap_or(0.0) * latency_ms.n as f64 / 1e3
}

fn disturbed(ok: &[&Run]) -> Option<Flag> {
    let with = |kind| ok.iter().filter(|run| run.disturbed.has(kind)).count() as u64;
    let runs = ok.iter().filter(|run| run.disturbed.any()).count() as u64;
    (runs > 0).then(|| Flag::Disturbed {
        busy: with(DisturbanceKind::Busy),
        swapped: with(DisturbanceKind::Swapped),
        throttled: with(DisturbanceKind::Throttled),
        runs,
    })
}

fn slow_first_run(ok: &[&Run]) -> Option<Flag> {
    let workers = by_worker(ok);
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

/// The trend within the workers that made enough runs, taken together: the sum of Kendall's scores over its standard
/// deviation, for workers are independent. One worker's is its own test.
fn drifting(ok: &[&Run]) -> Option<Flag> {
    let trends: Vec<Drift> = by_worker(ok)
        .values()
        .filter(|latencies| latencies.len() >= DRIFT_RUNS)
        .filter_map(|latencies| drift(latencies))
        .collect();
    let changes: Vec<f64> = trends.iter().filter_map(|trend| trend.change).collect();
    let change = quantile(&changes, 0.5)?;
    let (tau, p) = match trends.as_slice() {
        [one] => (one.tau, one.p),
        several => together(several)?,
    };
    (p < DRIFT_P && change.abs() >= DRIFT).then_some(Flag::Drift { tau, p, change })
}

/// Kendall, "Rank Correlation Methods" (1970), section 4.9: a score of n values has the variance n (n - 1) (2 n + 5) / 18.
fn together(trends: &[Drift]) -> Option<(f64, f64)> {
    let (mut score, mut pairs, mut variance) = (0.0, 0.0, 0.0);
    for trend in trends {
        let n = trend.n as f64;
        pairs += n * (n - 1.0) / 2.0;
        score += trend.tau * n * (n - 1.0) / 2.0;
        variance += n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
    }
    (pairs > 0.0).then(|| (score / pairs, normal_two_sided(score / variance.sqrt())))
}

/// Where the workers of a cell, of one round each, were not equally fast.
fn workers_differing(ok: &[&Run]) -> Option<Flag> {
    let workers = by_worker(ok);
    let groups: Vec<&[f64]> = workers.values().map(Vec::as_slice).collect();
    let p = variance_split(&groups)?.p?;
    let means: Vec<f64> = groups.iter().filter_map(|latencies| summary(latencies).mean).collect();
    let (least, most) = (quantile(&means, 0.0)?, quantile(&means, 1.0)?);
    let spread = (most - least) / quantile(&means, 0.5)?;
    (p < DRIFT_P && spread >= DRIFT).then_some(Flag::WorkersDiffer { spread, p })
}

/// Latencies of each round's worker, in order.
fn by_worker(ok: &[&Run]) -> BTreeMap<u32, Vec<f64>> {
    let mut workers: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for run in ok {
        workers.entry(run.round).or_default().extend(run.latency_ms.get());
    }
    workers
}
