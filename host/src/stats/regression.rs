//! A straight line through points, by ordinary least squares.

use super::summary::mean;
use super::{CONFIDENCE, Interval, t_critical, t_two_sided};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// y = intercept + slope x, with what the residuals say of it. Errors are none with two points, which a line always meets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LineFit {
    /// Points whose both values are finite; the others are left out.
    pub n: usize,
    /// Change of y for each unit of x.
    pub slope: f64,
    /// y at x = 0.
    pub intercept: f64,
    /// Standard error of the slope.
    pub slope_se: Option<f64>,
    /// Standard error of the intercept.
    pub intercept_se: Option<f64>,
    /// The share of y's variance that the line explains; none where y does not vary.
    pub r_squared: Option<f64>,
    /// Residual standard deviation, with n-2.
    pub residual_sd: Option<f64>,
    /// The slope's 95% confidence interval, by Student's t.
    pub slope_ci95: Option<Interval>,
    /// Two-sided p of Student's t for a slope of 0; none also where every point is on a flat line.
    pub slope_p: Option<f64>,
    /// Mean of x.
    pub mean_x: f64,
    /// Mean of y, which is the line's value at `mean_x`.
    pub mean_y: f64,
    /// Sum of the squared deviations of x from its mean.
    pub x_squares: f64,
}

/// The line through the points (`x[i]`, `y[i]`); none for slices of different lengths, fewer than two points, or all at
/// one x. Draper and Smith, "Applied Regression Analysis" (1998), sections 1.2 to 1.4, about the means of x and y, so
/// that no digits are lost where these are far from 0.
pub fn line_fit(x: &[f64], y: &[f64]) -> Option<LineFit> {
    if x.len() != y.len() {
        return None;
    }
    let (x, y): (Vec<f64>, Vec<f64>) =
        x.iter().zip(y).filter(|(x, y)| x.is_finite() && y.is_finite()).unzip();
    let Line { slope, mean_x, mean_y, x_squares } = Line::through(&x, &y)?;
    let intercept = Some(mean_y - slope * mean_x).filter(|intercept| intercept.is_finite())?;
    let residual = |(x, y): (&f64, &f64)| (y - mean_y) - slope * (x - mean_x);
    let residual_squares: f64 = x.iter().zip(&y).map(residual).map(|residual| residual * residual).sum();
    let y_squares: f64 = y.iter().map(|y| (y - mean_y).powi(2)).sum();
    let fit = LineFit {
        n: x.len(),
        slope,
        intercept,
        slope_se: None,
        intercept_se: None,
        r_squared: Some((1.0 - residual_squares / y_squares).max(0.0))
            .filter(|r| r.is_finite() && y_squares > 0.0),
        residual_sd: None,
        slope_ci95: None,
        slope_p: None,
        mean_x,
        mean_y,
        x_squares,
    };
    Some(fit.with_errors(residual_squares))
}

/// A line alone, which is all that a resample needs.
pub(super) struct Line {
    pub(super) slope: f64,
    mean_x: f64,
    mean_y: f64,
    x_squares: f64,
}

impl Line {
    /// Through points whose values are all finite.
    pub(super) fn through(x: &[f64], y: &[f64]) -> Option<Self> {
        let (mean_x, mean_y) = (mean(x)?, mean(y)?);
        let x_squares: f64 = x.iter().map(|x| (x - mean_x).powi(2)).sum();
        let products: f64 = x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        let slope = products / x_squares;
        (x_squares > 0.0 && x_squares.is_finite() && slope.is_finite()).then_some(Self {
            slope,
            mean_x,
            mean_y,
            x_squares,
        })
    }

    /// Where it is 0; none where it is flat.
    pub(super) fn zero(&self) -> Option<f64> {
        Some(self.mean_x - self.mean_y / self.slope).filter(|x| x.is_finite())
    }
}

impl LineFit {
    fn with_errors(self, residual_squares: f64) -> Self {
        let residual_sd = (residual_squares / self.df()).sqrt();
        if self.n < 3 || !residual_sd.is_finite() {
            return self;
        }
        let fit = Self { residual_sd: Some(residual_sd), ..self };
        let slope_se = residual_sd / self.x_squares.sqrt();
        Self {
            slope_se: Some(slope_se),
            intercept_se: fit.mean_se(0.0),
            slope_ci95: t_critical(CONFIDENCE, self.df())
                .and_then(|critical| Interval::around(self.slope, critical * slope_se)),
            slope_p: t_two_sided(self.slope / slope_se, self.df()),
            ..fit
        }
    }

    /// Residual degrees of freedom, n - 2.
    pub(super) fn df(&self) -> f64 {
        self.n as f64 - 2.0
    }

    /// The line's y at `x`.
    pub fn at(&self, x: f64) -> f64 {
        self.mean_y + self.slope * (x - self.mean_x)
    }

