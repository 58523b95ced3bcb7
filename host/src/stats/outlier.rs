//! Which values lie far from the rest: labelled, for a reader to look at, never dropped.

use super::quantile;
use std::f64::consts::PI;

/// The score beyond which a value is called an outlier.
pub const OUTLIER_SCORE: f64 = 3.5;

/// The median absolute deviation of a normal sample, in standard deviations: the 0.75 quantile of the standard normal
/// distribution, printed as 0.6745 in the source.
const NORMAL_MAD: f64 = 0.674_489_750_196_081_7;

/// Modified z-scores: how far each value is from the median, in standard deviations as the median absolute deviation
/// estimates them. None for values that are not finite.
///
/// Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (1993), section 3.3. Where half of the values are the same,
/// that deviation is 0 and the mean absolute deviation takes its place, which is sqrt(2/pi) of a normal sample's standard
/// deviation; where all are the same, every score is 0.
pub fn modified_z_scores(values: &[f64]) -> Vec<Option<f64>> {
    let Some(median) = quantile(values, 0.5) else { return vec![None; values.len()] };
    let away: Vec<f64> =
        values.iter().map(|value| (value - median).abs()).filter(|away| away.is_finite()).collect();
    let mad = quantile(&away, 0.5).unwrap_or(0.0) / NORMAL_MAD;
    let mean = (PI / 2.0).sqrt() * away.iter().sum::<f64>() / away.len() as f64;
    let spread = if mad > 0.0 { mad } else { mean };
    let score = |value: f64| if value == median { 0.0 } else { (value - median) / spread };
    values.iter().map(|value| Some(score(*value)).filter(|score| score.is_finite())).collect()
}

/// The places in `values` whose modified z-score is beyond [`OUTLIER_SCORE`] to either side.
pub fn outliers(values: &[f64]) -> Vec<usize> {
    let scores = modified_z_scores(values).into_iter().enumerate();
    scores
        .filter(|(_, score)| score.is_some_and(|score| score.abs() > OUTLIER_SCORE))
        .map(|(at, _)| at)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_far_from_the_rest() {
        let values = [2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3];
        assert_eq!(outliers(&values), [8, 9]);
        let scores = modified_z_scores(&values);
        // By hand: the median is 2.45, that of the absolute deviations 0.15.
        assert!((scores[8].unwrap() - NORMAL_MAD * 5.75 / 0.15).abs() < 1e-9, "{scores:?}");
        assert!((scores[0].unwrap() + NORMAL_MAD * 0.35 / 0.15).abs() < 1e-9, "{scores:?}");
    }

    #[test]
    fn where_half_are_the_same_the_mean_deviation_counts() {
        let values = [5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 9.0];
        // 4 over sqrt(pi/2) x 4/8.
        let score = modified_z_scores(&values)[7].unwrap();
        assert!((score - 8.0 / (PI / 2.0).sqrt()).abs() < 1e-12, "{score}");
        assert_eq!(outliers(&values), [7]);
        assert_eq!(modified_z_scores(&[0.1; 3]), [Some(0.0); 3]);
    }

    #[test]
    fn empty_single_and_broken_samples_have_an_answer() {
        assert_eq!((modified_z_scores(&[]), outliers(&[])), (vec![], vec![]));
        assert_eq!(modified_z_scores(&[f64::NAN, 3.0]), [None, Some(0.0)]);
        assert_eq!(modified_z_scores(&[f64::INFINITY]), [None]);
        assert_eq!(outliers(&[1.0, 1.1, f64::INFINITY, 0.9, 1.0, 1.2, 0.8, 50.0]), [7]);
        assert!(
            modified_z_scores(&[f64::MIN, f64::MAX, 0.0]).iter().flatten().all(|score| score.is_finite())
        );
    }
}
