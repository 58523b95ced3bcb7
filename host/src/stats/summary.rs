//! What describes one sample.

use super::{CONFIDENCE, Interval, quantile, t_critical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A sample's location and spread. A field is `None` where the sample does not define it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Finite values in the sample; the others are left out of every field.
    pub n: usize,
    /// Arithmetic mean.
    pub mean: Option<f64>,
    /// Sample standard deviation, with n-1; needs two values.
    pub sd: Option<f64>,
    /// The middle value, or the mean of the two middle ones.
    pub median: Option<f64>,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Coefficient of variation, sd / |mean|; none where the mean is 0.
    pub cv: Option<f64>,
    /// The 95% confidence interval of the mean, by Student's t; needs two values.
    pub ci95: Option<Interval>,
    /// The 90th percentile; needs 10 values, fewer than which have no tenth above it.
    pub p90: Option<f64>,
    /// The 99th percentile; needs 100 values.
    pub p99: Option<f64>,
}

/// Describes `values`.
///
/// Mean and standard deviation by the two-pass algorithm with the rounding correction of Chan, Golub and LeVeque,
/// "Algorithms for Computing the Sample Variance", The American Statistician 37 (1983), equation 1.7; the median is
/// the 0.5 quantile of type 7 of Hyndman and Fan, The American Statistician 50 (1996), R's and NumPy's default.
pub fn summary(values: &[f64]) -> Summary {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let mean = mean(&sorted);
    let sd = mean.and_then(|mean| deviation(&sorted, mean));
    let n = sorted.len();
    Summary {
        n,
        mean,
        sd,
        median: quantile(&sorted, 0.5),
        min: sorted.first().copied(),
        max: sorted.last().copied(),
        cv: sd.zip(mean).map(|(sd, mean)| sd / mean.abs()).filter(|cv| cv.is_finite()),
        ci95: mean.zip(sd).and_then(|(mean, sd)| {
            let critical = t_critical(CONFIDENCE, n as f64 - 1.0)?;
            Interval::around(mean, critical * sd / (n as f64).sqrt())
        }),
        p90: quantile(&sorted, 0.9).filter(|_| n >= 10),
        p99: quantile(&sorted, 0.99).filter(|_| n >= 100),
    }
}

/// The arithmetic mean of finite values; none of none.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    let first = *values.first()?;
    // Whose mean is exact, so that what does not vary has no variance.
    if values.iter().all(|value| *value == first) {
        return Some(first);
    }
    let n = values.len() as f64;
    let sum = values.iter().sum::<f64>();
    let rough = if sum.is_finite() { sum / n } else { values.iter().map(|value| value / n).sum() };
    // The second pass takes back what the sum's rounding lost.
    let lost = values.iter().map(|value| value - rough).sum::<f64>() / n;
    Some(if lost.is_finite() { rough + lost } else { rough })
}

fn deviation(values: &[f64], mean: f64) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let n = values.len() as f64;
    let scale = scale(values, mean)?;
    let away = || values.iter().map(|value| (value - mean) / scale);
    let squares: f64 = away().map(|value| value * value).sum();
    // Zero in exact arithmetic: what the mean's own rounding added to the squares.
    let residue: f64 = away().sum();
    let sd = ((squares - residue * residue / n) / (n - 1.0)).max(0.0).sqrt() * scale;
    sd.is_finite().then_some(sd)
}

/// The power of two below the largest deviation: divided by it, which is exact, no square overflows or vanishes.
fn scale(values: &[f64], mean: f64) -> Option<f64> {
    const EXPONENT: u64 = 0x7ff0_0000_0000_0000;
    let largest = values.iter().fold(0.0, |largest: f64, value| largest.max((value - mean).abs()));
    largest.is_finite().then(|| f64::from_bits(largest.to_bits() & EXPONENT).max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<f64>, expected: f64, tolerance: f64) -> bool {
        found.is_some_and(|found| ((found - expected) / expected).abs() <= tolerance)
    }

    /// NIST Statistical Reference Datasets, univariate summary statistics: certified mean and standard deviation of
    /// NumAcc1 to NumAcc4, which are made to break one-pass formulas.
    #[test]
    fn meets_the_certified_values_of_nist() {
        let alternating = |middle: f64, low: f64, high: f64| -> Vec<f64> {
            std::iter::once(middle).chain([low, high].into_iter().cycle().take(1000)).collect()
        };
        for (values, mean, sd, tolerance) in [
            (vec![10_000_001.0, 10_000_003.0, 10_000_002.0], 10_000_002.0, 1.0, 1e-15),
            (alternating(1.2, 1.1, 1.3), 1.2, 0.1, 1e-14),
            (alternating(1_000_000.2, 1_000_000.1, 1_000_000.3), 1_000_000.2, 0.1, 1e-9),
            (alternating(10_000_000.2, 10_000_000.1, 10_000_000.3), 10_000_000.2, 0.1, 1e-7),
        ] {
            let found = summary(&values);
            assert!(close(found.mean, mean, 1e-14), "{found:?}");
            assert!(close(found.sd, sd, tolerance), "{found:?}");
        }
    }

    #[test]
    fn describes_a_small_sample() {
        // numpy: mean 5, std(ddof=1) 2.138089935299395, median 4.5
        let found = summary(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!((found.n, found.mean, found.median), (8, Some(5.0), Some(4.5)));
        assert_eq!((found.min, found.max), (Some(2.0), Some(9.0)));
        assert!(close(found.sd, 2.138_089_935_299_395, 1e-15));
        assert!(close(found.cv, 2.138_089_935_299_395 / 5.0, 1e-15));
    }

    #[test]
    fn empty_single_and_broken_samples_have_an_answer() {
        assert_eq!(summary(&[]), Summary::default());
        assert_eq!(summary(&[f64::NAN, f64::INFINITY]), Summary::default());
        let one = summary(&[f64::NAN, 3.0]);
        assert_eq!((one.n, one.mean, one.sd, one.median, one.cv), (1, Some(3.0), None, Some(3.0), None));
        assert_eq!(summary(&[-1.0, 1.0]).cv, None);
        assert_eq!((summary(&[0.1; 7]).mean, summary(&[0.1; 7]).sd), (Some(0.1), Some(0.0)));
    }

    #[test]
    fn numbers_near_the_ends_of_the_range_keep_their_digits() {
        for scale in [1e-300, 1e-160, 1.0, 1e160, 1e307] {
            let found = summary(&[1.0 * scale, 2.0 * scale, 6.0 * scale]);
            assert!(
                close(found.mean, 3.0 * scale, 1e-15) && close(found.sd, 7f64.sqrt() * scale, 1e-15),
                "{found:?}"
            );
        }
        let far = summary(&[f64::MIN, f64::MAX, f64::MAX]);
        assert!(far.mean.is_some_and(f64::is_finite) && far.sd.is_none_or(f64::is_finite), "{far:?}");
    }
}
