//! How large a difference is, in units of what runs vary by.

use super::Summary;
use super::gamma::stirling_error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Standardised difference of two means.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EffectSize {
    /// Cohen's d: a's mean less b's, over the pooled standard deviation. Cohen, "Statistical Power Analysis for the
    /// Behavioral Sciences" (1988), section 2.2.
    pub cohens_d: f64,
    /// The same without the bias of small samples. Hedges, "Distribution Theory for Glass's Estimator of Effect Size",
    /// Journal of Educational Statistics 6 (1981), equation 6e.
    pub hedges_g: f64,
    /// In words, from `hedges_g`.
    pub magnitude: Magnitude,
}

/// Cohen's words for the size of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Magnitude {
    /// Below 0.2.
    Negligible,
    /// From 0.2.
    Small,
    /// From 0.5.
    Medium,
    /// From 0.8.
    Large,
}

impl Magnitude {
    /// As reports name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Negligible => "negligible",
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }

    fn of(size: f64) -> Self {
        match size.abs() {
            size if size < 0.2 => Self::Negligible,
            size if size < 0.5 => Self::Small,
            size if size < 0.8 => Self::Medium,
            _ => Self::Large,
        }
    }
}

/// Of a against b; none where one has fewer than two values, or neither varies.
pub fn effect_size(a: &Summary, b: &Summary) -> Option<EffectSize> {
    let (sa, sb) = (a.sd?, b.sd?);
    let (na, nb) = (a.n as f64, b.n as f64);
    let df = na + nb - 2.0;
    let pooled = (sa * ((na - 1.0) / df).sqrt()).hypot(sb * ((nb - 1.0) / df).sqrt());
    let cohens_d = (a.mean? - b.mean?) / pooled;
    if !(cohens_d.is_finite() && pooled.is_finite()) {
        return None;
    }
    let hedges_g = cohens_d * correction(df);
    Some(EffectSize { cohens_d, hedges_g, magnitude: Magnitude::of(hedges_g) })
}

/// gamma(m/2) / (sqrt(m/2) gamma((m - 1)/2)) for m degrees of freedom, from two on.
fn correction(df: f64) -> f64 {
    let half = df / 2.0;
    let powers = -(half - 1.0) * (-0.5 / half).ln_1p() - 0.5;
    (powers + stirling_error(half) - stirling_error(half - 0.5)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::summary;

    #[test]
    fn a_known_effect() {
        // d = (3 - 4) / sqrt(2.5); J(8) = gamma(4) / (2 gamma(7/2)).
        let found =
            effect_size(&summary(&[1.0, 2.0, 3.0, 4.0, 5.0]), &summary(&[2.0, 3.0, 4.0, 5.0, 6.0])).unwrap();
        assert!((found.cohens_d + 0.632_455_532_033_675_9).abs() < 1e-14, "{found:?}");
        assert!((found.hedges_g / found.cohens_d - 0.902_703_333_676_417_6).abs() < 1e-14, "{found:?}");
        assert_eq!(found.magnitude, Magnitude::Medium);
    }

    #[test]
    fn what_does_not_vary_has_no_effect_size() {
        assert_eq!(effect_size(&summary(&[1.0, 1.0]), &summary(&[2.0, 2.0])), None);
        assert_eq!(effect_size(&summary(&[1.0]), &summary(&[2.0, 3.0])), None);
    }
}
