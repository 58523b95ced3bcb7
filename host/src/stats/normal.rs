//! The standard normal distribution, at the accuracy of small tail probabilities: the library's keeps ten digits.

use std::f64::consts::PI;

/// Terms of the continued fraction, of which fewer suffice from 2 on.
const TERMS: u32 = 200;

/// P(|Z| >= |z|), of a z that is a number.
///
/// The series of Abramowitz and Stegun 26.2.11 below 2, the continued fraction 26.2.14 from there.
pub(crate) fn normal_two_sided(z: f64) -> f64 {
    let z = z.abs();
    let density = (-z * z / 2.0).exp() * (2.0 / PI).sqrt();
    if z >= 2.0 {
        return density / (1..=TERMS).rev().fold(z, |below, term| z + f64::from(term) / below);
    }
    let (mut term, mut sum, mut odd) = (z, z, 1.0);
    while term > sum * f64::EPSILON / 4.0 {
        odd += 2.0;
        term *= z * z / odd;
        sum += term;
    }
    (1.0 - density * sum).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_digits_of_small_tails() {
        // mpmath's erfc(z / sqrt(2)), with 30 digits
        for (z, expected) in [
            (0.001, 0.9992021155721779),
            (0.5, 0.6170750774519738),
            (1.0, 0.3173105078629141),
            (1.96, 0.04999579029644087),
            (1.999, 0.045608353865317766),
            (2.0, 0.04550026389635842),
            (2.5, 0.01241933065155227),
            (6.0, 1.973175290075396e-09),
            (20.0, 5.5072482372124675e-89),
            (37.0, 1.1451142445049154e-299),
        ] {
            for z in [z, -z] {
                let found = normal_two_sided(z);
                assert!((found / expected - 1.0).abs() < 1e-13, "{z}: {found:e}, not {expected:e}");
            }
        }
        assert_eq!((normal_two_sided(0.0), normal_two_sided(f64::INFINITY)), (1.0, 0.0));
    }
}
