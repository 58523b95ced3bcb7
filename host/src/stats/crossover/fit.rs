//! The power law through throughput ratios, and where it is 1.

use super::fieller::{Fieller, fieller};
use super::resample::{CrossingBootstrap, pairs, residuals};
use super::transition::transition;
use crate::stats::{CONFIDENCE, Interval, LineFit, line_fit, t_critical};
use serde::{Deserialize, Serialize};

/// One model size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CrossoverPoint {
    /// Parameters of the model.
    pub params: f64,
    /// Throughput of a over that of b.
    pub ratio: f64,
}

/// ratio = factor x params^slope through the points, and where it is 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Crossover {
    /// The least-squares line of ln ratio on ln params: `slope` is the power, `intercept` the natural logarithm of the
    /// factor.
    pub fit: LineFit,
    /// The fitted ratio at one parameter; none beyond what a number holds.
    pub factor: Option<f64>,
    /// Smallest and largest size measured.
    pub measured: Interval,
    /// Where the fitted ratio is 1.
    pub crossing: Crossing,
    /// Its 95% interval from resampled points.
    pub pairs_bootstrap: CrossingBootstrap,
    /// Its 95% interval from resampled residuals about the fit.
    pub residual_bootstrap: CrossingBootstrap,
    /// Its 95% set by Fieller's theorem.
    pub fieller: Fieller,
    /// Its 95% interval by the delta method on ln params with Student's t; none where the line is flat.
    pub delta_ci95: Option<Interval>,
    /// From the largest size up to which one backend wins at every measured size, to the smallest from which the other
    /// does; none where the winner of the smallest size is that of the largest. It needs no fit.
    pub transition: Option<Interval>,
}

/// Where a fitted ratio is 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Crossing {
    /// Between the smallest and the largest size measured, both included.
    Inside {
        /// Parameters there.
        params: f64,
    },
    /// Below the smallest size measured: extrapolated.
    Below {
        /// Parameters there.
        params: f64,
    },
    /// Above the largest size measured: extrapolated.
    Above {
        /// Parameters there.
        params: f64,
    },
    /// The line is flat, or so nearly that it is 1 at no size that a number holds.
    None,
}

impl Crossing {
    /// The size, extrapolated or not.
    pub const fn params(self) -> Option<f64> {
        match self {
            Self::Inside { params } | Self::Below { params } | Self::Above { params } => Some(params),
            Self::None => None,
        }
    }

    fn of(fit: &LineFit, measured: Interval) -> Self {
        match fit.zero().map(f64::exp).filter(|params| params.is_finite() && *params > 0.0) {
            None => Self::None,
            Some(params) if params < measured.low => Self::Below { params },
            Some(params) if params > measured.high => Self::Above { params },
            Some(params) => Self::Inside { params },
        }
    }
}

/// Fits `points`, leaving out those whose numbers are not positive and finite; none with fewer than three, or all of one
/// size. `seed` determines the resamples.
pub fn crossover(points: &[CrossoverPoint], seed: u64) -> Option<Crossover> {
    let positive = |value: f64| value > 0.0 && value.is_finite();
    let mut points: Vec<CrossoverPoint> =
        points.iter().copied().filter(|point| positive(point.params) && positive(point.ratio)).collect();
    points.sort_by(|a, b| a.params.total_cmp(&b.params));
    let x: Vec<f64> = points.iter().map(|point| point.params.ln()).collect();
    let y: Vec<f64> = points.iter().map(|point| point.ratio.ln()).collect();
    let fit = line_fit(&x, &y).filter(|fit| fit.n >= 3)?;
    let measured = Interval { low: points.first()?.params, high: points.last()?.params };
    Some(Crossover {
        fit,
        factor: Some(fit.intercept.exp()).filter(|factor| factor.is_finite()),
        measured,
        crossing: Crossing::of(&fit, measured),
        pairs_bootstrap: pairs(&x, &y, fit.slope, seed),
        residual_bootstrap: residuals(&x, &y, &fit, seed),
        fieller: fieller(&fit),
        delta_ci95: delta(&fit),
        transition: transition(&points),
    })
}

impl Crossover {
    /// The fitted ratio at `params`.
    pub fn ratio_at(&self, params: f64) -> Option<f64> {
        Some(self.fit.at(params.ln()).exp()).filter(|ratio| ratio.is_finite())
    }

    /// The 95% confidence interval of the fitted ratio at `params`, for a plot's band.
    pub fn ratio_ci95(&self, params: f64) -> Option<Interval> {
        to_sizes(self.fit.mean_ci95(params.ln())?)
    }
}

