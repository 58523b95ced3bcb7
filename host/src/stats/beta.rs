//! The regularised incomplete beta function, from which the tails of t and F come. The library's loses digits with many
//! degrees of freedom, of which a million runs have a million.

use super::gamma::stirling_error;
use std::f64::consts::PI;

/// Terms of the continued fraction before giving up; a few times the root of the smaller parameter suffice.
const TERMS: u32 = 10_000;

/// I_x(a, b) with y = 1 - x, which the caller gives because 1 - x loses the digits of a small y; none where it is not
/// defined.
///
/// The continued fraction of Didonato and Morris, "Algorithm 708: Significant Digit Computation of the Incomplete Beta
/// Function Ratios", ACM Transactions on Mathematical Software 18 (1992), equation 9, on the side of the mean where it
/// converges fast.
pub(super) fn incomplete_beta(a: f64, b: f64, x: f64, y: f64) -> Option<f64> {
    let positive = |value: f64| value > 0.0 && value.is_finite();
    if !(positive(a) && positive(b) && (0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y)) {
        return None;
    }
    let below = a * y >= b * x;
    let share = if below { fraction(a, b, x, y)? } else { 1.0 - fraction(b, a, y, x)? };
    (!share.is_nan()).then_some(share)
}

/// x^a y^b / B(a, b).
pub(super) fn beta_power(a: f64, b: f64, x: f64, y: f64) -> f64 {
    let n = a + b;
    let excess = x * b - y * a;
    let power = |a: f64, x: f64, excess: f64| {
        if excess.abs() < a / 2.0 { a * (excess / a).ln_1p() } else { a * (x * (n / a)).ln() }
    };
    let stirling = stirling_error(n) - stirling_error(a) - stirling_error(b);
    (a * (b / n) / (2.0 * PI)).sqrt() * (power(a, x, excess) + power(b, y, -excess) + stirling).exp()
}

/// By Lentz's algorithm as modified by Thompson and Barnett, Journal of Computational Physics 64 (1986).
fn fraction(a: f64, b: f64, x: f64, y: f64) -> Option<f64> {
    let power = beta_power(a, b, x, y);
    if power == 0.0 {
        return Some(0.0);
    }
    let below_mean = a * y - b * x;
    let denominator = |m: f64| {
        m + m * (b - m) * x / (a + 2.0 * m - 1.0)
            + (a + m) * (below_mean + 1.0 + m * (1.0 + y)) / (a + 2.0 * m + 1.0)
    };
    let not_zero = |value: f64| if value == 0.0 { f64::MIN_POSITIVE } else { value };
    let mut value = not_zero(a / (a + 1.0) * (below_mean + 1.0));
    let (mut c, mut d) = (value, 0.0);
    for m in 1..TERMS {
        let m = f64::from(m);
        let place = a + 2.0 * m - 1.0;
        let numerator = (a + m - 1.0) / place * ((a + b + m - 1.0) / place) * m * (b - m) * x * x;
        let next = denominator(m);
        d = 1.0 / not_zero(next + numerator * d);
        c = not_zero(next + numerator / c);
        value *= c * d;
        if (c * d - 1.0).abs() <= 4.0 * f64::EPSILON {
            return Some((power / value).clamp(0.0, 1.0));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meets_closed_forms() {
        for x in [1e-12, 0.1, 0.25, 0.5, 0.9, 1.0 - 1e-9] {
            let y = 1.0 - x;
            for (a, b, expected) in [
                (1.0, 1.0, x),
                (3.0, 1.0, x * x * x),
                (1.0, 2.0, x * (2.0 - x)),
                (0.5, 0.5, 2.0 / PI * f64::sqrt(x).atan2(y.sqrt())),
            ] {
                let found = incomplete_beta(a, b, x, y).unwrap();
                assert!((found / expected - 1.0).abs() < 1e-13, "I_{x}({a}, {b}) = {found}, not {expected}");
            }
        }
        for a in [0.3, 7.0, 1e3, 1e6] {
            let found = incomplete_beta(a, a, 0.5, 0.5).unwrap();
            assert!((found - 0.5).abs() < 1e-12, "{a}: {found}");
        }
    }

    #[test]
    fn outside_of_its_domain_there_is_no_value() {
        for (a, b, x) in
            [(0.0, 1.0, 0.5), (1.0, -1.0, 0.5), (1.0, 1.0, 1.5), (1.0, f64::NAN, 0.5), (1.0, 1.0, f64::NAN)]
        {
            assert_eq!(incomplete_beta(a, b, x, 1.0 - x), None, "{a} {b} {x}");
        }
        assert_eq!(
            (incomplete_beta(2.0, 3.0, 0.0, 1.0), incomplete_beta(2.0, 3.0, 1.0, 0.0)),
            (Some(0.0), Some(1.0))
        );
    }
}
