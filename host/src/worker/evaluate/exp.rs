//! e^x for what softmax needs, x <= 0, written so that the compiler makes vector instructions of it.

use super::vector::multiply_add;

const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
/// ln 2 - [`LN_2_HIGH`].
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// 1.5 * 2^52: a number this large has no room for a fraction, so adding it rounds to an integer, which then stands
/// in the sum's lowest bits.
const ROUNDING: f64 = 6_755_399_441_055_744.0;
/// Below it e^x leaves the normal numbers; to a sum that holds a 1 it is nothing.
const LEAST: f64 = -708.0;

/// e^x for x <= 0, within 2 units in the last place; NaN where x is.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2, and e^x = 2^n e^r (Cody and Waite, "Software Manual for the Elementary
/// Functions", 1980); e^r is its Taylor polynomial of degree 12, whose remainder is below 2e-16.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f64) -> f64 {
    let x = if x < LEAST { LEAST } else { x };
    let shifted = multiply_add::<FMA>(x, std::f64::consts::LOG2_E, ROUNDING);
    let n = shifted - ROUNDING;
    let r = multiply_add::<FMA>(n, -LN_2_LOW, multiply_add::<FMA>(n, -LN_2_HIGH, x));
    let scale = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    polynomial::<FMA>(r) * scale
}

/// Sum of r^k / k! for k up to 12, in pairs so that fewer steps wait for one another.
#[inline(always)]
fn polynomial<const FMA: bool>(r: f64) -> f64 {
    const fn inverse_factorial(k: u32) -> f64 {
        let (mut product, mut i) = (1.0, 1);
        while i <= k {
            product *= i as f64;
            i += 1;
        }
        1.0 / product
    }
    const C: [f64; 13] = {
        let (mut c, mut k) = ([0.0; 13], 0);
        while k < 13 {
            c[k] = inverse_factorial(k as u32);
            k += 1;
        }
        c
    };
    let r2 = r * r;
    let r4 = r2 * r2;
    let pair = |k: usize| multiply_add::<FMA>(C[k + 1], r, C[k]);
    let low = multiply_add::<FMA>(pair(2), r2, pair(0));
    let middle = multiply_add::<FMA>(pair(6), r2, pair(4));
    let high = multiply_add::<FMA>(C[12], r4, multiply_add::<FMA>(pair(10), r2, pair(8)));
    multiply_add::<FMA>(multiply_add::<FMA>(high, r4, middle), r4, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(exp: fn(f64) -> f64) -> f64 {
        (0..700_000)
            .map(|step| -f64::from(step) / 1000.0)
            .map(|x| (exp(x) / x.exp() - 1.0).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn agrees_with_the_standard_library() {
        let (one, two) = (worst(exp::<true>), worst(exp::<false>));
        assert!(one < 5e-16 && two < 5e-16, "{one:e} {two:e}");
        assert_eq!((exp::<true>(0.0), exp::<false>(0.0)), (1.0, 1.0));
    }

    #[test]
    fn far_below_is_next_to_nothing_and_nan_stays() {
        assert!(exp::<false>(-1e300) < 1e-300 && exp::<true>(f64::NEG_INFINITY) < 1e-300);
        assert!(exp::<true>(f64::NAN).is_nan() && exp::<false>(f64::NAN).is_nan());
    }
}
