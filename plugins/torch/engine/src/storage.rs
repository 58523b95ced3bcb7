//! In which form a model's matrices are kept, and in which they came out.

use crate::options::{Layout, Options, Quantize};
use crate::shim;
use std::collections::BTreeMap;
use std::fmt;
use tch::{Device, Kind, Tensor};

/// How matrices are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    /// As they are, for libtorch's own choice of library (MKL on the CPU, cuBLAS on CUDA).
    Plain,
    /// In oneDNN's layout.
    OneDnn,
    /// In 8 or 4 bits.
    Quantized(Quantize),
}

impl Storage {
    /// What `options` ask for, as far as oneDNN has products of the type.
    pub(crate) fn choose(device: Device, kind: Kind, options: &Options) -> Self {
        if options.quantize != Quantize::None {
            return Self::Quantized(options.quantize);
        }
        let packs = || {
            let probe = Tensor::f_zeros([32, 32], (kind, device))?;
            let packed = shim::onednn_pack(&probe)?;
            shim::onednn_linear(&probe, &packed, None, c"none", None)
        };
        let packed = device == Device::Cpu && options.linear == Layout::Packed;
        let suits = packed && kind != Kind::Double && shim::has_onednn();
        if suits && packs().is_ok() { Self::OneDnn } else { Self::Plain }
    }

    /// For a reader of a report.
    pub(crate) fn describe(self, device: Device) -> &'static str {
        match self {
            Self::Plain if device == Device::Cpu => "plain (MKL)",
            Self::Plain => "plain (cuBLAS)",
            Self::OneDnn => "packed (oneDNN)",
            Self::Quantized(Quantize::Int8Dynamic) => "int8, dynamic activations (FBGEMM)",
            Self::Quantized(Quantize::Int8Weight) => "int8 weights, products in bf16",
            Self::Quantized(_) => "int4 weights, products in bf16",
        }
    }
}

/// How many weights of matrices are stored in which precision.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coverage(BTreeMap<&'static str, usize>);

impl Coverage {
    /// The precision of the most weights.
    pub(crate) fn most(&self) -> &'static str {
        self.0.iter().max_by_key(|(_, count)| **count).map_or("", |(precision, _)| precision)
    }

    pub(crate) fn add(&mut self, precision: &'static str, weights: usize) {
        *self.0.entry(precision).or_default() += weights;
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: usize = self.0.values().sum();
        for (index, (precision, &count)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{:.1}% {precision}", 100.0 * count as f64 / total.max(1) as f64)?;
        }
        Ok(())
    }
}
