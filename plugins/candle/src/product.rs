//! Products of matrices, by the kernels that candle itself calls.
//!
//! candle's own `matmul` takes its number of threads from the environment at every call, and where nothing is set
//! there it reads `/proc/cpuinfo`. A plugin must not write the environment of a process that has other threads, so
//! the call is made here, on the threads of the session's pool. All `unsafe` of this plugin is in this module.

use crate::ops::Real;
use candle_core::{DType, Device, Layout, Result, Shape, Storage, Tensor, bail};
use gemm::Parallelism;

/// The product of two matrices, or of as many pairs as there are in front: `[.., m, k]` and `[.., k, n]`.
pub(crate) fn product(left: &Tensor, right: &Tensor) -> Result<Tensor> {
    match left.dtype() {
        DType::F64 => multiply::<f64>(left, right),
        _ => multiply::<f32>(left, right),
    }
}

fn multiply<T: Real>(left: &Tensor, right: &Tensor) -> Result<Tensor> {
    let ((left_storage, left_layout), (right_storage, right_layout)) =
        (left.storage_and_layout(), right.storage_and_layout());
    let (Storage::Cpu(left_values), Storage::Cpu(right_values)) = (&*left_storage, &*right_storage) else {
        bail!("a product of matrices that are not in host memory")
    };
    let a = Matrices::new(T::cpu_storage_as_slice(left_values)?, left_layout)?;
    let b = Matrices::new(T::cpu_storage_as_slice(right_values)?, right_layout)?;
    if a.count != b.count || a.columns != b.rows {
        bail!("no product of {:?} and {:?}", left.dims(), right.dims());
    }
    let mut out = vec![T::zero(); a.count * a.rows * b.columns];
    for (index, out) in out.chunks_exact_mut(a.rows * b.columns).enumerate() {
        a.times(&b, index, out);
    }
    let shape: Shape = match left.rank() {
        2 => (a.rows, b.columns).into(),
        _ => (a.count, a.rows, b.columns).into(),
    };
    Tensor::from_vec(out, shape, &Device::Cpu)
}

/// Matrices of one shape in a tensor's values. No element of any of them lies outside `values`.
struct Matrices<'a, T> {
    values: &'a [T],
    count: usize,
    rows: usize,
    columns: usize,
    strides: [usize; 3],
}

impl<'a, T: Real> Matrices<'a, T> {
    fn new(values: &'a [T], layout: &Layout) -> Result<Self> {
        let values = values.get(layout.start_offset()..).unwrap_or_default();
        let (dims, strides) = match (layout.dims(), layout.stride()) {
            (&[rows, columns], &[down, along]) => ([1, rows, columns], [0, down, along]),
            (&[count, rows, columns], &[next, down, along]) => ([count, rows, columns], [next, down, along]),
            (dims, _) => bail!("a product of matrices needs 2 or 3 dimensions, found {dims:?}"),
        };
        let last = dims.iter().zip(strides).try_fold(0usize, |last, (&dim, stride)| {
            dim.checked_sub(1)?.checked_mul(stride)?.checked_add(last)
        });
        if last.is_none_or(|last| last >= values.len()) {
            bail!("matrices {dims:?} by {strides:?} are empty or do not lie in {} values", values.len());
        }
        let [count, rows, columns] = dims;
        Ok(Self { values, count, rows, columns, strides })
    }

    /// Writes the product of the matrices at `index` to `out`, row-major, of `self.rows * right.columns` values.
    fn times(&self, right: &Self, index: usize, out: &mut [T]) {
        let (m, n, k) = (self.rows, right.columns, self.columns);
        assert!(index < self.count.min(right.count) && right.rows == k && out.len() == m * n);
        let parallelism = match rayon::current_num_threads() {
            0 | 1 => Parallelism::None,
            threads => Parallelism::Rayon(threads),
        };
        let [left_next, left_down, left_along] = self.strides.map(|stride| stride as isize);
        let [right_next, right_down, right_along] = right.strides.map(|stride| stride as isize);
        // SAFETY: `new` checked that every element of every matrix lies in its slice, the assertion above that
        // `index` is one of them, that the shapes fit, and that `out` holds m rows of n; nothing else refers to
        // `out`. With `read_dst` false its content is written, not read.
        unsafe {
            let left = self.values.as_ptr().offset(index as isize * left_next);
            let right = right.values.as_ptr().offset(index as isize * right_next);
            let (none, one) = (T::zero(), T::one());
            let to = out.as_mut_ptr();
            gemm::gemm(
                m,
                n,
                k,
                to,
                1,
                n as isize,
                false,
                left,
                left_along,
                left_down,
                right,
                right_along,
                right_down,
                none,
                one,
                false,
                false,
                false,
                parallelism,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        let values = (0..shape.elem_count()).map(|i| ((i * 7) % 11) as f64 - 5.0);
        Tensor::from_iter(values, &Device::Cpu).unwrap().reshape(shape).unwrap()
    }

    #[test]
    fn products_are_candles_own_whatever_the_strides() {
        let (flat, wide) = (numbers((3, 5)), numbers((4, 5)));
        let (heads, keys) = (numbers((6, 2, 3)), numbers((7, 2, 3)));
        let (heads, keys) = (heads.transpose(0, 1).unwrap(), keys.transpose(0, 1).unwrap());
        let cases = [
            (flat.clone(), wide.t().unwrap()),
            (flat.narrow(0, 1, 1).unwrap(), wide.t().unwrap().narrow(1, 1, 2).unwrap()),
            (heads, keys.transpose(1, 2).unwrap()),
        ];
        for dtype in [DType::F32, DType::F64] {
            for (a, b) in &cases {
                let (a, b) = (a.to_dtype(dtype).unwrap(), b.to_dtype(dtype).unwrap());
                let (found, wanted) = (product(&a, &b).unwrap(), a.matmul(&b).unwrap());
                assert_eq!(found.dims(), wanted.dims());
                let values = |tensor: &Tensor| {
                    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
                };
                assert_eq!(values(&found), values(&wanted));
            }
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        for (a, b) in [
            (numbers((2, 3)), numbers((2, 3))),
            (numbers((2, 2, 3)), numbers((3, 3, 2))),
            (numbers((2, 3)), numbers((1, 2, 3, 1))),
        ] {
            assert!(product(&a, &b).is_err());
        }
    }
}
