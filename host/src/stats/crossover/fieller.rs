//! All sizes at which the data do not exclude a ratio of 1.

use super::fit::to_sizes;
use crate::stats::{CONFIDENCE, Interval, LineFit, t_critical};
use serde::{Deserialize, Serialize};

/// The 95% set of where a line is 0, by Fieller, "Some Problems in Interval Estimation", Journal of the Royal Statistical
/// Society B 16 (1954).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fieller {
    /// Within these sizes.
    Bounded(Interval),
    /// The slope does not differ from 0 at 5%, or too little for a number to hold an end: the set has no end.
    Unbounded,
}

/// The zeros x, as distances from the mean x, for which (mean y + slope x)^2 <= t^2 s^2 (1/n + x^2 / S_xx).
pub(super) fn fieller(fit: &LineFit) -> Fieller {
    bounded(fit).map_or(Fieller::Unbounded, Fieller::Bounded)
}

fn bounded(fit: &LineFit) -> Option<Interval> {
    let spread = t_critical(CONFIDENCE, fit.df())? * fit.residual_sd?;
    let square = fit.slope * fit.slope - spread * spread / fit.x_squares;
    if square <= 0.0 {
        return None;
    }
    let middle = -fit.mean_y * fit.slope / square;
    let half = spread / square * (fit.mean_y * fit.mean_y / fit.x_squares + square / fit.n as f64).sqrt();
    to_sizes(Interval::around(fit.mean_x + middle, half)?)
}
