//! What `prefill` gives: one buffer that is reused from call to call, in the type the plugin computes in.

use crate::abi::{RawFloats, RawLogits};
use abi_stable::std_types::RVec;

/// Logits in the type the plugin computes in.
pub type Logits = RawLogits;

impl Default for RawLogits {
    fn default() -> Self {
        Self { vocab_size: 0, values: RawFloats::F32(RVec::new()) }
    }
}

impl RawLogits {
    /// The buffer as `len` f32 values (kept capacity, unspecified content), of `vocab_size` to a position.
    pub fn as_f32_mut(&mut self, vocab_size: usize, len: usize) -> &mut [f32] {
        self.vocab_size = u32::try_from(vocab_size).unwrap_or(u32::MAX);
        if !matches!(self.values, RawFloats::F32(_)) {
            self.values = RawFloats::F32(RVec::new());
        }
        match &mut self.values {
            RawFloats::F32(values) => {
                values.resize(len, 0.0);
                values
            }
            RawFloats::F64(_) => &mut [],
        }
    }

    /// The buffer as `len` f64 values (kept capacity, unspecified content), of `vocab_size` to a position.
    pub fn as_f64_mut(&mut self, vocab_size: usize, len: usize) -> &mut [f64] {
        self.vocab_size = u32::try_from(vocab_size).unwrap_or(u32::MAX);
        if !matches!(self.values, RawFloats::F64(_)) {
            self.values = RawFloats::F64(RVec::new());
        }
        match &mut self.values {
            RawFloats::F64(values) => {
                values.resize(len, 0.0);
                values
            }
            RawFloats::F32(_) => &mut [],
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match &self.values {
            RawFloats::F32(values) => values.len(),
            RawFloats::F64(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One vector of `vocab_size` values per position.
    pub fn rows_f64(&self) -> Vec<Vec<f64>> {
        let vocab = (self.vocab_size as usize).max(1);
        match &self.values {
            RawFloats::F32(values) => {
                values.chunks(vocab).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect()
            }
            RawFloats::F64(values) => values.chunks(vocab).map(<[f64]>::to_vec).collect(),
        }
    }
}
