//! From a histogram to the range that 8 bits are spread over, and from the range to scale and zero point.

use super::Histogram;
use crate::model::onnx::proto::{FLOAT8E4M3FN, INT8, UINT8};
use crate::prepare::artifact::Method;

/// What [`Method::Percentile`] leaves outside on each side.
const TAIL: f64 = 0.000_05;
/// Levels of a quantised magnitude.
const LEVELS: usize = 128;
/// Candidates of [`Method::Entropy`].
const CANDIDATES: usize = 128;

/// An activation's range and how 8 bits are spread over it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Between neighbours.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero_point: u8,
    /// `TensorProto.DataType` of the bytes.
    pub data_type: i32,
}

/// What 8 bits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Integers from 0 to 255 and a zero point: what ONNX Runtime's fastest kernels take.
    Unsigned,
    /// Integers from -127 to 127: for readers that know nothing else.
    Symmetric,
    /// Floats, E4M3 without infinities, from -448 to 448.
    Float8,
}

/// The range that `method` makes of what was seen; it holds 0.
pub(super) fn range(seen: &Histogram, method: Method) -> (f32, f32) {
    let (low, high) = match method {
        Method::MinMax => (seen.min, seen.max),
        Method::Percentile => seen.without_tails(TAIL),
        Method::Entropy => {
            let threshold = entropy_threshold(seen);
            (seen.min.max(-threshold), seen.max.min(threshold))
        }
    };
    (low.min(0.0), high.max(0.0))
}

/// How `spread` is laid over a range: its ends are the range's, and 0 is exact.
pub(super) fn grid((low, high): (f32, f32), spread: Spread) -> Grid {
    let positive = |scale: f32| if scale > f32::MIN_POSITIVE { scale } else { 1.0 };
    let symmetric =
        |most: f32, data_type| Grid { scale: positive(high.max(-low) / most), zero_point: 0, data_type };
    match spread {
        Spread::Unsigned => {
            let scale = positive((high - low) / 255.0);
            let zero_point = (-low / scale).round_ties_even().clamp(0.0, 255.0) as u8;
            Grid { scale, zero_point, data_type: UINT8 }
        }
        Spread::Symmetric => symmetric(127.0, INT8),
        Spread::Float8 => symmetric(448.0, FLOAT8E4M3FN),
    }
}

/// The magnitude at which clipping loses least information (Migacz 2017, "8-bit Inference with TensorRT"): of the
/// clipped distribution P, and of Q, P at 128 levels, the Kullback-Leibler divergence is smallest.
fn entropy_threshold(seen: &Histogram) -> f32 {
    let (counts, width) = seen.magnitudes();
    let used = counts.iter().rposition(|&count| count > 0).map_or(1, |last| last + 1);
    let first = LEVELS.min(used);
    let step = ((used - first) / CANDIDATES).max(1);
    let candidates = (first..=used).step_by(step).chain([used]);
    let best = candidates.map(|bins| (divergence(&counts, bins), bins)).min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or(used, |(_, bins)| bins) as f32 * width
}

/// KL(P || Q) of the first `bins` counts, in nats; what lies outside counts for the last bin of P.
fn divergence(counts: &[u64], bins: usize) -> f64 {
    let (inside, outside) = counts.split_at(bins);
    let total: u64 = counts.iter().sum();
    let mut p: Vec<f64> = inside.iter().map(|&count| count as f64).collect();
    p[bins - 1] += outside.iter().sum::<u64>() as f64;
    let edge = |level: usize| level * bins / LEVELS;
    let levels = LEVELS.min(bins);
    let inside_total: u64 = inside.iter().sum();
    let mut sum = 0.0;
    for level in 0..levels {
        let range = if levels == LEVELS { edge(level)..edge(level + 1) } else { level..level + 1 };
        let mass: u64 = inside[range.clone()].iter().sum();
        let filled = range.clone().filter(|&bin| inside[bin] > 0).count().max(1);
        // Q spreads a level's mass over its bins that are not empty.
        let q = (mass as f64 / filled as f64).max(1e-9) / inside_total.max(1) as f64;
        let p = range.map(|bin| p[bin] / total.max(1) as f64).filter(|&p| p > 0.0);
        sum += p.map(|p| p * (p / q).ln()).sum::<f64>();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bell_with_outlier() -> Histogram {
        let mut histogram = Histogram::default();
        let values: Vec<f32> = (0..200_000)
            .map(|i| (0..12).map(|k| ((i * 7 + k * 131) as f32 * 0.6180).fract()).sum::<f32>() - 6.0)
            .collect();
        histogram.add(&values);
        histogram.add(&[300.0]);
        histogram
    }

    #[test]
    fn methods_differ_in_what_they_clip() {
        let seen = bell_with_outlier();
        assert_eq!(range(&seen, Method::MinMax).1, 300.0);
        for method in [Method::Percentile, Method::Entropy] {
            let (low, high) = range(&seen, method);
            assert!(high < 20.0 && high > 0.5 && low >= seen.min, "{method:?}: {low} {high}");
        }
    }

    #[test]
    fn grids_hold_zero_exactly() {
        let unsigned = grid((-1.0, 4.1), Spread::Unsigned);
        assert_eq!((unsigned.zero_point, unsigned.data_type), (50, UINT8));
        let signed = grid((-1.0, 4.1), Spread::Symmetric);
        assert_eq!((signed.zero_point, signed.scale), (0, 4.1 / 127.0));
        let floats = grid((-6.0, 4.1), Spread::Float8);
        assert_eq!((floats.zero_point, floats.scale, floats.data_type), (0, 6.0 / 448.0, FLOAT8E4M3FN));
        assert_eq!(grid((0.0, 0.0), Spread::Unsigned).scale, 1.0);
    }
}
