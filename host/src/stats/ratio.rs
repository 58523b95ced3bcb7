//! Ratios, and their means.

use super::{CONFIDENCE, Interval, Summary, t_critical, t_two_sided};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// a's mean over b's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RatioOfMeans {
    /// The ratio.
    pub ratio: f64,
    /// Its 95% confidence interval; none where one has fewer than two values.
    pub ci95: Option<Interval>,
    /// Two-sided, that the ratio is 1: t on its logarithm; none as above and where neither varies.
    pub p: Option<f64>,
}

/// The ratio of two positive means; none where one is missing or not positive.
///
/// The interval is by the delta method on the ratio's logarithm, whose squared standard error is the sum of the squared
/// coefficients of variation of both means, with Satterthwaite's degrees of freedom; Casella and Berger, "Statistical
/// Inference" (2002), section 5.5.4.
pub fn ratio_of_means(a: &Summary, b: &Summary) -> Option<RatioOfMeans> {
    let positive = |of: &Summary| of.mean.filter(|mean| *mean > 0.0);
    let ratio = Some(positive(a)? / positive(b)?).filter(|ratio| ratio.is_finite())?;
    Some(RatioOfMeans::of(ratio, &[a, b], 1))
}

impl RatioOfMeans {
    /// Of the denominator over the numerator.
    #[must_use]
    pub fn inverse(self) -> Self {
        let ci95 = self.ci95.map(|ci| Interval { low: ci.high.recip(), high: ci.low.recip() });
        Self { ratio: self.ratio.recip(), ci95, p: self.p }
    }

    /// Of a mean over `scenarios` of logarithms of ratios, from the samples behind these.
    fn of(ratio: f64, samples: &[&Summary], scenarios: usize) -> Self {
        let unknown = Self { ratio, ci95: None, p: None };
        let (mut total, mut weight) = (0.0, 0.0);
        for of in samples {
            let Some(cv) = of.cv.filter(|_| of.n > 1) else { return unknown };
            let part = cv * cv / of.n as f64;
            total += part;
            weight += part * part / (of.n as f64 - 1.0);
        }
        if total == 0.0 {
            return Self { ci95: Some(Interval { low: ratio, high: ratio }), ..unknown };
        }
        let (error, df) = (total.sqrt() / scenarios as f64, total * total / weight);
        let factor = t_critical(CONFIDENCE, df).map(|t| (t * error).exp());
        let ci95 = factor.map(|factor| Interval { low: ratio / factor, high: ratio * factor });
        let ci95 = ci95.filter(|ci| ci.high.is_finite());
        Self { ratio, ci95, p: t_two_sided(ratio.ln() / error, df) }
    }
}

/// The geometric mean of the ratios of pairs of positive means: one figure for several scenarios. Its interval covers what
/// repetitions of these scenarios would give, not other scenarios. None where a pair has no ratio or there is none.
///
/// As [`ratio_of_means`]: the squared standard error of the mean logarithm is the sum over all 2 S samples of
/// (cv^2 / n) / S^2.
pub fn geometric_ratio(pairs: &[(&Summary, &Summary)]) -> Option<RatioOfMeans> {
    let ratios: Option<Vec<f64>> = pairs.iter().map(|(a, b)| Some(ratio_of_means(a, b)?.ratio)).collect();
    let ratio = geometric_mean(&ratios?)?;
    let samples: Vec<&Summary> = pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
    Some(RatioOfMeans::of(ratio, &samples, pairs.len()))
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
    fn one_pair_is_its_ratio_and_two_alike_are_surer() {
        let (a, b) = (summary(&[2.0, 2.2, 1.9]), summary(&[1.0, 1.05, 0.98, 1.01]));
        let (one, of_one) = (ratio_of_means(&a, &b).unwrap(), geometric_ratio(&[(&a, &b)]).unwrap());
        let (alone, same) = (one.ci95.unwrap(), of_one.ci95.unwrap());
        assert!((one.ratio / of_one.ratio - 1.0).abs() < 1e-14 && (alone.low / same.low - 1.0).abs() < 1e-12);
        let two = geometric_ratio(&[(&a, &b), (&a, &b)]).unwrap();
        let narrower = two.ci95.unwrap();
        assert!(
            (two.ratio / one.ratio - 1.0).abs() < 1e-14
                && narrower.low > alone.low
                && narrower.high < alone.high
        );
        assert_eq!(geometric_ratio(&[]), None);
        assert_eq!(geometric_ratio(&[(&a, &b), (&summary(&[1.0]), &b)]).map(|found| found.ci95), Some(None));
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
