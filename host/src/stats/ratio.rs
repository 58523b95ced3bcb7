//! Ratios, and their means.

use super::t_test::welch;
use super::{CONFIDENCE, Interval, Summary, t_critical};
use serde::{Deserialize, Serialize};

/// a's mean over b's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatioOfMeans {
    /// The ratio.
    pub ratio: f64,
    /// Its 95% confidence interval; none where one has fewer than two values.
    pub ci95: Option<Interval>,
}

/// The ratio of two positive means; none where one is missing or not positive.
///
/// The interval is by the delta method on the ratio's logarithm, whose squared standard error is the sum of the squared
/// coefficients of variation of both means, with Satterthwaite's degrees of freedom; Casella and Berger, "Statistical
/// Inference" (2002), section 5.5.4.
pub fn ratio_of_means(a: &Summary, b: &Summary) -> Option<RatioOfMeans> {
    let positive = |of: &Summary| of.mean.filter(|mean| *mean > 0.0);
    let (ma, mb) = (positive(a)?, positive(b)?);
    let ratio = Some(ma / mb).filter(|ratio| ratio.is_finite())?;
    let ci95 = a.sd.zip(b.sd).and_then(|(sa, sb)| {
        let (na, nb) = (a.n as f64, b.n as f64);
        let (va, vb) = ((sa / ma).powi(2) / na, (sb / mb).powi(2) / nb);
        if va + vb == 0.0 {
            return Some(Interval { low: ratio, high: ratio });
        }
        let (error, df) = welch(va, vb, na, nb);
        let factor = (t_critical(CONFIDENCE, df)? * error).exp();
        let high = Some(ratio * factor).filter(|high| high.is_finite())?;
        Some(Interval { low: ratio / factor, high })
    });
    Some(RatioOfMeans { ratio, ci95 })
}

/// The geometric mean of positive values: the mean for ratios, the same whichever side is the denominator. None where
/// there are no values or one is not positive and finite.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logs: Option<Vec<f64>> =
        values.iter().map(|value| Some(value.ln()).filter(|log| log.is_finite())).collect();
    let logs = logs.filter(|logs| !logs.is_empty())?;
    Some((logs.iter().sum::<f64>() / logs.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::summary;

    #[test]
    fn a_ratio_turned_over_has_the_interval_turned_over() {
        let (a, b) = (summary(&[2.0, 2.2, 1.9]), summary(&[1.0, 1.05, 0.98, 1.01]));
        let (there, back) = (ratio_of_means(&a, &b).unwrap(), ratio_of_means(&b, &a).unwrap());
        let (ci, turned) = (there.ci95.unwrap(), back.ci95.unwrap());
        assert!((there.ratio * back.ratio - 1.0).abs() < 1e-14);
        assert!((ci.low * turned.high - 1.0).abs() < 1e-12 && (ci.high * turned.low - 1.0).abs() < 1e-12);
        assert!(ci.contains(there.ratio));
    }

    #[test]
    fn what_has_no_ratio_has_none() {
        assert_eq!(ratio_of_means(&summary(&[]), &summary(&[1.0])), None);
        assert_eq!(ratio_of_means(&summary(&[1.0]), &summary(&[0.0])), None);
        assert_eq!(
            ratio_of_means(&summary(&[3.0]), &summary(&[2.0])).map(|r| (r.ratio, r.ci95)),
            Some((1.5, None))
        );
    }

    #[test]
    fn geometric_means() {
        assert!((geometric_mean(&[1.0, 2.0, 4.0]).unwrap() - 2.0).abs() < 1e-15);
        assert_eq!(
            (geometric_mean(&[]), geometric_mean(&[1.0, 0.0]), geometric_mean(&[-1.0])),
            (None, None, None)
        );
    }
}
