//! Values that look drawn from a normal distribution and are the same on every machine: integer sums scaled by
//! one IEEE multiplication, no transcendental function of any C library.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use sha2::{Digest, Sha256};

/// The sum of four independent 16-bit uniforms has this mean …
const MEAN: i32 = 2 * 65_535;
/// … and this standard deviation, sqrt((2^32 - 1) / 3).
const DEVIATION: f32 = 37_837.23;

/// An endless stream of values for one tensor.
pub(super) struct Normal {
    generator: Xoshiro256PlusPlus,
}

impl Normal {
    /// Streams of different seeds or tensors are independent, so tensors can be written in any order.
    pub(super) fn new(seed: u64, tensor: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update(tensor);
        Self { generator: Xoshiro256PlusPlus::from_seed(hash.finalize().into()) }
    }

    /// Fills `out` with values of this mean and standard deviation, at most 3.5 deviations from the mean.
    pub(super) fn fill(&mut self, out: &mut [f32], mean: f32, deviation: f32) {
        let scale = deviation / DEVIATION;
        for value in out {
            let bits = self.generator.next_u64();
            let sum: i32 =
                [bits, bits >> 16, bits >> 32, bits >> 48].iter().map(|b| (b & 0xffff) as i32).sum();
            // The difference has at most 18 bits: exact as f32.
            *value = mean + (sum - MEAN) as f32 * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_as_asked() {
        let mut values = vec![0.0; 100_000];
        Normal::new(3, "x").fill(&mut values, 1.0, 0.02);
        let count = values.len() as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
        assert!((mean - 1.0).abs() < 2e-4, "{mean}");
        assert!((variance.sqrt() - 0.02).abs() < 2e-4, "{variance}");
    }

    #[test]
    fn seeds_and_tensors_have_streams_of_their_own() {
        let first = |seed, tensor| {
            let mut value = [0.0];
            Normal::new(seed, tensor).fill(&mut value, 0.0, 1.0);
            value[0]
        };
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(2, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
    }
}
