//! Symmetric 8-bit quantisation: x is stored as the code nearest to x / scale, scale = max |x| / the largest code, so that
//! 0 is exact. To integers -127 to 127 (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
//! Integer-Arithmetic-Only Inference", section 3, with the narrow range), or to floats of 4 bits of exponent and 3 of
//! mantissa, without infinities (Micikevicius et al. 2022, "FP8 Formats for Deep Learning", E4M3).

use super::{Encoded, Order, Scales, nearest};
use float8::F8E4M3;
use rayon::prelude::*;

/// Values that a thread takes at a time.
const PIECE: usize = 1 << 16;

/// What a byte stands for.
pub(super) trait Code {
    /// The largest value.
    const MOST: f32;

    /// The byte of the value nearest to `x`, the even one of two; beyond the largest, that one's.
    fn of(x: f32) -> u8;
}

/// Integers from -127 to 127.
pub(super) struct Int8;

/// Floats, E4M3 without infinities.
pub(super) struct Fp8;

impl Code for Int8 {
    const MOST: f32 = 127.0;

    fn of(x: f32) -> u8 {
        (nearest(x.clamp(-Self::MOST, Self::MOST)) as i8).cast_unsigned()
    }
}

impl Code for Fp8 {
    const MOST: f32 = 448.0;

    fn of(x: f32) -> u8 {
        F8E4M3::from_f32(x.clamp(-Self::MOST, Self::MOST)).to_bits()
    }
}

/// A matrix in bytes, with one scale or one for each of its outputs.
pub(super) fn scaled<C: Code>(values: &[f32], outputs: usize, order: Order, scales: Scales) -> Encoded {
    match scales {
        Scales::One => one_scale::<C>(values),
        Scales::PerOutput => per_output::<C>(values, outputs, order),
    }
}

fn one_scale<C: Code>(values: &[f32]) -> Encoded {
    let most = values.par_chunks(PIECE).map(largest).reduce(|| 0.0, f32::max);
    let scale = scale::<C>(most);
    let mut out = vec![0; values.len()];
    let pieces = out.par_chunks_mut(PIECE).zip(values.par_chunks(PIECE));
    pieces.for_each(|(out, values)| quantise::<C>(values, scale, out));
    Encoded { values: out, scales: vec![scale] }
}

fn per_output<C: Code>(values: &[f32], outputs: usize, order: Order) -> Encoded {
    let mut out = vec![0; values.len()];
    if order == Order::OutputsFirst {
        let inputs = values.len() / outputs;
        let rows = out.par_chunks_mut(inputs).zip(values.par_chunks(inputs));
        let quantise_row = |(out, row): (&mut [u8], &[f32])| {
            let scale = scale::<C>(largest(row));
            quantise::<C>(row, scale, out);
            scale
        };
        let scales = rows.map(quantise_row).collect();
        return Encoded { values: out, scales };
    }
    let mut scales = vec![0.0f32; outputs];
    for row in values.chunks_exact(outputs) {
        scales.iter_mut().zip(row).for_each(|(most, x)| *most = most.max(x.abs()));
    }
    scales.iter_mut().for_each(|most| *most = scale::<C>(*most));
    let rows = out.par_chunks_mut(outputs).zip(values.par_chunks(outputs));
    rows.for_each(|(out, row)| {
        out.iter_mut().zip(row).zip(&scales).for_each(|((to, &x), &scale)| *to = C::of(x / scale));
    });
    Encoded { values: out, scales }
}

/// The largest magnitude.
pub(super) fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, x| if x.abs() > most { x.abs() } else { most })
}

/// 1 where all values are 0.
fn scale<C: Code>(largest: f32) -> f32 {
    if largest == 0.0 { 1.0 } else { (largest / C::MOST).max(f32::MIN_POSITIVE) }
}

fn quantise<C: Code>(values: &[f32], scale: f32, out: &mut [u8]) {
    out.iter_mut().zip(values).for_each(|(to, &x)| *to = C::of(x / scale));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(code: u8) -> f32 {
        F8E4M3::from_bits(code).to_f32()
    }

    /// By the format's definition: bias 7, subnormal steps of 2^-9, the last pattern NaN.
    fn defined(code: u8) -> Option<f32> {
        let (exponent, mantissa) = (i32::from(code >> 3 & 15), f32::from(code & 7));
        let magnitude = match (exponent, code & 7) {
            (15, 7) => return None,
            (0, _) => mantissa * 2.0f32.powi(-9),
            _ => (1.0 + mantissa / 8.0) * 2.0f32.powi(exponent - 7),
        };
        Some(if code >= 128 { -magnitude } else { magnitude })
    }

    #[test]
    fn every_float_of_8_bits_is_its_own_nearest() {
        for code in 0..=255u8 {
            match defined(code) {
                None => assert!(float(code).is_nan(), "{code:#x}"),
                Some(value) => assert_eq!((float(code), Fp8::of(value)), (value, code), "{code:#x}"),
            }
        }
    }

    #[test]
    fn floats_between_go_to_the_nearest_and_ties_to_the_even() {
        for code in 0..0x7e_u8 {
            let [low, high] = [code, code + 1].map(|code| defined(code).unwrap());
            let middle = (low + high) / 2.0;
            let even = code + (code & 1);
            for (x, expected) in [(middle.next_down(), code), (middle, even), (middle.next_up(), code + 1)] {
                assert_eq!(Fp8::of(x), expected, "{x:e}");
                assert_eq!(Fp8::of(-x), expected | 0x80, "{:e}", -x);
            }
        }
        for x in [448.0, 449.0, 1e9, f32::MAX, f32::INFINITY] {
            assert_eq!((Fp8::of(x), Fp8::of(-x)), (0x7e, 0xfe), "{x}");
        }
    }

    /// Integers are within half a step; floats within half of the last bit of their mantissa, or of the least step.
    fn check<C: Code>(back: fn(u8) -> f32, tolerance: fn(f32) -> f32) {
        let values: Vec<f32> = (0..24).map(|i| (i as f32 - 11.0) * 0.37).collect();
        let fits = |x: f32, byte: u8, scale: f32| {
            assert!((back(byte) - x / scale).abs() <= tolerance(x / scale) + 1e-4, "{x} {byte} {scale}");
        };
        let one = one_scale::<C>(&values);
        values.iter().zip(&one.values).for_each(|(&x, &byte)| fits(x, byte, one.scales[0]));
        for order in [Order::InputsFirst, Order::OutputsFirst] {
            let outputs = 6;
            let many = per_output::<C>(&values, outputs, order);
            assert_eq!(many.scales.len(), outputs);
            for (i, (&x, &byte)) in values.iter().zip(&many.values).enumerate() {
                let output = if order == Order::InputsFirst { i % outputs } else { i / (24 / outputs) };
                fits(x, byte, many.scales[output]);
            }
        }
        let zeros = one_scale::<C>(&[0.0; 3]);
        assert_eq!((zeros.values, zeros.scales), (vec![0; 3], vec![1.0]));
    }

    #[test]
    fn values_come_back_as_near_as_their_codes_lie() {
        check::<Int8>(|byte| f32::from(byte.cast_signed()), |_| 0.5);
        check::<Fp8>(float, |x| (x.abs() / 16.0).max(2.0f32.powi(-10)));
    }
}
