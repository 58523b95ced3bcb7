//! The operators that candle-core has no fused form of: layer norm, bias with activation, residual sum, causal
//! softmax. They work in place where they can, in the tensor's own type, and on the pool's threads when the
//! tensor is worth it.

use crate::config::Activation;
use candle_core::{
    CpuStorage, CustomOp3, InplaceOp1, InplaceOp2, InplaceOp3, Layout, Result, Shape, Storage,
};
use candle_core::{Tensor, WithDType, bail};
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

/// (x - mean) / sqrt(variance + eps) * weight + bias over the last dimension.
pub(crate) struct LayerNorm {
    pub(crate) eps: f64,
}

impl LayerNorm {
    fn run<T: Real>(&self, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let width = weight.len();
        let (eps, count) = (<T as WithDType>::from_f64(self.eps), <T as WithDType>::from_f64(width as f64));
        let mut out = x.to_vec();
        each_row(&mut out, width, |_, row| {
            let mean = sum(row, |v| v) / count;
            let variance = sum(row, |v| (v - mean) * (v - mean)) / count;
            let scale = (variance + eps).sqrt().recip();
            for ((v, &w), &b) in row.iter_mut().zip(weight).zip(bias) {
                *v = (*v - mean) * scale * w + b;
            }
        });
        out
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = x_layout.shape().clone();
        let out = match (x, weight, bias) {
            (CpuStorage::F32(x), CpuStorage::F32(w), CpuStorage::F32(b)) => CpuStorage::F32(self.run(
                dense(x, x_layout)?,
                dense(w, weight_layout)?,
                dense(b, bias_layout)?,
            )),
            (CpuStorage::F64(x), CpuStorage::F64(w), CpuStorage::F64(b)) => CpuStorage::F64(self.run(
                dense(x, x_layout)?,
                dense(w, weight_layout)?,
                dense(b, bias_layout)?,
            )),
            _ => bail!("layer-norm needs three tensors of f32, or of f64"),
        };
        Ok((out, shape))
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

/// x = x + bias over the last dimension, then the activation.
pub(crate) struct AddBias {
    pub(crate) activation: Option<Activation>,
}

impl AddBias {
    fn run<T: Real>(&self, x: &mut [T], bias: &[T]) {
        let Some(activation) = self.activation else { return add_bias(x, bias, |v| v) };
        let (zero, one) = (T::zero(), T::one());
        let number = <T as WithDType>::from_f64;
        match activation {
            Activation::GeluErf => {
                let (half, scale) = (number(0.5), number(std::f64::consts::FRAC_1_SQRT_2));
                add_bias(x, bias, |v| half * v * (one + (v * scale).erf()));
            }
            // (1 + tanh u) / 2 is the logistic function of 2u: one exponential, and no cancellation.
            Activation::GeluTanh => {
                let scale = number(-2.0 * (2.0 / std::f64::consts::PI).sqrt());
                let cubic = number(0.044715);
                add_bias(x, bias, |v| v / (one + (scale * (v + cubic * v * v * v)).exp()));
            }
            Activation::Relu => add_bias(x, bias, |v| if v < zero { zero } else { v }),
            Activation::Silu => add_bias(x, bias, |v| v / (one + (-v).exp())),
            Activation::Tanh => add_bias(x, bias, num_traits::Float::tanh),
        }
    }
}

fn add_bias<T: Real>(x: &mut [T], bias: &[T], activation: impl Fn(T) -> T + Sync) {
    each_row(x, bias.len(), |_, row| {
        for (v, &b) in row.iter_mut().zip(bias) {
            *v = activation(*v + b);
        }
    });
}

impl InplaceOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<()> {
        match (x, b) {
            (CpuStorage::F32(x), CpuStorage::F32(b)) => {
                self.run(dense_mut(x, x_layout)?, dense(b, b_layout)?)
            }
            (CpuStorage::F64(x), CpuStorage::F64(b)) => {
                self.run(dense_mut(x, x_layout)?, dense(b, b_layout)?)
            }
            _ => bail!("add-bias needs two tensors of f32, or of f64"),
        }
        Ok(())
    }
}

/// x = x + y + bias: the end of a residual branch.
pub(crate) struct AddResidual;

impl AddResidual {
    fn run<T: Real>(x: &mut [T], y: &[T], bias: &[T]) {
        let width = bias.len();
        each_row(x, width, |index, row| {
            let branch = &y[index * width..];
            for ((v, &y), &b) in row.iter_mut().zip(branch).zip(bias) {
                *v += y + b;
            }
        });
    }
}

impl InplaceOp3 for AddResidual {
    fn name(&self) -> &'static str {
        "add-residual"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<()> {
        match (x, y, b) {
            (CpuStorage::F32(x), CpuStorage::F32(y), CpuStorage::F32(b)) => {
                Self::run(dense_mut(x, x_layout)?, dense(y, y_layout)?, dense(b, b_layout)?);
            }
            (CpuStorage::F64(x), CpuStorage::F64(y), CpuStorage::F64(b)) => {
                Self::run(dense_mut(x, x_layout)?, dense(y, y_layout)?, dense(b, b_layout)?);
            }
            _ => bail!("add-residual needs three tensors of f32, or of f64"),
        }
        Ok(())
    }
}

/// softmax(scale * scores) over the keys that each query may see; 0 for the others. Scores are
/// `[heads, queries, keys]`, and the last query sees all keys.
pub(crate) struct CausalSoftmax {
    pub(crate) scale: f64,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
}

impl CausalSoftmax {
    fn run<T: Real>(&self, scores: &mut [T]) {
        let scale = <T as WithDType>::from_f64(self.scale);
        let earlier = self.keys - self.queries;
        each_row(scores, self.keys, |index, row| {
            let (seen, hidden) = row.split_at_mut(earlier + index % self.queries + 1);
            let largest = seen.iter().fold(T::neg_infinity(), |most, &v| if v > most { v } else { most });
            for v in &mut *seen {
                *v = (scale * (*v - largest)).exp();
            }
            let total = sum(seen, |v| v).recip();
            seen.iter_mut().for_each(|v| *v *= total);
            hidden.fill(T::zero());
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
