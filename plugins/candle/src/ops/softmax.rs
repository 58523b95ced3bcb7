//! Softmax of attention scores.

use super::{Real, dense_mut, each_row, sum};
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, WithDType, bail};

/// softmax(scale * scores) over the keys that each query may see; 0 for the others. Scores are
/// `[.., queries, keys]`, and the last query stands at the last key.
pub(crate) struct CausalSoftmax {
    pub(crate) scale: f64,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    /// How many keys up to its own position a query sees; none where it sees all of them.
    pub(crate) window: Option<usize>,
}

impl CausalSoftmax {
    fn run<T: Real>(&self, scores: &mut [T]) {
        let scale = <T as WithDType>::from_f64(self.scale);
        let earlier = self.keys - self.queries;
        each_row(scores, self.keys, |index, row| {
            let end = earlier + index % self.queries + 1;
            let start = self.window.map_or(0, |window| end.saturating_sub(window));
            row[..start].fill(T::zero());
            row[end..].fill(T::zero());
            let seen = &mut row[start..end];
            let largest = seen.iter().fold(T::neg_infinity(), |most, &v| if v > most { v } else { most });
            for v in seen.iter_mut() {
                *v = (scale * (*v - largest)).exp();
            }
            let total = sum(seen, |v| v).recip();
            seen.iter_mut().for_each(|v| *v *= total);
        });
    }
}

impl InplaceOp1 for CausalSoftmax {
    fn name(&self) -> &'static str {
        "causal-softmax"
    }

    fn cpu_fwd(&self, scores: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match scores {
            CpuStorage::F32(scores) => self.run(dense_mut(scores, layout)?),
            CpuStorage::F64(scores) => self.run(dense_mut(scores, layout)?),
            _ => bail!("causal-softmax needs a tensor of f32 or f64"),
        }
        Ok(())
    }
}
