//! How long each token took, over the runs of one cell: the time between tokens, and how it changes with position.

use crate::stats::quantile;
use schemars::JsonSchema;
use serde::Serialize;

/// Most times of one cell that are kept for percentiles.
const KEPT: usize = 1 << 15;
/// Most positions of which a mean is kept.
const POSITIONS: usize = 4096;

/// Inter-token latency of one cell, over its ok runs.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TokenTimes {
    /// Times between two tokens of one run; the first token's, which is TTFT, is none.
    pub n: u64,
    /// Of how many of them, evenly spaced, the percentiles are: all but in cells of more than 32,768.
    pub sampled: usize,
    /// Milliseconds.
    pub mean_ms: Option<f64>,
    /// Median, milliseconds.
    pub p50_ms: Option<f64>,
    /// Needs 10 times.
    pub p90_ms: Option<f64>,
    /// Needs 100 times.
    pub p99_ms: Option<f64>,
    /// Mean time of each token, the first (TTFT) first, milliseconds; of the first 4,096.
    pub by_position_ms: Vec<Option<f64>>,
    /// Runs that each of these means is over.
    pub by_position_n: Vec<u32>,
}

/// The same while records come in.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenTimer {
    n: u64,
    mean: f64,
    /// Every `stride`-th time.
    kept: Vec<f64>,
    stride: u64,
    means: Vec<f64>,
    runs: Vec<u32>,
}

impl TokenTimer {
    pub(super) fn push(&mut self, token_ms: &[f64]) {
        for (position, &time) in token_ms.iter().enumerate().take(POSITIONS) {
            if position == self.means.len() {
                self.means.push(0.0);
                self.runs.push(0);
            }
            if time.is_finite() {
                self.runs[position] += 1;
                self.means[position] = moved(self.means[position], time, self.runs[position].into());
            }
        }
        token_ms.iter().skip(1).filter(|time| time.is_finite()).for_each(|&time| self.keep(time));
    }

    fn keep(&mut self, time: f64) {
        self.stride = self.stride.max(1);
        if self.n.is_multiple_of(self.stride) {
            if self.kept.len() == KEPT {
                let mut index = 0;
                self.kept.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                self.stride *= 2;
            }
            if self.n.is_multiple_of(self.stride) {
                self.kept.push(time);
            }
        }
        self.n += 1;
        self.mean = moved(self.mean, time, self.n);
    }

    /// None without a time between tokens.
    pub(super) fn times(&self) -> Option<TokenTimes> {
        let at = |share: f64, least: u64| quantile(&self.kept, share).filter(|_| self.n >= least);
        let mean = |(&mean, &runs): (&f64, &u32)| (runs > 0).then_some(mean);
        (self.n > 0).then(|| TokenTimes {
            n: self.n,
            sampled: self.kept.len(),
            mean_ms: Some(self.mean),
            p50_ms: at(0.5, 1),
            p90_ms: at(0.9, 10),
            p99_ms: at(0.99, 100),
            by_position_ms: self.means.iter().zip(&self.runs).map(mean).collect(),
            by_position_n: self.runs.clone(),
        })
    }
}

/// The mean of `n` values, of which `value` is the last and `mean` was that of the others: without a sum that could grow
/// beyond what a number holds.
fn moved(mean: f64, value: f64, n: u64) -> f64 {
    mean + (value - mean) / n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_token_is_no_inter_token_time() {
        let mut timer = TokenTimer::default();
        timer.push(&[9.0, 1.0, 2.0]);
        timer.push(&[7.0, 3.0]);
        let times = timer.times().unwrap();
        assert_eq!((times.n, times.sampled, times.mean_ms, times.p50_ms), (3, 3, Some(2.0), Some(2.0)));
        assert_eq!(
            (times.by_position_ms, times.by_position_n),
            (vec![Some(8.0), Some(2.0), Some(2.0)], vec![2, 2, 1])
        );
        assert_eq!((times.p90_ms, times.p99_ms), (None, None));
        assert_eq!(TokenTimer::default().times(), None);
    }

    #[test]
    fn many_times_are_thinned_evenly() {
        let mut timer = TokenTimer::default();
        for run in 0..1000 {
            let times: Vec<f64> = (0..101).map(|token| f64::from(run * 100 + token)).collect();
            timer.push(&times);
        }
        let times = timer.times().unwrap();
        assert_eq!(times.n, 100_000);
        assert!(times.sampled > KEPT / 2 && times.sampled <= KEPT, "{}", times.sampled);
        let middle = times.p50_ms.unwrap();
        assert!((middle / 50_000.0 - 1.0).abs() < 1e-3, "{middle}");
    }
}
