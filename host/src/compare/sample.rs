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

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(times: &[f64]) -> Vec<Run> {
        times.iter().map(|ms| Run { latency: *ms, ttft: None, tpot: None, cpu: Some(ms * 2.0) }).collect()
    }

    #[test]
    fn the_fastest_of_the_first_runs_and_its_error() {
        let of = |times: &[f64], count| Sample::of(&runs(times), |run| Some(run.latency), count);
        let all = of(&[4.0, 2.0, 8.0, 1.0], 3).unwrap();
        assert_eq!(all.fastest, 2.0f64.ln(), "of the first three");
        assert!((all.error - (1.2 * 2.0f64.ln()).powi(2) / 2.0).abs() < 1e-12, "{all:?}");
        assert!((all.spread - 2.0f64.ln() * MAD_TO_SD).abs() < 1e-12, "{all:?}");
        assert!((all.cores.unwrap() - 2.0f64.ln()).abs() < 1e-12, "{all:?}");
        assert!(of(&[4.0, 2.0], 1).is_none() && of(&[], 5).is_none());
    }

    #[test]
    fn the_error_is_that_of_the_least_of_normal_values() {
        use rand::SeedableRng;
        let mut seeded = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(1);
        for n in [3, 5] {
            let samples: Vec<Sample> = (0..4000)
                .map(|_| {
                    let times: Vec<f64> =
                        (0..n).map(|_| 100.0 * (0.01 * normal(&mut seeded)).exp()).collect();
                    Sample::of(&runs(&times), |run| Some(run.latency), n).unwrap()
                })
                .collect();
            let middle = samples.iter().map(|of| of.fastest).sum::<f64>() / 4000.0;
            let truth = samples.iter().map(|of| (of.fastest - middle).powi(2)).sum::<f64>() / 4000.0;
            let said = samples.iter().map(|of| of.error).sum::<f64>() / 4000.0;
            assert!((0.8..2.0).contains(&(said / truth)), "{n}: {said} for {truth}");
        }
    }

    /// The sum of twelve uniform values is normal enough here.
    fn normal(seeded: &mut rand_xoshiro::Xoshiro256PlusPlus) -> f64 {
        use rand::RngExt;
        (0..12).map(|_| seeded.random::<f64>()).sum::<f64>() - 6.0
    }
}
