//! How much of what runs vary by lies between groups of them (scenarios), and how much within (repetitions).

use super::fisher::f_tail;
use super::summary::mean;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One-way random-effects analysis of variance. Searle, Casella and McCulloch, "Variance Components" (1992), section
/// 3.6: groups may differ in size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VarianceSplit {
    /// Groups with at least one finite value; the others are left out.
    pub groups: usize,
    /// Finite values in all groups.
    pub n: usize,
    /// Sum of squares of the groups' means about the mean of all values, each weighted by its group's size.
    pub between_squares: f64,
    /// Sum of squares of values about their group's mean.
    pub within_squares: f64,
    /// Degrees of freedom between groups: groups - 1.
    pub between_df: usize,
    /// Degrees of freedom within groups: n - groups.
    pub within_df: usize,
    /// Variance component of groups by the method of moments, which is 0 where its estimate is negative.
    pub between_variance: f64,
    /// Variance component of values within a group: their mean square.
    pub within_variance: f64,
    /// Eta squared, the share of the sum of squares that lies between groups; none where nothing varies.
    pub eta_squared: Option<f64>,
    /// Intraclass correlation, the share of `between_variance` in the sum of both; none where that is 0.
    pub intraclass_correlation: Option<f64>,
    /// Between mean square over within mean square; none where nothing varies within groups.
    pub f: Option<f64>,
    /// The F-test's p that all groups have one mean.
    pub p: Option<f64>,
}

/// Splits the variance of the values of `groups`; none with fewer than two groups, or without a second value in one.
pub fn variance_split(groups: &[&[f64]]) -> Option<VarianceSplit> {
    let finite =
        |group: &&[f64]| -> Vec<f64> { group.iter().copied().filter(|value| value.is_finite()).collect() };
    let groups: Vec<Vec<f64>> = groups.iter().map(finite).filter(|group| !group.is_empty()).collect();
    let all: Vec<f64> = groups.iter().flatten().copied().collect();
    let n = all.len();
    let (between_df, within_df) = (groups.len().checked_sub(1)?, n - groups.len());
    if between_df == 0 || within_df == 0 {
        return None;
    }
    let (between_squares, within_squares) = squares(&groups, mean(&all)?)?;
    let squared_sizes: f64 = groups.iter().map(|group| (group.len() as f64).powi(2)).sum();
    let size = (n as f64 - squared_sizes / n as f64) / between_df as f64;
    let (between, within) = (between_squares / between_df as f64, within_squares / within_df as f64);
    let between_variance = ((between - within) / size).max(0.0);
    let share = |part: f64, whole: f64| Some(part / whole).filter(|share| share.is_finite());
    let f = share(between, within);
    Some(VarianceSplit {
        groups: groups.len(),
        n,
        between_squares,
        within_squares,
        between_df,
        within_df,
        between_variance,
        within_variance: within,
        eta_squared: share(between_squares, between_squares + within_squares),
        intraclass_correlation: share(between_variance, between_variance + within),
        f,
        p: f.and_then(|f| f_tail(f, between_df as f64, within_df as f64)),
    })
}

/// Between the means of `groups` about the `overall` one, and within; none where their sum is no number.
fn squares(groups: &[Vec<f64>], overall: f64) -> Option<(f64, f64)> {
    let (mut between, mut within) = (0.0, 0.0);
    for group in groups {
        let mean = mean(group)?;
        between += group.len() as f64 * (mean - overall).powi(2);
        within += group.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    }
    f64::is_finite(between + within).then_some((between, within))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) -> bool {
        (found / expected - 1.0).abs() < 1e-13
    }

    #[test]
    fn groups_of_different_sizes() {
        // By hand: means 2, 5 and 9 about 25/6, from which they are 13/6, 5/6 and 29/6; n0 = (6 - 14/6) / 2 = 11/6.
        let found = variance_split(&[&[1.0, 2.0, 3.0], &[4.0, 6.0], &[9.0]]).unwrap();
        assert_eq!((found.groups, found.n, found.between_df, found.within_df), (3, 6, 2, 3));
        let between = (3.0 * 169.0 + 2.0 * 25.0 + 841.0) / 36.0;
        assert!(close(found.between_squares, between) && close(found.within_squares, 4.0), "{found:?}");
        assert!(close(found.within_variance, 4.0 / 3.0));
        assert!(close(found.between_variance, (between / 2.0 - 4.0 / 3.0) / (11.0 / 6.0)), "{found:?}");
        assert!(close(found.f.unwrap(), between / 2.0 / (4.0 / 3.0)));
        assert!(close(found.eta_squared.unwrap(), between / (between + 4.0)));
    }

    #[test]
    fn nothing_between_and_nothing_within() {
        let same = variance_split(&[&[1.0, 3.0], &[3.0, 1.0]]).unwrap();
        assert_eq!((same.between_variance, same.intraclass_correlation, same.f), (0.0, Some(0.0), Some(0.0)));
        assert_eq!(same.p, Some(1.0));
        let apart = variance_split(&[&[0.1, 0.1, 0.1], &[0.3, 0.3, 0.3]]).unwrap();
        assert_eq!(
            (apart.within_variance, apart.eta_squared, apart.f, apart.p),
            (0.0, Some(1.0), None, None)
        );
        let flat = variance_split(&[&[0.1, 0.1, 0.1], &[0.1, 0.1]]).unwrap();
        assert_eq!((flat.eta_squared, flat.intraclass_correlation, flat.f), (None, None, None));
    }

    #[test]
    fn too_few_and_broken_values_have_no_split() {
        let cases: [&[&[f64]]; 6] = [
            &[],
            &[&[1.0, 2.0]],
            &[&[1.0], &[2.0]],
            &[&[1.0, 2.0], &[]],
            &[&[1.0, 2.0], &[f64::NAN]],
            &[&[1e300, -1e300], &[1.0, 2.0]],
        ];
        for groups in cases {
            assert_eq!(variance_split(groups), None, "{groups:?}");
        }
    }
}
