//! Weight-only quantisation in blocks along the inputs, a scale for each.
//!
//! 8 bits are spread over ±max |x|. In 4 bits the value that is largest in magnitude lands on the end that has one
//! step more (-8 of -8 … 7), and of a few scales around that one the block takes the one of least squared error.

use super::bytes::largest;
use super::{Encoded, nearest};
use rayon::prelude::*;

/// Scales that a 4-bit block tries, as multiples of the one that stores its largest value exactly.
const TRIED: [f32; 7] = [1.0, 0.97, 0.94, 0.91, 0.88, 0.85, 1.06];

/// `values` `[outputs, inputs]` as unsigned integers around 2^(bits-1), the last block of a row filled up with
/// zeros; two 4-bit values to a byte, the first in its lower half.
pub(super) fn unsigned(values: &[f32], inputs: usize, bits: u32, block: usize) -> Encoded {
    let (rows, blocks, bytes) = (values.len() / inputs, inputs.div_ceil(block), block * bits as usize / 8);
    let mut out = Encoded { values: vec![0; rows * blocks * bytes], scales: vec![0.0; rows * blocks] };
    let places = out.values.par_chunks_mut(blocks * bytes).zip(out.scales.par_chunks_mut(blocks));
    places.zip(values.par_chunks(inputs)).for_each(|((out, scales), row)| {
        let mut steps = vec![0; block];
        for ((part, scale), out) in row.chunks(block).zip(scales).zip(out.chunks_mut(bytes)) {
            *scale = if bits == 4 { steps_4(part, &mut steps) } else { steps_8(part, &mut steps) };
            steps[part.len()..].fill(0);
            if bits == 4 {
                let (pairs, _) = steps.as_chunks();
                out.iter_mut().zip(pairs).for_each(|(to, &[low, high])| *to = nibbles(low + 8, high + 8));
            } else {
                out.iter_mut().zip(&steps).for_each(|(to, &step)| *to = (i16::from(step) + 128) as u8);
            }
        }
    });
    out
}

/// `values` `[inputs, outputs]` as signed 4-bit integers, two to a byte; scales are `[blocks, outputs]`.
pub(super) fn signed(values: &[f32], outputs: usize, block: usize) -> Encoded {
    let mut all = vec![0i8; values.len()];
    let mut scales = vec![0.0; (values.len() / outputs).div_ceil(block) * outputs];
    let rows = all.par_chunks_mut(block * outputs).zip(scales.par_chunks_mut(outputs));
    rows.zip(values.par_chunks(block * outputs)).for_each(|((all, scales), values)| {
        let (mut column, mut steps) = (Vec::with_capacity(block), vec![0; block]);
        for (output, scale) in scales.iter_mut().enumerate() {
            column.clear();
            column.extend(values[output..].iter().step_by(outputs));
            *scale = steps_4(&column, &mut steps);
            all[output..].iter_mut().step_by(outputs).zip(&steps).for_each(|(to, &step)| *to = step);
        }
    });
    let pair = |pair: &[i8]| nibbles(pair[0], pair.get(1).copied().unwrap_or(0));
    Encoded { values: all.chunks(2).map(pair).collect(), scales }
}

fn nibbles(low: i8, high: i8) -> u8 {
    low.cast_unsigned() & 0xf | high.cast_unsigned() << 4
}

/// Writes each value's step, -127 to 127, and returns the scale.
fn steps_8(values: &[f32], steps: &mut [i8]) -> f32 {
    let scale = nonzero(largest(values) / 127.0);
    for (step, &x) in steps.iter_mut().zip(values) {
        *step = nearest((x / scale).clamp(-127.0, 127.0)) as i8;
    }
    scale
}

/// Writes each value's step, -8 to 7, and returns the scale.
fn steps_4(values: &[f32], steps: &mut [i8]) -> f32 {
    let step = |x: f32, scale: f32| nearest((x / scale).clamp(-8.0, 7.0));
    let extreme = values.iter().fold(0.0f32, |most, &x| if x.abs() > most.abs() { x } else { most });
    let error = |scale: f32| values.iter().map(|&x| (step(x, scale) * scale - x).powi(2)).sum::<f32>();
    let exact = nonzero(extreme / -8.0);
    let tried = TRIED.map(|factor| (error(exact * factor), exact * factor));
    let (_, scale) =
        tried.into_iter().fold((f32::INFINITY, exact), |best, one| if one.0 < best.0 { one } else { best });
    for (to, &x) in steps.iter_mut().zip(values) {
        *to = step(x, scale) as i8;
    }
    scale
}

/// A scale of 0 would divide by it; where all values are 0, any scale is right.
fn nonzero(scale: f32) -> f32 {
    if scale.abs() < f32::MIN_POSITIVE { 1.0 } else { scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(len: usize) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * 0.7).sin() * (1.0 + i as f32 / 50.0)).collect()
    }

    #[test]
    fn unsigned_blocks_come_back() {
        let (inputs, block) = (40, 16);
        let values = wave(3 * inputs);
        for bits in [4, 8] {
            let made = unsigned(&values, inputs, bits, block);
            assert_eq!(made.scales.len(), 9);
            assert_eq!(made.values.len(), 9 * block * bits as usize / 8);
            let level = |at: usize| match bits {
                4 => i32::from(made.values[at / 2] >> (4 * (at % 2)) & 0xf) - 8,
                _ => i32::from(made.values[at]) - 128,
            };
            for (i, &x) in values.iter().enumerate() {
                let (row, column) = (i / inputs, i % inputs);
                let scale = made.scales[row * 3 + column / block];
                let back = level(row * 48 + column) as f32 * scale;
                assert!((back - x).abs() <= scale.abs() * 1.3, "{bits} bits: {back} is not {x}");
            }
            assert!((40..48).all(|padding| level(padding) == 0));
        }
    }

    #[test]
    fn signed_blocks_come_back() {
        let (outputs, block) = (5, 16);
        let values = wave(35 * outputs);
        let made = signed(&values, outputs, block);
        assert_eq!((made.scales.len(), made.values.len()), (15, 88));
        for (i, &x) in values.iter().enumerate() {
            let nibble = made.values[i / 2] >> (4 * (i % 2)) & 0xf;
            let step = if nibble > 7 { i32::from(nibble) - 16 } else { nibble.into() };
            let scale = made.scales[i / outputs / block * outputs + i % outputs];
            assert!((step as f32 * scale - x).abs() <= scale.abs() * 1.3);
        }
    }

    #[test]
    fn zeros_stay_zero() {
        let made = unsigned(&[0.0; 16], 16, 4, 16);
        assert_eq!((made.values, made.scales), (vec![0x88; 8], vec![1.0]));
    }
}
