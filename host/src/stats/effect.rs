//! How large a difference is, in units of what runs vary by.

use super::Summary;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::function::gamma::ln_gamma;

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
    let pooled = (((na - 1.0) * sa * sa + (nb - 1.0) * sb * sb) / df).sqrt();
    let cohens_d = (a.mean? - b.mean?) / pooled;
    if !cohens_d.is_finite() {
        return None;
    }
    let correction = (ln_gamma(df / 2.0) - ln_gamma((df - 1.0) / 2.0) - (df / 2.0).ln() / 2.0).exp();
    let hedges_g = cohens_d * correction;
    Some(EffectSize { cohens_d, hedges_g, magnitude: Magnitude::of(hedges_g) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::summary;

    #[test]
    fn a_known_effect() {
        // d = (3 - 4) / sqrt(2.5); J(8) = 0.902758...
        let found =
            effect_size(&summary(&[1.0, 2.0, 3.0, 4.0, 5.0]), &summary(&[2.0, 3.0, 4.0, 5.0, 6.0])).unwrap();
        assert!((found.cohens_d + 0.632_455_532_033_675_9).abs() < 1e-14, "{found:?}");
        assert!((found.hedges_g / found.cohens_d - 0.902_702_7).abs() < 1e-4, "{found:?}");
        assert_eq!(found.magnitude, Magnitude::Medium);
    }

    #[test]
    fn what_does_not_vary_has_no_effect_size() {
        assert_eq!(effect_size(&summary(&[1.0, 1.0]), &summary(&[2.0, 2.0])), None);
        assert_eq!(effect_size(&summary(&[1.0]), &summary(&[2.0, 3.0])), None);
    }
}
