//! What values an activation takes: counts over a range that grows by doubling, so that one pass is enough and the
//! order of the batches does not matter.

use serde::{Deserialize, Serialize};

/// Bins on each side of 0.
const HALF: usize = 4096;

/// Counts of values between -`limit` and `limit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// The smallest value seen.
    pub min: f32,
    /// The largest value seen.
    pub max: f32,
    limit: f32,
    counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { min: 0.0, max: 0.0, limit: 1.0 / 1024.0, counts: vec![0; 2 * HALF] }
    }
}

impl Histogram {
    /// Counts `values`, which are finite.
    pub fn add(&mut self, values: &[f32]) {
        let (min, max) = values.iter().fold((self.min, self.max), |(a, b), &x| (a.min(x), b.max(x)));
        (self.min, self.max) = (min, max);
        while self.limit < max.max(-min) && self.limit < f32::MAX / 4.0 {
            self.widen();
        }
        let scale = HALF as f32 / self.limit;
        for &x in values {
            let bin = (x * scale + HALF as f32) as usize;
            self.counts[bin.min(2 * HALF - 1)] += 1;
        }
    }

    /// Doubles the range: two neighbours become one bin.
    fn widen(&mut self) {
        let pairs = self.counts.chunks_exact(2).map(|pair| pair[0] + pair[1]);
        let mut counts = vec![0; 2 * HALF];
        counts[HALF / 2..3 * HALF / 2].iter_mut().zip(pairs).for_each(|(to, count)| *to = count);
        self.counts = counts;
        self.limit *= 2.0;
    }

    /// Number of values.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The values that leave the share `tail` of all on each side outside, to within a bin.
    pub fn without_tails(&self, tail: f64) -> (f32, f32) {
        let outside = (self.total() as f64 * tail) as u64;
        let width = self.limit / HALF as f32;
        let low = first_beyond(self.counts.iter(), outside) as f32 * width - self.limit;
        let high = self.limit - first_beyond(self.counts.iter().rev(), outside) as f32 * width;
        (low.max(self.min), high.min(self.max))
    }

    /// Counts by magnitude, and the width of a bin.
    pub fn magnitudes(&self) -> (Vec<u64>, f32) {
        let (negative, positive) = self.counts.split_at(HALF);
        let both = negative.iter().rev().zip(positive).map(|(a, b)| a + b);
        (both.collect(), self.limit / HALF as f32)
    }
}

/// The first bin at which more than `outside` values have been passed.
fn first_beyond<'a>(mut counts: impl Iterator<Item = &'a u64>, outside: u64) -> usize {
    let mut seen = 0;
    let passed = |count: &u64| {
        seen += count;
        seen > outside
    };
    counts.position(passed).unwrap_or(HALF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter() {
        let values: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.37).sin() * i as f32).collect();
        let (mut once, mut parts) = (Histogram::default(), Histogram::default());
        once.add(&values);
        values.chunks(7).rev().for_each(|part| parts.add(part));
        assert_eq!(once.total(), 1000);
        assert_eq!((once.min, once.max, once.limit), (parts.min, parts.max, parts.limit));
        let far = once.counts.iter().zip(&parts.counts).map(|(a, b)| a.abs_diff(*b)).sum::<u64>();
        assert!(far <= 4, "{far} values moved over a bin's edge");
    }

    #[test]
    fn tails_are_cut() {
        let mut histogram = Histogram::default();
        let values: Vec<f32> = (0..10_000).map(|i| i as f32 / 5_000.0 - 1.0).collect();
        histogram.add(&values);
        histogram.add(&[100.0]);
        let (low, high) = histogram.without_tails(0.001);
        assert!((low + 0.998).abs() < 0.05 && (high - 0.998).abs() < 0.05, "{low} {high}");
        assert_eq!(histogram.without_tails(0.0), (-1.0, 100.0));
    }
}