    /// The 95% confidence interval of the mean y at `x`, of one x and not of the whole line at once; none where the
    /// residuals are not known. Draper and Smith, section 3.1.
    pub fn mean_ci95(&self, x: f64) -> Option<Interval> {
        Interval::around(self.at(x), t_critical(CONFIDENCE, self.df())? * self.mean_se(x)?)
    }

    /// Where the line is 0; none where it is flat.
    pub(super) fn zero(&self) -> Option<f64> {
        let Self { slope, mean_x, mean_y, x_squares, .. } = *self;
        Line { slope, mean_x, mean_y, x_squares }.zero()
    }

    /// Standard error of the mean y at `x`.
    fn mean_se(&self, x: f64) -> Option<f64> {
        let away = (x - self.mean_x) / self.x_squares.sqrt();
        Some(self.residual_sd? * (1.0 / self.n as f64 + away * away).sqrt()).filter(|se| se.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST Statistical Reference Datasets, Norris: certified values of a line through 36 points.
    #[test]
    fn meets_the_certified_values_of_nist() {
        let x = [
            0.2, 337.4, 118.2, 884.6, 10.1, 226.5, 666.3, 996.3, 448.6, 777.0, 558.2, 0.4, 0.6, 775.5, 666.9,
            338.0, 447.5, 11.6, 556.0, 228.1, 995.8, 887.6, 120.2, 0.3, 0.3, 556.8, 339.1, 887.2, 999.0,
            779.0, 11.1, 118.3, 229.2, 669.1, 448.9, 0.5,
        ];
        let y = [
            0.1, 338.8, 118.1, 888.0, 9.2, 228.1, 668.5, 998.5, 449.1, 778.9, 559.2, 0.3, 0.1, 778.1, 668.8,
            339.3, 448.9, 10.8, 557.7, 228.3, 998.0, 888.8, 119.6, 0.3, 0.6, 557.6, 339.3, 888.0, 998.5,
            778.9, 10.2, 117.6, 228.9, 668.4, 449.2, 0.2,
        ];
        let fit = line_fit(&x, &y).unwrap();
        for (found, certified) in [
            (Some(fit.slope), 1.002_116_818_020_45),
            (Some(fit.intercept), -0.262_323_073_774_029),
            (fit.slope_se, 0.429_796_848_199_937e-3),
            (fit.intercept_se, 0.232_818_234_301_152),
            (fit.residual_sd, 0.884_796_396_144_373),
            (fit.r_squared, 0.999_993_745_883_712),
        ] {
            assert!((found.unwrap() / certified - 1.0).abs() < 1e-12, "{found:?}, not {certified}");
        }
    }

    #[test]
    fn the_band_is_narrowest_at_the_mean() {
        let fit = line_fit(&[1.0, 2.0, 3.0, 4.0], &[2.1, 3.9, 6.2, 7.8]).unwrap();
        let width = |x| fit.mean_ci95(x).map(|ci| ci.high - ci.low).unwrap();
        assert!(width(2.5) < width(1.0) && (width(1.0) - width(4.0)).abs() < 1e-12);
        assert!((fit.at(0.0) - fit.intercept).abs() < 1e-12);
        let at_zero = fit.mean_ci95(0.0).unwrap();
        let half = t_critical(CONFIDENCE, 2.0).unwrap() * fit.intercept_se.unwrap();
        assert!(((at_zero.high - at_zero.low) / 2.0 - half).abs() < 1e-12);
    }

    #[test]
    fn few_flat_and_broken_points_have_an_answer() {
        for (x, y) in [
            (vec![], vec![]),
            (vec![1.0], vec![1.0]),
            (vec![2.0, 2.0, 2.0], vec![1.0, 2.0, 3.0]),
            (vec![1.0, 2.0], vec![1.0]),
            (vec![1.0, f64::NAN, 2.0], vec![1.0, 2.0, f64::INFINITY]),
            (vec![1e300, -1e300, 0.0], vec![1.0, 2.0, 3.0]),
        ] {
            assert_eq!(line_fit(&x, &y), None, "{x:?} {y:?}");
        }
        let two = line_fit(&[1.0, 3.0, f64::NAN], &[1.0, 2.0, 5.0]).unwrap();
        assert_eq!((two.n, two.slope, two.intercept, two.residual_sd), (2, 0.5, 0.5, None));
        assert_eq!((two.slope_ci95, two.slope_p, two.mean_ci95(2.0)), (None, None, None));
        let flat = line_fit(&[1.0, 2.0, 4.0], &[3.0, 3.0, 3.0]).unwrap();
        assert_eq!(
            (flat.slope, flat.r_squared, flat.residual_sd, flat.slope_p),
            (0.0, None, Some(0.0), None)
        );
        let exact = line_fit(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((exact.slope, exact.r_squared, exact.slope_p), (1.0, Some(1.0), Some(0.0)));
    }
}
