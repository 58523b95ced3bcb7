//! Fisher's F distribution, at the accuracy of small tail probabilities.

use super::beta::incomplete_beta;

/// P(F >= f) for `between` and `within` degrees of freedom; none where one of them is no number of that kind.
///
/// As I_x(within/2, between/2) with x = within / (within + between f), Abramowitz and Stegun 26.6.2.
pub(super) fn f_tail(f: f64, between: f64, within: f64) -> Option<f64> {
    if !(f >= 0.0 && f.is_finite()) {
        return None;
    }
    let ratio = f * (between / within);
    let y = if ratio.is_finite() { ratio / (1.0 + ratio) } else { 1.0 };
    incomplete_beta(within / 2.0, between / 2.0, 1.0 / (1.0 + ratio), y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meets_the_closed_form_of_two_and_two() {
        for f in [0.0, 1e-9, 0.5, 1.0, 40.0, 1e9] {
            let found = f_tail(f, 2.0, 2.0).unwrap();
            assert!((found * (1.0 + f) - 1.0).abs() < 1e-13, "{f}: {found}");
        }
        assert_eq!(
            (f_tail(-1.0, 1.0, 1.0), f_tail(1.0, 0.0, 1.0), f_tail(1.0, 1.0, 0.0)),
            (None, None, None)
        );
    }
}
