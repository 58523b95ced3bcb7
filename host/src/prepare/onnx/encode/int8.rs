//! Symmetric 8-bit quantisation: x is stored as round(x / scale), scale = max |x| / 127, so that 0 is exact and
//! -128 unused (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
//! Integer-Arithmetic-Only Inference", section 3, with the narrow range).

use super::{Encoded, Order};

const MOST: f32 = 127.0;

/// One scale for all values.
pub(super) fn one_scale(values: &[f32]) -> Encoded {
    let scale = scale(largest(values));
    Encoded { values: values.iter().map(|&x| quantised(x, scale)).collect(), scales: vec![scale] }
}

/// A scale for each of the outputs.
pub(super) fn per_output(values: &[f32], outputs: usize, order: Order) -> Encoded {
    match order {
        Order::OutputsFirst => {
            let rows = values.chunks_exact(values.len() / outputs);
            let scales: Vec<f32> = rows.clone().map(|row| scale(largest(row))).collect();
            let quantised_row =
                |(row, &scale): (&[f32], &f32)| row.iter().map(|&x| quantised(x, scale)).collect();
            Encoded { values: rows.zip(&scales).flat_map::<Vec<u8>, _>(quantised_row).collect(), scales }
        }
        Order::InputsFirst => {
            let rows = values.chunks_exact(outputs);
            let mut scales = vec![0.0f32; outputs];
            for row in rows.clone() {
                scales.iter_mut().zip(row).for_each(|(most, x)| *most = most.max(x.abs()));
            }
            scales.iter_mut().for_each(|most| *most = scale(*most));
            let quantised_row =
                |row: &[f32]| row.iter().zip(&scales).map(|(&x, &s)| quantised(x, s)).collect();
            Encoded { values: rows.flat_map::<Vec<u8>, _>(quantised_row).collect(), scales }
        }
    }
}

pub(super) fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, x| most.max(x.abs()))
}

/// 1 where all values are 0.
fn scale(largest: f32) -> f32 {
    if largest == 0.0 { 1.0 } else { (largest / MOST).max(f32::MIN_POSITIVE) }
}

fn quantised(x: f32, scale: f32) -> u8 {
    ((x / scale).round_ties_even().clamp(-MOST, MOST) as i8).cast_unsigned()
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
