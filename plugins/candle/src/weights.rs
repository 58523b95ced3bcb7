//! The tensors of a model, each read once and brought to the session's type.

use candle_core::{DType, Device, Tensor};
use inferhost_plugin_api::Error;
use inferhost_plugin_api::hf::{StoredType, TensorFiles};
use std::path::Path;

/// The files of a model, their headers read.
pub(crate) struct Weights {
    files: TensorFiles,
    dtype: DType,
}

impl Weights {
    /// Reads the headers of the files in `folder`; tensors will be of `dtype`.
    ///
    /// # Errors
    /// `InvalidInput` that names the file that is missing, truncated or malformed.
    pub(crate) fn open(folder: &Path, dtype: DType) -> Result<Self, Error> {
        Ok(Self { files: TensorFiles::open(folder)?, dtype })
    }

    /// Tensor `name` of the decoder, which must have `shape`.
    ///
    /// # Errors
    /// `InvalidInput` for a tensor that is absent or has another shape or no floats.
    pub(crate) fn decoder(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        self.tensor(&self.files.decoder_name(name), shape)
    }

    /// Tensor `name`, which must have `shape`.
    ///
    /// # Errors
    /// As [`decoder`](Self::decoder).
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        // A buffer for each: a kept one would be as large as the largest tensor until the last is read.
        let mut bytes = Vec::new();
        let stored = match self.files.read(name, shape, &mut bytes)? {
            StoredType::F16 => DType::F16,
            StoredType::BF16 => DType::BF16,
            StoredType::F32 => DType::F32,
            StoredType::F64 => DType::F64,
        };
        Tensor::from_raw_buffer(&bytes, stored, shape, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(self.dtype))
            .map_err(|e| Error::invalid(format!("tensor {name} could not be converted: {e}")))
    }
}
