//! Symmetric 8-bit quantisation: x is stored as round(x / scale), scale = max |x| / 127, so that 0 is exact and
//! -128 unused (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
//! Integer-Arithmetic-Only Inference", section 3, with the narrow range).

use super::{Encoded, Order, nearest};
use rayon::prelude::*;

const MOST: f32 = 127.0;
/// Values that a thread takes at a time.
const PIECE: usize = 1 << 16;

/// One scale for all values.
pub(super) fn one_scale(values: &[f32]) -> Encoded {
    let most = values.par_chunks(PIECE).map(largest).reduce(|| 0.0, f32::max);
    let scale = scale(most);
    let mut out = vec![0; values.len()];
    let pieces = out.par_chunks_mut(PIECE).zip(values.par_chunks(PIECE));
    pieces.for_each(|(out, values)| quantise(values, scale, out));
    Encoded { values: out, scales: vec![scale] }
}

/// A scale for each of the outputs.
pub(super) fn per_output(values: &[f32], outputs: usize, order: Order) -> Encoded {
    let mut out = vec![0; values.len()];
    if order == Order::OutputsFirst {
        let inputs = values.len() / outputs;
        let rows = out.par_chunks_mut(inputs).zip(values.par_chunks(inputs));
        let quantise_row = |(out, row): (&mut [u8], &[f32])| {
            let scale = scale(largest(row));
            quantise(row, scale, out);
            scale
        };
        let scales = rows.map(quantise_row).collect();
        return Encoded { values: out, scales };
    }
    let mut scales = vec![0.0f32; outputs];
    for row in values.chunks_exact(outputs) {
        scales.iter_mut().zip(row).for_each(|(most, x)| *most = most.max(x.abs()));
    }
    scales.iter_mut().for_each(|most| *most = scale(*most));
    let rows = out.par_chunks_mut(outputs).zip(values.par_chunks(outputs));
    rows.for_each(|(out, row)| {
        out.iter_mut().zip(row).zip(&scales).for_each(|((to, &x), &scale)| *to = step(x / scale));
    });
    Encoded { values: out, scales }
}

/// The largest magnitude.
pub(super) fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, x| if x.abs() > most { x.abs() } else { most })
}

/// 1 where all values are 0.
fn scale(largest: f32) -> f32 {
    if largest == 0.0 { 1.0 } else { (largest / MOST).max(f32::MIN_POSITIVE) }
}

fn quantise(values: &[f32], scale: f32, out: &mut [u8]) {
    out.iter_mut().zip(values).for_each(|(to, &x)| *to = step(x / scale));
}

fn step(x: f32) -> u8 {
    (nearest(x.clamp(-MOST, MOST)) as i8).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_within_half_a_step() {
        let values: Vec<f32> = (0..24).map(|i| (i as f32 - 11.0) * 0.37).collect();
        let back = |byte: u8, scale: f32| f32::from(byte.cast_signed()) * scale;
        let one = one_scale(&values);
        for (&x, &byte) in values.iter().zip(&one.values) {
            assert!((back(byte, one.scales[0]) - x).abs() <= one.scales[0] / 2.0 + 1e-6);
        }
        for order in [Order::InputsFirst, Order::OutputsFirst] {
            let outputs = 6;
            let many = per_output(&values, outputs, order);
            assert_eq!(many.scales.len(), outputs);
            for (i, (&x, &byte)) in values.iter().zip(&many.values).enumerate() {
                let output = if order == Order::InputsFirst { i % outputs } else { i / (24 / outputs) };
                assert!((back(byte, many.scales[output]) - x).abs() <= many.scales[output] / 2.0 + 1e-6);
            }
        }
        assert_eq!((one_scale(&[0.0; 3]).values, one_scale(&[0.0; 3]).scales), (vec![0; 3], vec![1.0]));
    }
}
