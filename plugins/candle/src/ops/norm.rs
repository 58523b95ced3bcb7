//! Norms over the last dimension.

use super::{Real, dense, each_row, sum};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, WithDType, bail};

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

/// x / sqrt(mean of x^2 + eps) * weight over the last dimension: Zhang and Sennrich (2019), "Root Mean Square Layer
/// Normalization".
pub(crate) struct RmsNorm {
    pub(crate) eps: f64,
}

impl RmsNorm {
    fn run<T: Real>(&self, x: &[T], weight: &[T]) -> Vec<T> {
        let width = weight.len();
        let (eps, count) = (<T as WithDType>::from_f64(self.eps), <T as WithDType>::from_f64(width as f64));
        let mut out = x.to_vec();
        each_row(&mut out, width, |_, row| {
            let scale = (sum(row, |v| v * v) / count + eps).sqrt().recip();
            for (v, &w) in row.iter_mut().zip(weight) {
                *v = *v * scale * w;
            }
        });
        out
    }
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let out = match (x, weight) {
            (CpuStorage::F32(x), CpuStorage::F32(w)) => {
                CpuStorage::F32(self.run(dense(x, x_layout)?, dense(w, weight_layout)?))
            }
            (CpuStorage::F64(x), CpuStorage::F64(w)) => {
                CpuStorage::F64(self.run(dense(x, x_layout)?, dense(w, weight_layout)?))
            }
            _ => bail!("rms-norm needs two tensors of f32, or of f64"),
        };
        Ok((out, x_layout.shape().clone()))
    }
}
