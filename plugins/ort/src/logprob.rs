//! The log-probability of one token under one position's logits.

use inferhost_plugin_api::{Error, ErrorKind};

/// ln softmax(logits)[token], reduced in f64 with the largest logit taken out first, so that nothing overflows.
///
/// # Errors
/// [`ErrorKind::NumericalFault`] for logits that hold NaN or have no finite maximum.
pub(crate) fn logprob(logits: &[f32], token: u32) -> Result<f64, Error> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    let own = logits.get(token as usize).copied().map(f64::from);
    match own {
        Some(own) if sum.is_finite() && largest.is_finite() => Ok(own - f64::from(largest) - sum.ln()),
        _ => Err(Error::new(
            ErrorKind::NumericalFault,
            "the model's logits hold NaN or have no finite maximum",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_logits_do_not_overflow() {
        for shift in [0.0, 1e4, -1e4] {
            let logits = [shift, shift + 1.0, shift + 2.0];
            // ln(e^2 / (1 + e + e^2))
            assert!((logprob(&logits, 2).unwrap() - -0.407_605_964_444_380_1).abs() < 1e-12);
        }
    }

    #[test]
    fn an_impossible_token_has_minus_infinity_and_nan_is_a_fault() {
        assert_eq!(logprob(&[0.0, f32::NEG_INFINITY], 1).unwrap(), f64::NEG_INFINITY);
        for logits in [[0.0, f32::NAN], [f32::NEG_INFINITY; 2], [0.0, f32::INFINITY]] {
            assert_eq!(logprob(&logits, 0).unwrap_err().kind, ErrorKind::NumericalFault);
        }
    }
}
