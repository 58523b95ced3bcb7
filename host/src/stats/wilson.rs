//! The interval of a share.

use super::{CONFIDENCE, Interval};
use statrs::distribution::{ContinuousCDF, Normal};

/// The 95% interval of the true share where `hits` of `total` were seen; none of none. Wilson, "Probable Inference, the Law
/// of Succession, and Statistical Inference", Journal of the American Statistical Association 22 (1927); unlike the
/// textbook's it holds for small samples and shares near 0 and 1.
pub fn wilson(hits: u64, total: u64) -> Option<Interval> {
    if total == 0 || hits > total {
        return None;
    }
    let (share, n) = (hits as f64 / total as f64, total as f64);
    let z = Normal::standard().inverse_cdf(0.5 + CONFIDENCE / 2.0);
    let scale = 1.0 / (1.0 + z * z / n);
    let middle = scale * (share + z * z / (2.0 * n));
    let half = scale * z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let low = if hits == 0 { 0.0 } else { middle - half };
    let high = if hits == total { 1.0 } else { middle + half };
    Some(Interval { low, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meets_scipys_values() {
        // scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
        for (hits, total, low, high) in [
            (0, 10, 0.0, 0.277_532_799_862_889_2),
            (3, 30, 0.034_599_888_747_334_18, 0.256_210_825_791_841),
            (10, 10, 0.722_467_200_137_110_9, 1.0),
        ] {
            let found = wilson(hits, total).unwrap();
            assert!(
                (found.low - low).abs() < 1e-12 && (found.high - high).abs() < 1e-12,
                "{hits}/{total}: {found:?}"
            );
        }
        assert_eq!((wilson(0, 0), wilson(2, 1)), (None, None));
    }
}
