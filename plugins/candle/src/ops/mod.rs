//! The operators that candle-core has no fused form of: norms, bias with activation, gate, rotation by position,
//! residual sum, causal softmax. They work in place where they can, in the tensor's own type, and on the pool's
//! threads when the tensor is worth it.

mod elementwise;
mod norm;
mod rotary;
mod softmax;

pub(crate) use elementwise::{Add, AddBias, AddResidual, Gate};
pub(crate) use norm::{LayerNorm, RmsNorm};
pub(crate) use rotary::Rotate;
pub(crate) use softmax::CausalSoftmax;

use candle_core::{Layout, Result, Storage, Tensor, WithDType, bail};
use rayon::prelude::*;

/// Fewer elements than this are not worth waking another thread for.
const SERIAL_BELOW: usize = 8 * 1024;

/// The two types a session computes in.
pub(crate) trait Real: WithDType + num_traits::Float {
    /// The error function.
    fn erf(self) -> Self;
}

impl Real for f32 {
    fn erf(self) -> Self {
        candle_core::cpu::erf::erf_f32(self)
    }
}

impl Real for f64 {
    fn erf(self) -> Self {
        candle_core::cpu::erf::erf_f64(self)
    }
}

/// The values of a contiguous CPU tensor.
pub(crate) fn with_values<T: WithDType, R>(tensor: &Tensor, read: impl FnOnce(&[T]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("the tensor is not in host memory") };
    Ok(read(dense(T::cpu_storage_as_slice(storage)?, layout)?))
}

fn dense<'a, T>(values: &'a [T], layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("the operator needs a contiguous tensor"),
    }
}

fn dense_mut<'a, T>(values: &'a mut [T], layout: &Layout) -> Result<&'a mut [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&mut values[start..end]),
        None => bail!("the operator needs a contiguous tensor"),
    }
}

/// Runs `row(index, values)` over the rows of `width`, in parallel where that pays.
fn each_row<T: Send>(values: &mut [T], width: usize, row: impl Fn(usize, &mut [T]) + Sync) {
    if values.len() < SERIAL_BELOW {
        values.chunks_mut(width).enumerate().for_each(|(index, values)| row(index, values));
    } else {
        let rows = (SERIAL_BELOW / 4).div_ceil(width);
        values
            .par_chunks_mut(width)
            .with_min_len(rows)
            .enumerate()
            .for_each(|(index, values)| row(index, values));
    }
}

/// In lanes, which the compiler makes vectors of and which lose less to rounding than one running sum.
fn sum<T: Real>(values: &[T], of: impl Fn(T) -> T) -> T {
    let mut lanes = [T::zero(); 16];
    let chunks = values.chunks_exact(lanes.len());
    let rest = chunks.remainder().iter().fold(T::zero(), |total, &v| total + of(v));
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += of(v);
        }
    }
    lanes.iter().fold(rest, |total, &lane| total + lane)
}
