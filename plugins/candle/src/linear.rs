//! A linear layer. A product with one row of states is bound by reading the weights, and candle runs it on one
//! thread; here it runs in bands of columns, one to a thread.

use crate::ops::{Add, AddBias, AddResidual, Real, with_values};
use crate::product::product;
use crate::weights::Weights;
use candle_core::{DType, Device, Result, Tensor};
use inferhost_plugin_api::Error;
use inferhost_plugin_api::hf::Activation;
use rayon::prelude::*;

/// Fewer weights than this are not worth waking another thread for.
const SERIAL_BELOW: usize = 64 * 1024;

/// Rows and columns of a tile: two cache lines of f32.
const TILE: usize = 32;

/// x W + b.
pub(crate) struct Linear {
    /// `[inputs, outputs]`, a view of what lies in memory with the inputs of one output together: for few rows of
    /// states that takes candle half the time of GPT-2's own order, for many it is no worse.
    weight: Tensor,
    bias: Option<Tensor>,
    /// Views of the weight, `[inputs, part of the outputs]`; none where the layer is too small to share.
    bands: Vec<Tensor>,
}

impl Linear {
    /// Reads `name.weight`, `[inputs, outputs]` as GPT-2 stores it, and `name.bias`.
    ///
    /// # Errors
    /// `InvalidInput` for a tensor that is missing or has the wrong shape.
    pub(crate) fn conv1d(
        weights: &mut Weights,
        name: &str,
        inputs: usize,
        outputs: usize,
        threads: usize,
    ) -> std::result::Result<Self, Error> {
        let weight = weights.decoder(&format!("{name}.weight"), &[inputs, outputs])?;
        let bias = weights.decoder(&format!("{name}.bias"), &[outputs])?;
        let weight = match weight.dtype() {
            DType::F64 => transposed::<f64>(&weight),
            _ => transposed::<f32>(&weight),
        };
        weight.and_then(|weight| Self::new(&weight, Some(bias), threads)).map_err(crate::internal)
    }

    /// Reads `name.weight`, `[outputs, inputs]`, and where there is one `name.bias` of each part, a name and its
    /// number of outputs; the outputs of all lie one after another.
    ///
    /// # Errors
    /// As [`conv1d`](Self::conv1d).
    pub(crate) fn stacked(
        weights: &mut Weights,
        parts: &[(String, usize)],
        inputs: usize,
        has_bias: bool,
        threads: usize,
    ) -> std::result::Result<Self, Error> {
        let (mut matrices, mut biases) = (Vec::new(), Vec::new());
        for (name, outputs) in parts {
            matrices.push(weights.decoder(&format!("{name}.weight"), &[*outputs, inputs])?);
            if has_bias {
                biases.push(weights.decoder(&format!("{name}.bias"), &[*outputs])?);
            }
        }
        let stack = |parts: &[Tensor]| match parts {
            [one] => Ok(one.clone()),
            _ => Tensor::cat(parts, 0),
        };
        let bias = has_bias.then(|| stack(&biases)).transpose().map_err(crate::internal)?;
        stack(&matrices).and_then(|weight| Self::new(&weight, bias, threads)).map_err(crate::internal)
    }

    /// Takes a weight of `[outputs, inputs]`.
    pub(crate) fn new(weight: &Tensor, bias: Option<Tensor>, threads: usize) -> Result<Self> {
        let weight = weight.t()?;
        let mut bands = Vec::new();
        if weight.elem_count() >= SERIAL_BELOW && threads > 1 {
            for (first, count) in split(weight.dim(1)?, threads) {
                bands.push(weight.narrow(1, first, count)?);
            }
        }
        Ok(Self { weight, bias, bands })
    }

    /// `[rows, inputs]` to `[rows, outputs]`; the activation, where there is one, comes after the bias.
    pub(crate) fn apply(&self, x: &Tensor, activation: Option<Activation>) -> Result<Tensor> {
        let product = self.product(x)?;
        match (&self.bias, activation) {
            (Some(bias), activation) => product.inplace_op2(bias, &AddBias { activation })?,
            (None, None) => {}
            (None, Some(_)) => candle_core::bail!("an activation without a bias"),
        }
        Ok(product)
    }

    /// Adds the result to `sum`, in place.
    pub(crate) fn add_to(&self, sum: &Tensor, x: &Tensor) -> Result<()> {
        let product = self.product(x)?;
        match &self.bias {
            Some(bias) => sum.inplace_op3(&product, bias, &AddResidual),
            None => sum.inplace_op2(&product, &Add),
        }
    }

    fn product(&self, x: &Tensor) -> Result<Tensor> {
        if x.dim(0)? > 1 || self.bands.is_empty() {
            return product(x, &self.weight);
        }
        let parts = self.bands.par_iter().map(|band| product(x, band)).collect::<Result<Vec<_>>>()?;
        Tensor::cat(&parts, 1)
    }

    /// Bytes of weight and bias.
    pub(crate) fn bytes(&self) -> usize {
        bytes(&self.weight) + self.bias.as_ref().map_or(0, bytes)
    }
}

/// The transpose of a matrix, in memory. In tiles, since candle's copy of a transposed view misses the cache with
/// every element: it takes seconds for GPT-2's weights.
fn transposed<T: Real>(matrix: &Tensor) -> Result<Tensor> {
    let (rows, columns) = matrix.dims2()?;
    let mut out = vec![T::zero(); rows * columns];
    with_values::<T, _>(matrix, |values| {
        out.par_chunks_mut(TILE * rows).enumerate().for_each(|(band, out)| {
            for first in (0..rows).step_by(TILE) {
                let last = rows.min(first + TILE);
                for (column, out) in (band * TILE..).zip(out.chunks_mut(rows)) {
                    for row in first..last {
                        out[row] = values[row * columns + column];
                    }
                }
            }
        });
    })?;
    Tensor::from_vec(out, (columns, rows), &Device::Cpu)
}

/// Bytes of a tensor's elements.
pub(crate) fn bytes(tensor: &Tensor) -> usize {
    tensor.elem_count() * tensor.dtype().size_in_bytes()
}

/// `count` things in at most `groups` groups of nearly one size: the first and the number of each.
pub(crate) fn split(count: usize, groups: usize) -> Vec<(usize, usize)> {
    let groups = groups.clamp(1, count.max(1));
    let start = |group: usize| group * count / groups;
    (0..groups).map(|group| (start(group), start(group + 1) - start(group))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_by_tiles_is_transposing() {
        for (rows, columns) in [(1, 1), (3, 70), (65, 33), (32, 64)] {
            let count = (rows * columns) as f64;
            let matrix = Tensor::arange(0.0, count, &Device::Cpu).unwrap().reshape((rows, columns)).unwrap();
            let wanted: Vec<Vec<f64>> = matrix.t().unwrap().to_vec2().unwrap();
            assert_eq!(transposed::<f64>(&matrix).unwrap().to_vec2::<f64>().unwrap(), wanted);
        }
    }

    #[test]
    fn groups_cover_everything_once() {
        assert_eq!(split(7, 3), [(0, 2), (2, 2), (4, 3)]);
        assert_eq!(split(2, 5), [(0, 1), (1, 1)]);
        assert_eq!(split(4, 1), [(0, 4)]);
    }
}
