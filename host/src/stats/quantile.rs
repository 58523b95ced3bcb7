//! Where in a sample a share of its values lies below.

/// The `share` quantile of `values`, from 0 (the smallest) to 1 (the largest); none without finite values.
///
/// Type 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages", The American Statistician 50 (1996), R's and
/// NumPy's default: linear between the two values around (n - 1) x share.
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let place = share.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (below, part) = (place.floor(), place.fract());
    let lower = *sorted.get(below as usize)?;
    match sorted.get(below as usize + 1) {
        Some(upper) if part > 0.0 => {
            let between = upper - lower;
            Some(if between.is_finite() {
                lower + part * between
            } else {
                lower * (1.0 - part) + upper * part
            })
        }
        _ => Some(lower),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `numpy.quantile([3, 1, 4, 1, 5, 9, 2, 6], q)`.
    #[test]
    fn meets_numpys_values() {
        let values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        for (share, expected) in [(0.0, 1.0), (0.25, 1.75), (0.5, 3.5), (0.9, 6.9), (1.0, 9.0)] {
            let found = quantile(&values, share).unwrap();
            assert!((found - expected).abs() < 1e-12, "{share}: {found}");
        }
    }

    #[test]
    fn empty_single_and_broken_samples_have_an_answer() {
        assert_eq!((quantile(&[], 0.5), quantile(&[f64::NAN], 0.5)), (None, None));
        assert_eq!(quantile(&[f64::INFINITY, 7.0], 0.9), Some(7.0));
        assert_eq!((quantile(&[1.0, 2.0], -1.0), quantile(&[1.0, 2.0], 2.0)), (Some(1.0), Some(2.0)));
    }
}
