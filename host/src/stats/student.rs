//! Student's t distribution, at the accuracy of small tail probabilities.

use statrs::distribution::{Continuous, ContinuousCDF, StudentsT};
use statrs::function::beta::checked_beta_reg;

/// P(|T| >= |t|) for `df` degrees of freedom; none where either is no number of that kind.
///
/// As the regularised incomplete beta function I_x(df/2, 1/2) with x = df / (df + t^2), Abramowitz and Stegun 26.7.1:
/// unlike 1 - CDF it keeps its digits where it is small.
pub fn t_two_sided(t: f64, df: f64) -> Option<f64> {
    if t.is_nan() || !(df > 0.0 && df.is_finite()) {
        return None;
    }
    if t.is_infinite() {
        return Some(0.0);
    }
    checked_beta_reg(df / 2.0, 0.5, df / (df + t * t)).ok()
}

/// The t that |T| exceeds with probability 1 - `confidence`, for `df` degrees of freedom.
pub fn t_critical(confidence: f64, df: f64) -> Option<f64> {
    if !(df > 0.0 && df.is_finite() && confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let distribution = StudentsT::new(0.0, 1.0, df).ok()?;
    refined(&distribution, distribution.inverse_cdf(0.5 + confidence / 2.0), 1.0 - confidence)
}

/// Newton's method on the tail probability, whose slope is -2 times the density: the library's inverse stops early.
fn refined(distribution: &StudentsT, mut t: f64, tail: f64) -> Option<f64> {
    for _ in 0..8 {
        let slope = 2.0 * distribution.pdf(t);
        let step = (t_two_sided(t, distribution.freedom())? - tail) / slope;
        if !step.is_finite() {
            break;
        }
        t += step;
        if step.abs() <= 1e-15 * t.abs() {
            break;
        }
    }
    t.is_finite().then_some(t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meets_scipys_values() {
        // scipy.stats.t.ppf(0.975, df) and 2 * scipy.stats.t.sf(t, df)
        for (df, critical) in
            [(1.0, 12.706_204_736_174_694), (4.0, 2.776_445_105_197_793), (29.0, 2.045_229_642_132_703)]
        {
            let found = t_critical(0.95, df).unwrap();
            assert!((found / critical - 1.0).abs() < 1e-12, "{df}: {found}");
        }
        let tail = t_two_sided(12.0, 8.0).unwrap();
        assert!((tail / 2.143_866_747_688_769e-6 - 1.0).abs() < 1e-9, "{tail:e}");
    }

    #[test]
    fn what_has_no_distribution_has_no_answer() {
        assert_eq!(
            (t_two_sided(1.0, 0.0), t_two_sided(f64::NAN, 3.0), t_critical(0.95, -1.0)),
            (None, None, None)
        );
        assert_eq!((t_two_sided(0.0, 3.0), t_two_sided(f64::INFINITY, 3.0)), (Some(1.0), Some(0.0)));
    }
}