/// exp of both ends; none beyond what a number holds.
pub(super) fn to_sizes(logs: Interval) -> Option<Interval> {
    let (low, high) = (logs.low.exp(), logs.high.exp());
    (low.is_finite() && high.is_finite()).then_some(Interval { low, high })
}

/// The zero's standard error is s / |slope| x sqrt(1/n + (x0 - mean x)^2 / S_xx); Draper and Smith, "Applied Regression
/// Analysis" (1998), section 3.2, where g is neglected.
fn delta(fit: &LineFit) -> Option<Interval> {
    let zero = fit.zero()?;
    let away = (zero - fit.mean_x) / fit.x_squares.sqrt();
    let se = fit.residual_sd? / fit.slope.abs() * (1.0 / fit.n as f64 + away * away).sqrt();
    to_sizes(Interval::around(zero, t_critical(CONFIDENCE, fit.df())? * se)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(of: &[(f64, f64)]) -> Vec<CrossoverPoint> {
        of.iter().map(|&(params, ratio)| CrossoverPoint { params, ratio }).collect()
    }

    #[test]
    fn an_exact_power_law_crosses_where_it_does() {
        let found = crossover(&points(&[(1e9, 0.1), (1e7, 1.0), (1e5, 10.0)]), 0).unwrap();
        let crossing = found.crossing.params().unwrap();
        assert!(matches!(found.crossing, Crossing::Inside { .. }) && (crossing / 1e7 - 1.0).abs() < 1e-12);
        assert!(
            (found.fit.slope + 0.5).abs() < 1e-14 && (found.ratio_at(1e11).unwrap() - 0.01).abs() < 1e-12
        );
        let ci = found.pairs_bootstrap.ci95.unwrap();
        assert!((ci.low / 1e7 - 1.0).abs() < 1e-9 && (ci.high / 1e7 - 1.0).abs() < 1e-9, "{found:?}");
        assert_eq!(found.measured, Interval { low: 1e5, high: 1e9 });
    }

    #[test]
    fn a_crossing_outside_of_what_was_measured_says_so() {
        let above = crossover(&points(&[(1e5, 8.1), (1e6, 3.9), (1e7, 2.0)]), 0).unwrap();
        assert!(matches!(above.crossing, Crossing::Above { params } if params > 1e7), "{above:?}");
        let below = crossover(&points(&[(1e5, 0.9), (1e6, 0.39), (1e7, 0.2)]), 0).unwrap();
        assert!(matches!(below.crossing, Crossing::Below { params } if params < 1e5), "{below:?}");
        let flat = crossover(&points(&[(1e5, 2.0), (1e6, 2.0), (1e7, 2.0)]), 0).unwrap();
        assert_eq!(
            (flat.crossing, flat.delta_ci95, flat.fieller),
            (Crossing::None, None, Fieller::Unbounded)
        );
        assert_eq!((flat.pairs_bootstrap.ci95, flat.pairs_bootstrap.without_crossing), (None, 10_000));
    }

    #[test]
    fn noise_gives_no_bounded_set() {
        let noise = [(1e5, 1.3), (3e5, 0.8), (1e6, 1.1), (1e7, 1.25), (1e8, 0.9)];
        let found = crossover(&points(&noise), 3).unwrap();
        assert_eq!(found.fieller, Fieller::Unbounded);
        assert!(found.pairs_bootstrap.other_direction > 1000, "{found:?}");
        assert_eq!(found, crossover(&points(&noise), 3).unwrap());
    }

    #[test]
    fn few_and_broken_points_have_no_crossover() {
        for of in [
            vec![],
            vec![(1e5, 2.0), (1e6, 1.0)],
            vec![(1e5, 2.0), (1e6, 1.0), (1e7, f64::NAN)],
            vec![(1e5, 2.0), (1e6, 0.0), (1e7, 1.0)],
            vec![(1e6, 2.0), (1e6, 1.0), (1e6, 0.5)],
            vec![(0.0, 2.0), (f64::INFINITY, 1.0), (-3.0, 0.5), (1.0, 1.0)],
        ] {
            assert_eq!(crossover(&points(&of), 0), None, "{of:?}");
        }
        let steep = crossover(&points(&[(1.0, 1e300), (1.001, 1.0), (1.002, 1e-300)]), 0).unwrap();
        assert!(serde_json::to_string(&steep).unwrap().parse::<serde_json::Value>().is_ok());
        let far = crossover(&points(&[(1e6, 2.0), (2e6, 2.0), (3e6, 2.000_001)]), 0).unwrap();
        assert_eq!((far.crossing, far.delta_ci95), (Crossing::None, None));
    }
}
