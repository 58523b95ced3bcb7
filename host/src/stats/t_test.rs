//! Whether two samples have the same mean.

use super::{CONFIDENCE, Interval, Summary, t_critical, t_two_sided};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which of the two t-tests.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Test {
    /// Unequal variances: Welch, "The generalization of 'Student's' problem", Biometrika 34 (1947), with Satterthwaite's
    /// degrees of freedom.
    #[default]
    Welch,
    /// One pooled variance: Student's two-sample test.
    Pooled,
}

impl Test {
    /// As reports name it, beside each p.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Welch => "Welch's t",
            Self::Pooled => "Student's t (pooled)",
        }
    }
}

/// What a test says of a - b.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TTest {
    /// Which test.
    pub test: Test,
    /// The mean of a less that of b.
    pub difference: f64,
    /// Its 95% confidence interval.
    pub ci95: Interval,
    /// The statistic.
    pub t: f64,
    /// Degrees of freedom.
    pub df: f64,
    /// Two-sided.
    pub p: f64,
}

/// Tests the means of two samples by their n, mean and sd; none where one has fewer than two values, or neither varies.
pub fn t_test(a: &Summary, b: &Summary, test: Test) -> Option<TTest> {
    let difference = a.mean? - b.mean?;
    let (sa, sb) = (a.sd?, b.sd?);
    let (na, nb) = (a.n as f64, b.n as f64);
    let (error, df) = match test {
        Test::Welch => welch(sa * sa / na, sb * sb / nb, na, nb),
        Test::Pooled => {
            let df = na + nb - 2.0;
            let variance = ((na - 1.0) * sa * sa + (nb - 1.0) * sb * sb) / df;
            ((variance * (1.0 / na + 1.0 / nb)).sqrt(), df)
        }
    };
    let t = difference / error;
    if !(error > 0.0 && error.is_finite() && t.is_finite()) {
        return None;
    }
    let ci95 = Interval::around(difference, t_critical(CONFIDENCE, df)? * error)?;
    Some(TTest { test, difference, ci95, t, df, p: t_two_sided(t, df)? })
}

/// Welch's test of the difference of two sums of means, a's over all pairs less b's: how much longer one run of each of
/// several scenarios takes. None where a sample has fewer than two values, or none varies.
pub fn difference_of_sums(pairs: &[(&Summary, &Summary)]) -> Option<TTest> {
    let (mut difference, mut total, mut weight) = (0.0, 0.0, 0.0);
    for (a, b) in pairs {
        difference += a.mean? - b.mean?;
        for of in [a, b] {
            let (sd, n) = (of.sd?, of.n as f64);
            let part = sd * sd / n;
            total += part;
            weight += part * part / (n - 1.0);
        }
    }
    let (error, df) = (total.sqrt(), total * total / weight);
    if !(error > 0.0 && df.is_finite()) {
        return None;
    }
    let t = difference / error;
    let ci95 = Interval::around(difference, t_critical(CONFIDENCE, df)? * error)?;
    Some(TTest { test: Test::Welch, difference, ci95, t, df, p: t_two_sided(t, df)? })
}

/// The standard error of a difference whose parts have squared standard errors `va` and `vb`, and Satterthwaite's
/// degrees of freedom: "An Approximate Distribution of Estimates of Variance Components", Biometrics Bulletin 2 (1946).
fn welch(va: f64, vb: f64, na: f64, nb: f64) -> (f64, f64) {
    // Scaled, so that squares of tiny variances do not vanish.
    let total = va + vb;
    let (a, b) = (va / total, vb / total);
    (total.sqrt(), 1.0 / (a * a / (na - 1.0) + b * b / (nb - 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::summary;

    fn close(found: f64, expected: f64) -> bool {
        (found / expected - 1.0).abs() < 1e-10
    }

    #[test]
    fn one_difference_by_both_tests() {
        let (a, b) = (summary(&[2.1, 2.4, 1.9, 2.2, 2.0]), summary(&[3.0, 3.9, 2.7, 3.3]));
        let welch = t_test(&a, &b, Test::Welch).unwrap();
        // scipy.stats.ttest_ind(a, b, equal_var=False)
        assert!(close(welch.difference, -1.105), "{welch:?}");
        assert!(welch.ci95.contains(welch.difference) && !welch.ci95.contains(0.0), "{welch:?}");
        let pooled = t_test(&a, &b, Test::Pooled).unwrap();
        assert_eq!((pooled.df, pooled.difference), (7.0, welch.difference));
        assert!(welch.df < pooled.df);
    }

    #[test]
    fn one_pair_of_sums_is_welchs_test_and_pairs_add_up() {
        let (a, b) = (summary(&[2.1, 2.4, 1.9, 2.2, 2.0]), summary(&[3.0, 3.9, 2.7, 3.3]));
        let (one, welch) = (difference_of_sums(&[(&a, &b)]).unwrap(), t_test(&a, &b, Test::Welch).unwrap());
        assert!(close(one.t, welch.t) && close(one.df, welch.df) && close(one.p, welch.p), "{one:?}");
        let two = difference_of_sums(&[(&a, &b), (&a, &b)]).unwrap();
        assert!(close(two.difference, 2.0 * one.difference) && close(two.t, one.t * 2.0_f64.sqrt()));
        assert_eq!(difference_of_sums(&[(&a, &summary(&[1.0]))]), None);
        assert_eq!(difference_of_sums(&[]), None);
    }

    #[test]
    fn what_cannot_be_tested_is_not() {
        let (one, flat, some) = (summary(&[1.0]), summary(&[2.0, 2.0]), summary(&[1.0, 2.0]));
        for test in [Test::Welch, Test::Pooled] {
            assert_eq!(t_test(&one, &some, test), None);
            assert_eq!(t_test(&flat, &flat, test), None);
            assert!(t_test(&flat, &some, test).is_some());
        }
    }
}
