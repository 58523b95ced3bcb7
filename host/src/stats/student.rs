//! Student's t distribution, at the accuracy of small tail probabilities.

use super::beta::{beta_power, incomplete_beta};

/// P(|T| >= |t|) for `df` degrees of freedom; none where either is no number of that kind.
///
/// As the regularised incomplete beta function I_x(df/2, 1/2) with x = df / (df + t^2), Abramowitz and Stegun 26.7.1:
/// unlike 1 - CDF it keeps its digits where it is small.
pub fn t_two_sided(t: f64, df: f64) -> Option<f64> {
    if t.is_nan() || !(df > 0.0 && df.is_finite()) {
        return None;
    }
    let (x, y) = shares(t, df);
    incomplete_beta(df / 2.0, 0.5, x, y)
}

/// The t that |T| exceeds with probability 1 - `confidence`, for `df` degrees of freedom.
pub fn t_critical(confidence: f64, df: f64) -> Option<f64> {
    let tail = 1.0 - confidence;
    if !(df > 0.0 && df.is_finite() && confidence > 0.0 && tail > 0.0) {
        return None;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while t_two_sided(high, df)? > tail {
        (low, high) = (high, high * 2.0);
        if high.is_infinite() {
            return None;
        }
    }
    let mut t = high;
    for _ in 0..200 {
        let over = t_two_sided(t, df)? / tail;
        if over > 1.0 {
            low = t;
        } else {
            high = t;
        }
        let next = newton(t, df, tail, over).filter(|next| (low..=high).contains(next));
        let next = next.unwrap_or(low + (high - low) / 2.0);
        if (next - t).abs() <= f64::EPSILON * t {
            return Some(next);
        }
        t = next;
    }
    Some(t)
}

/// Newton's step on the logarithms of both t and its tail, between which the curve is nearly straight; the tail's
/// derivative by ln t is -2 x^(df/2) y^(1/2) / B(df/2, 1/2).
fn newton(t: f64, df: f64, tail: f64, over: f64) -> Option<f64> {
    let (x, y) = shares(t, df);
    let next = t * (over.ln() * over * tail / (2.0 * beta_power(df / 2.0, 0.5, x, y))).exp();
    next.is_finite().then_some(next)
}

/// df / (df + t^2) and t^2 / (df + t^2).
fn shares(t: f64, df: f64) -> (f64, f64) {
    let ratio = t * (t / df);
    (1.0 / (1.0 + ratio), if ratio.is_finite() { ratio / (1.0 + ratio) } else { 1.0 })
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
    fn a_critical_value_has_its_tail() {
        for df in [0.1, 0.7, 1.0, 2.5, 30.0, 1e4, 1e9] {
            for confidence in [1e-6, 0.1, 0.5, 0.9, 0.95, 0.999_999] {
                let t = t_critical(confidence, df).unwrap();
                let tail = t_two_sided(t, df).unwrap();
                assert!((tail / (1.0 - confidence) - 1.0).abs() < 1e-12, "{df} {confidence}: {t} {tail}");
            }
        }
    }

    #[test]
    fn what_has_no_distribution_has_no_answer() {
        assert_eq!(
            (t_two_sided(1.0, 0.0), t_two_sided(f64::NAN, 3.0), t_critical(0.95, -1.0)),
            (None, None, None)
        );
        assert_eq!(
            (t_critical(0.0, 3.0), t_critical(1.0, 3.0), t_critical(f64::NAN, 3.0)),
            (None, None, None)
        );
        assert_eq!((t_two_sided(0.0, 3.0), t_two_sided(f64::INFINITY, 3.0)), (Some(1.0), Some(0.0)));
    }
}
