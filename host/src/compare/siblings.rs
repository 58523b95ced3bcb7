//! How the other cells of the same worker moved: what they share with a cell is not the cell's own change.

use super::metric::Metric;
use super::sample::{Pool, Sample};
use super::worker::{MetricPair, Pair};
use crate::stats::quantile;
use std::f64::consts::PI;

/// Fewer other cells have no usable median.
const LEAST: usize = 3;
/// Makes a median absolute deviation estimate a standard deviation.
const MAD_TO_SD: f64 = 1.482_602_218_505_602;

/// The latency changes of a worker's cells, as logarithms.
#[derive(Debug, Clone, Default)]
pub(super) struct Siblings {
    /// From least to most.
    changes: Vec<f64>,
    /// The sum of their squared standard errors.
    errors: f64,
    /// Their squared spread, from the median absolute deviation.
    spread: f64,
}

impl Siblings {
    pub(super) fn of(pairs: &[Pair<'_>], [before, after]: [Pool; 2]) -> Self {
        let error = |(a, b): &(Sample, Sample)| a.error(before).0 + b.error(after).0;
        let samples = || pairs.iter().filter_map(|pair| pair.metric(Metric::Latency));
        let mut changes: Vec<f64> = samples().map(|of| MetricPair::ratio(of).ln()).collect();
        changes.sort_by(f64::total_cmp);
        let middle = quantile(&changes, 0.5).unwrap_or_default();
        let deviations: Vec<f64> = changes.iter().map(|change| (change - middle).abs()).collect();
        let spread = (quantile(&deviations, 0.5).unwrap_or_default() * MAD_TO_SD).powi(2);
        Self { changes, errors: samples().map(error).sum(), spread }
    }

    pub(super) fn median(&self) -> Option<f64> {
        quantile(&self.changes, 0.5)
    }

    /// The median of all but one cell, given its change and squared error, and the squared error with which it predicts that
    /// cell: what the others are spread beyond their own errors, and the median's error, pi/2 times that of a mean.
    pub(super) fn without(&self, own: Option<(f64, f64)>) -> Option<(f64, f64)> {
        let others = self.changes.len() - usize::from(own.is_some());
        if others < LEAST {
            return None;
        }
        let skipped = own.and_then(|(change, _)| self.changes.iter().position(|other| *other == change));
        let at = |index: usize| {
            self.changes[if skipped.is_some_and(|own| index >= own) { index + 1 } else { index }]
        };
        let median = (at((others - 1) / 2) + at(others / 2)) / 2.0;
        let errors = (self.errors - own.map_or(0.0, |(_, error)| error)).max(0.0) / others as f64;
        let beyond = (self.spread - errors).max(0.0);
        Some((median, beyond + PI / 2.0 * errors.max(self.spread) / others as f64))
    }
}
