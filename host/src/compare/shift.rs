//! What a cell changed by, and a test of a change.

use super::cells::Run;
use super::sample::Sample;
use crate::stats::{CONFIDENCE, Interval, t_critical, t_two_sided};

/// One metric of one cell, after over before, as logarithms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shift {
    /// Of the fastest runs.
    pub(super) change: f64,
    /// Its squared standard error, by the scatter of both sides' runs.
    pub(super) error: f64,
    /// Of the cores that the fastest runs used; 0 where competition cannot have changed them.
    pub(super) cores: f64,
    /// Standard deviation of single runs, before and after.
    pub(super) spread: [f64; 2],
    /// Degrees of freedom of `error`.
    pub(super) df: f64,
}

impl Shift {
    /// Over equally many runs of both sides; none where a side has fewer than two.
    pub(super) fn of(before: &[Run], after: &[Run], metric: fn(&Run) -> Option<f64>) -> Option<Self> {
        /// The errors are pooled over a worker's cells, which knows more than the runs of one.
        const DF_OF_A_RUN: f64 = 4.0;
        let count = |runs: &[Run]| runs.iter().filter_map(metric).count();
        let runs = count(before).min(count(after));
        let (a, b) = (Sample::of(before, metric, runs)?, Sample::of(after, metric, runs)?);
        Some(Self {
            change: b.fastest - a.fastest,
            error: a.error + b.error,
            cores: a.cores.zip(b.cores).map_or(0.0, |(a, b)| b - a),
            spread: [a.spread, b.spread],
            df: DF_OF_A_RUN * 2.0 * (runs as f64 - 1.0),
        })
    }
}

/// A change as a logarithm, with Student's t on its error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tested {
    pub(super) change: f64,
    /// Standard error.
    error: f64,
    df: f64,
    /// Two-sided.
    pub(super) p: f64,
}

impl Tested {
    /// `claimed` is what of `change` is tested, no more than it.
    pub(super) fn new(change: f64, claimed: f64, squared_error: f64, df: f64) -> Self {
        let error = squared_error.sqrt();
        let t = if error > 0.0 { claimed.abs() / error } else { 0.0 };
        Self { change, error, df, p: t_two_sided(t, df).unwrap_or(1.0) }
    }

    /// As shares: 0.05 is 5% longer.
    pub(super) fn ci95(&self) -> Option<Interval> {
        let reach = t_critical(CONFIDENCE, self.df)? * self.error;
        let of = Interval { low: (self.change - reach).exp_m1(), high: (self.change + reach).exp_m1() };
        Some(of).filter(|of| of.low.is_finite() && of.high.is_finite())
    }
}

/// What competition for the processor can have done to `change`: as much as the cores in use fell, if it is slower, or
/// rose, if it is faster.
pub(super) fn competition(change: f64, cores: f64) -> f64 {
    if cores * change < 0.0 { cores.abs() } else { 0.0 }
}

pub(super) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    if n > 0.0 { sum / n } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn competition_explains_only_what_it_can() {
        for (change, cores, explained) in
            [(0.3, -0.2, 0.2), (-0.3, 0.2, 0.2), (0.3, 0.2, 0.0), (-0.3, -0.2, 0.0), (0.3, 0.0, 0.0)]
        {
            assert_eq!(competition(change, cores), explained, "{change} {cores}");
        }
    }

    #[test]
    fn a_change_has_its_t_and_interval() {
        // t = 2 of 10 degrees of freedom: p = 0.07339, and 2.228 reaches 95%.
        let of = Tested::new(0.2, 0.2, 0.01, 10.0);
        assert!((of.p - 0.073_388).abs() < 1e-5, "{of:?}");
        let ci95 = of.ci95().unwrap();
        assert!((ci95.low - (0.2f64 - 0.222_814).exp_m1()).abs() < 1e-5, "{ci95:?}");
        assert!((ci95.high - (0.2f64 + 0.222_814).exp_m1()).abs() < 1e-5, "{ci95:?}");
        assert_eq!(Tested::new(0.2, 0.0, 0.01, 10.0).p, 1.0, "nothing of it is claimed");
    }
}
