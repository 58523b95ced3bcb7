//! Rotation by position.

use super::{Real, dense, dense_mut, each_row};
use candle_core::{CpuStorage, InplaceOp3, Layout, Result, bail};

/// Turns the first `heads` heads of every token, in place: element i of a head and the one half a head further are a
/// point of the plane. Cosines and sines are `[tokens, half a head]`.
pub(crate) struct Rotate {
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
}

impl Rotate {
    fn run<T: Real>(&self, x: &mut [T], cos: &[T], sin: &[T]) {
        let half = self.head_dim / 2;
        let width = x.len() / (cos.len() / half);
        each_row(x, width, |token, row| {
            let (cos, sin) = (&cos[token * half..][..half], &sin[token * half..][..half]);
            for head in row.chunks_exact_mut(self.head_dim).take(self.heads) {
                let (left, right) = head.split_at_mut(half);
                for (((x, y), &cos), &sin) in left.iter_mut().zip(right).zip(cos).zip(sin) {
                    (*x, *y) = (*x * cos - *y * sin, *y * cos + *x * sin);
                }
            }
        });
    }
}

impl InplaceOp3 for Rotate {
    fn name(&self) -> &'static str {
        "rotate"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        cos: &CpuStorage,
        cos_layout: &Layout,
        sin: &CpuStorage,
        sin_layout: &Layout,
    ) -> Result<()> {
        match (x, cos, sin) {
            (CpuStorage::F32(x), CpuStorage::F32(c), CpuStorage::F32(s)) => {
                self.run(dense_mut(x, x_layout)?, dense(c, cos_layout)?, dense(s, sin_layout)?);
            }
            (CpuStorage::F64(x), CpuStorage::F64(c), CpuStorage::F64(s)) => {
                self.run(dense_mut(x, x_layout)?, dense(c, cos_layout)?, dense(s, sin_layout)?);
            }
            _ => bail!("rotate needs three tensors of f32, or of f64"),
        }
        Ok(())
    }
}
