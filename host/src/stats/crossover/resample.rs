//! How far a crossing moves when the points are drawn again.

use super::fit::to_sizes;
use crate::stats::bootstrap::{bootstrap, percentile_interval};
use crate::stats::regression::Line;
use crate::stats::{Interval, LineFit};
use serde::{Deserialize, Serialize};

/// A percentile bootstrap of a crossing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CrossingBootstrap {
    /// The 95% interval, of the resamples that have a crossing; none where none has, or an end is beyond what a number
    /// holds.
    pub ci95: Option<Interval>,
    /// Resamples, all with two sizes or more; others were drawn again.
    pub resamples: usize,
    /// Resamples whose line is flat.
    pub without_crossing: usize,
    /// Resamples whose slope has the other sign than that of all points: their crossing is from the other backend to this.
    pub other_direction: usize,
}

/// From points drawn with replacement. Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 9.5.
pub(super) fn pairs(x: &[f64], y: &[f64], slope: f64, seed: u64) -> CrossingBootstrap {
    let (mut drawn_x, mut drawn_y) = (x.to_vec(), y.to_vec());
    resampled(x.len(), slope, seed, |drawn| {
        for (at, &from) in drawn.iter().enumerate() {
            (drawn_x[at], drawn_y[at]) = (x[from], y[from]);
        }
        Line::through(&drawn_x, &drawn_y)
    })
}

/// From residuals drawn with replacement and added to the fitted values: the same sizes in each. Section 9.4 there.
pub(super) fn residuals(x: &[f64], y: &[f64], fit: &LineFit, seed: u64) -> CrossingBootstrap {
    let fitted: Vec<f64> = x.iter().map(|x| fit.at(*x)).collect();
    let mut moved = fitted.clone();
    resampled(x.len(), fit.slope, seed, |drawn| {
        for (at, &from) in drawn.iter().enumerate() {
            moved[at] = fitted[at] + y[from] - fitted[from];
        }
        Line::through(x, &moved)
    })
}

fn resampled(
    n: usize,
    slope: f64,
    seed: u64,
    fit: impl FnMut(&[usize]) -> Option<Line>,
) -> CrossingBootstrap {
    let lines = bootstrap(n, seed, fit);
    let zeros: Vec<f64> = lines.iter().filter_map(Line::zero).collect();
    CrossingBootstrap {
        ci95: percentile_interval(&zeros).and_then(to_sizes),
        resamples: lines.len(),
        without_crossing: lines.len() - zeros.len(),
        other_direction: lines.iter().filter(|line| line.slope * slope < 0.0).count(),
    }
}
