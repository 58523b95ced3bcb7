//! The tensors of a Hugging Face folder as libtorch's, each read straight into the memory of its tensor.

use crate::error::Outcome;
use crate::shim;
use inferhost_plugin_api::hf::{StoredType, TensorFiles};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// The files of a model.
pub(crate) struct Weights {
    files: TensorFiles,
    kind: Kind,
    device: Device,
}

impl Weights {
    /// Reads the headers of the files in `folder`; tensors will be of `kind` on `device`.
    ///
    /// # Errors
    /// `InvalidInput` that names the file that is missing, truncated or malformed.
    pub(crate) fn open(folder: &Path, kind: Kind, device: Device) -> Outcome<Self> {
        Ok(Self { files: TensorFiles::open(folder)?, kind, device })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// Tensor `name` of the decoder, which must have `shape`, in the session's type and on its device.
    ///
    /// # Errors
    /// `InvalidInput` for a tensor that is absent or has another shape or no floats.
    pub(crate) fn decoder(&mut self, name: &str, shape: &[usize]) -> Outcome<Tensor> {
        let name = self.files.decoder_name(name);
        let stored = self.stored(&name, shape)?;
        self.placed(&stored)
    }

    /// As [`decoder`](Self::decoder), but on the CPU in the type of the file: what is packed or quantised is best
    /// made from that.
    pub(crate) fn matrix(&mut self, name: &str, shape: &[usize]) -> Outcome<Tensor> {
        let name = self.files.decoder_name(name);
        self.stored(&name, shape)
    }

    /// Where the bytes of a tensor of the decoder lie: file, place in it, and type.
    pub(crate) fn place(&self, name: &str, shape: &[usize]) -> Outcome<(PathBuf, u64, Kind)> {
        let name = self.files.decoder_name(name);
        let kind = kind_of(self.files.info(&name, shape)?.dtype);
        let (file, start) = self.files.place(&name)?;
        Ok((file.to_path_buf(), start, kind))
    }

    /// A tensor beside the decoder, under its full name, as [`matrix`](Self::matrix).
    pub(crate) fn head(&mut self, name: &str, shape: &[usize]) -> Outcome<Tensor> {
        self.stored(name, shape)
    }

    /// A tensor in the session's type and on its device.
    pub(crate) fn placed(&self, tensor: &Tensor) -> Outcome<Tensor> {
        Ok(tensor.f_to_kind(self.kind)?.f_to_device(self.device)?)
    }

    fn stored(&mut self, name: &str, shape: &[usize]) -> Outcome<Tensor> {
        let kind = kind_of(self.files.info(name, shape)?.dtype);
        let sizes: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        let mut tensor = Tensor::f_zeros(&sizes, (kind, Device::Cpu))?;
        self.files.read_into(name, shim::bytes_mut(&mut tensor))?;
        Ok(tensor)
    }
}

fn kind_of(stored: StoredType) -> Kind {
    match stored {
        StoredType::F16 => Kind::Half,
        StoredType::BF16 => Kind::BFloat16,
        StoredType::F32 => Kind::Float,
        StoredType::F64 => Kind::Double,
    }
}
