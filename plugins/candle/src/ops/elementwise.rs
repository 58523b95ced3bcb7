//! What works value by value: biases, activations, gates and sums.

use super::{Real, dense, dense_mut, each_row};
use candle_core::{CpuStorage, CustomOp1, InplaceOp2, InplaceOp3, Layout, Result, Shape, WithDType, bail};
use inferhost_plugin_api::hf::Activation;

/// x = x + bias over the last dimension, then the activation.
pub(crate) struct AddBias {
    pub(crate) activation: Option<Activation>,
}

impl AddBias {
    fn run<T: Real>(&self, x: &mut [T], bias: &[T]) {
        match self.activation {
            None => add_bias(x, bias, |v| v),
            Some(activation) => add_bias(x, bias, function(activation)),
        }
    }
}

/// The function of one value.
fn function<T: Real>(activation: Activation) -> fn(T) -> T {
    match activation {
        Activation::GeluErf => |v| {
            let (half, scale) = (number::<T>(0.5), number::<T>(std::f64::consts::FRAC_1_SQRT_2));
            half * v * (T::one() + (v * scale).erf())
        },
        // (1 + tanh u) / 2 is the logistic function of 2u: one exponential, and no cancellation.
        Activation::GeluTanh => |v| {
            let scale = number::<T>(-2.0 * (2.0 / std::f64::consts::PI).sqrt());
            v / (T::one() + (scale * (v + number::<T>(0.044715) * v * v * v)).exp())
        },
        Activation::Relu => |v| if v < T::zero() { T::zero() } else { v },
        Activation::Silu => |v| v / (T::one() + (-v).exp()),
        Activation::Tanh => num_traits::Float::tanh,
    }
}

fn number<T: Real>(value: f64) -> T {
    <T as WithDType>::from_f64(value)
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

/// x = x + y: the end of a residual branch without a bias.
pub(crate) struct Add;

impl Add {
    fn run<T: Real>(x: &mut [T], y: &[T]) {
        // Any width does.
        let width = 1024;
        each_row(x, width, |index, row| {
            for (v, &y) in row.iter_mut().zip(&y[index * width..]) {
                *v += y;
            }
        });
    }
}

impl InplaceOp2 for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<()> {
        match (x, y) {
            (CpuStorage::F32(x), CpuStorage::F32(y)) => {
                Self::run(dense_mut(x, x_layout)?, dense(y, y_layout)?);
            }
            (CpuStorage::F64(x), CpuStorage::F64(y)) => {
                Self::run(dense_mut(x, x_layout)?, dense(y, y_layout)?);
            }
            _ => bail!("add needs two tensors of f32, or of f64"),
        }
        Ok(())
    }
}

/// The activation of the first half of the last dimension, times the second: Shazeer (2020), "GLU Variants Improve
/// Transformer".
pub(crate) struct Gate {
    pub(crate) activation: Activation,
}

impl Gate {
    fn run<T: Real>(&self, x: &[T], width: usize) -> Vec<T> {
        let activation = function(self.activation);
        let mut out = vec![T::zero(); x.len() / 2];
        each_row(&mut out, width, |index, row| {
            let (gate, up) = x[2 * width * index..][..2 * width].split_at(width);
            for ((out, &gate), &up) in row.iter_mut().zip(gate).zip(up) {
                *out = activation(gate) * up;
            }
        });
        out
    }
}

impl CustomOp1 for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, double) = layout.shape().dims2()?;
        let width = double / 2;
        let out = match x {
            CpuStorage::F32(x) => CpuStorage::F32(self.run(dense(x, layout)?, width)),
            CpuStorage::F64(x) => CpuStorage::F64(self.run(dense(x, layout)?, width)),
            _ => bail!("gate needs a tensor of f32 or f64"),
        };
        Ok((out, (rows, width).into()))
    }
}
