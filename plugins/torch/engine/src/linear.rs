//! A linear layer in the form that libtorch multiplies fastest with, on this device and in this precision.

use crate::error::Outcome;
use crate::options::Quantize;
use crate::shim::{self, DynamicWeight};
use crate::storage::Storage;
use inferhost_plugin_api::hf::Activation;
use std::ffi::CStr;
use tch::{Device, Kind, Tensor};

/// From this many rows on it is faster to widen 8-bit weights and multiply as usual than to multiply with them as they
/// are: that kernel's time grows with the rows (0.04 ms a row for 768 x 3072 on 2 cores, against 0.5 ms at once).
const WIDEN_FROM: i64 = 12;
/// The 8-bit kernel reads so many weights at a time, also past the end of a row: others are a crash, or noise.
const INT8_INPUTS: i64 = 16;
/// What the weight-only kernels take activations in: those for f32 and f16 are 10 to 30 times slower in libtorch 2.11.
const HALF: Kind = Kind::BFloat16;
/// Rows of a matrix that are quantised at once.
const OUTPUTS_AT_ONCE: i64 = 4096;
/// Weights that share a scale in 4 bits.
const INT4_GROUP: i64 = 32;
/// What libtorch's 4-bit kernel for the CPU asks of the number of outputs.
const INT4_OUTPUTS: i64 = 16;

enum Weight {
    Plain(Tensor),
    OneDnn(Tensor),
    Dynamic { weight: DynamicWeight, reduce_range: bool },
    Int8 { weight: Tensor, scales: Tensor },
    Int4 { packed: Tensor, scales_and_zeros: Tensor },
}

impl Weight {
    /// What its numbers are stored in.
    fn precision(&self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Dynamic { .. } | Self::Int8 { .. }, _) => "int8",
            (Self::Int4 { .. }, _) => "int4",
            (_, Kind::Double) => "f64",
            (_, Kind::BFloat16) => "bf16",
            (_, Kind::Half) => "f16",
            _ => "f32",
        }
    }
}

/// x Wᵀ + b, of rows.
pub(crate) struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
    bytes: usize,
    precision: &'static str,
}

impl Linear {
    /// From `weight` `[outputs, inputs]` in any type of floats, on the CPU.
    pub(crate) fn new(
        weight: &Tensor,
        bias: Option<Tensor>,
        storage: Storage,
        kind: Kind,
        device: Device,
    ) -> Outcome<Self> {
        let of_bias = bias.as_ref().map_or(0, bytes);
        let weight = match storage {
            Storage::Plain => Weight::Plain(weight.f_to_kind(kind)?.f_to_device(device)?.f_contiguous()?),
            Storage::OneDnn => Weight::OneDnn(shim::onednn_pack(&weight.f_to_kind(kind)?.f_contiguous()?)?),
            Storage::Quantized(Quantize::Int8Dynamic) => {
                let weight = weight.f_to_kind(Kind::Float)?.f_contiguous()?;
                let bytes = weight.numel() + 4 * weight.size()[0] as usize + of_bias;
                let packed = DynamicWeight::pack(&weight, bias.as_ref())?;
                let weight = Weight::Dynamic { weight: packed, reduce_range: !has_vnni() };
                return Ok(Self { precision: weight.precision(kind), weight, bias: None, bytes });
            }
            Storage::Quantized(Quantize::Int4Weight) if fits_int4(weight) => {
                let (packed, scales_and_zeros) = shim::int4_pack(weight, INT4_GROUP)?;
                Weight::Int4 { packed, scales_and_zeros }
            }
            Storage::Quantized(_) => {
                let (weight, scales) = shim::int8_quantize(weight, OUTPUTS_AT_ONCE)?;
                Weight::Int8 { weight, scales }
            }
        };
        let of_weight = match &weight {
            Weight::Plain(tensor) => bytes(tensor),
            Weight::OneDnn(tensor) => tensor.numel() * kind.elt_size_in_bytes(),
            Weight::Dynamic { .. } => 0,
            Weight::Int8 { weight, scales } => bytes(weight) + bytes(scales),
            Weight::Int4 { packed, scales_and_zeros } => bytes(packed) + bytes(scales_and_zeros),
        };
        Ok(Self { precision: weight.precision(kind), weight, bias, bytes: of_weight + of_bias })
    }

    /// What its weights are stored in.
    pub(crate) fn precision(&self) -> &'static str {
        self.precision
    }

    /// `[outputs, inputs]` in the session's type, where it is kept as it is.
    pub(crate) fn plain(&self) -> Option<&Tensor> {
        match &self.weight {
            Weight::Plain(weight) => Some(weight),
            _ => None,
        }
    }

    /// Bytes of the weights, as they are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Of `input` `[rows, inputs]`.
    pub(crate) fn forward(&self, input: &Tensor) -> Outcome<Tensor> {
        let bias = self.bias.as_ref();
        match &self.weight {
            Weight::Plain(weight) => Ok(input.f_linear(weight, bias)?),
            Weight::OneDnn(packed) => shim::onednn_linear(input, packed, bias, c"none", None),
            Weight::Dynamic { weight, reduce_range } => weight.forward(input, *reduce_range),
            Weight::Int8 { weight, scales } => self.with_bias(int8_product(input, weight, scales)?),
            Weight::Int4 { packed, scales_and_zeros } => {
                let product = input.f_to_kind(HALF)?.f_internal_weight_int4pack_mm_for_cpu(
                    packed,
                    INT4_GROUP,
                    scales_and_zeros,
                )?;
                self.with_bias(product.f_to_kind(input.kind())?)
            }
        }
    }

    /// Of `input`, then through `activation`.
    pub(crate) fn forward_through(&self, input: &Tensor, activation: Activation) -> Outcome<Tensor> {
        if let Weight::OneDnn(packed) = &self.weight {
            let (name, algorithm) = onednn_name(activation);
            return shim::onednn_linear(input, packed, self.bias.as_ref(), name, algorithm);
        }
        let mut output = self.forward(input)?;
        match activation {
            Activation::GeluErf => Ok(output.f_gelu_("none")?),
            Activation::GeluTanh => Ok(output.f_gelu_("tanh")?),
            Activation::Relu => Ok(output.f_relu_()?),
            Activation::Silu => Ok(output.f_silu_()?),
            Activation::Tanh => Ok(output.f_tanh_()?),
        }
    }

    /// Of `input`, then `other` added.
    pub(crate) fn forward_plus(&self, input: &Tensor, other: &Tensor) -> Outcome<Tensor> {
        match &self.weight {
            Weight::OneDnn(packed) => {
                shim::onednn_linear_with(input, packed, self.bias.as_ref(), other, c"add")
            }
            _ => Ok(self.forward(input)?.f_add_(other)?),
        }
    }

    /// Of `input`, then `other` multiplied with it, element by element.
    pub(crate) fn forward_times(&self, input: &Tensor, other: &Tensor) -> Outcome<Tensor> {
        match &self.weight {
            Weight::OneDnn(packed) => {
                shim::onednn_linear_with(input, packed, self.bias.as_ref(), other, c"mul")
            }
            _ => Ok(self.forward(input)?.f_mul_(other)?),
        }
    }

    fn with_bias(&self, mut product: Tensor) -> Outcome<Tensor> {
        match &self.bias {
            Some(bias) => Ok(product.f_add_(bias)?),
            None => Ok(product),
        }
    }
}

/// Bytes of a dense tensor.
pub(crate) fn bytes(tensor: &Tensor) -> usize {
    tensor.numel() * tensor.kind().elt_size_in_bytes()
}

fn onednn_name(activation: Activation) -> (&'static CStr, Option<&'static CStr>) {
    match activation {
        Activation::GeluErf => (c"gelu", Some(c"none")),
        Activation::GeluTanh => (c"gelu", Some(c"tanh")),
        Activation::Relu => (c"relu", None),
        Activation::Silu => (c"swish", None),
        Activation::Tanh => (c"tanh", None),
    }
}

fn int8_product(input: &Tensor, weight: &Tensor, scales: &Tensor) -> Outcome<Tensor> {
    let half = input.f_to_kind(HALF)?;
    let size = input.size();
    let product = if size[0] < WIDEN_FROM && size[1] % INT8_INPUTS == 0 {
        half.f_internal_weight_int8pack_mm(weight, scales)?
    } else {
        half.f_linear(&weight.f_to_kind(HALF)?, None::<&Tensor>)?.f_mul_(scales)?
    };
    Ok(product.f_to_kind(input.kind())?)
}

fn fits_int4(weight: &Tensor) -> bool {
    let size = weight.size();
    size[0] % INT4_OUTPUTS == 0 && size[1] % INT4_GROUP == 0
}

#[cfg(target_arch = "x86_64")]
fn has_vnni() -> bool {
    std::arch::is_x86_feature_detected!("avx512vnni") || std::arch::is_x86_feature_detected!("avxvnni")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_vnni() -> bool {
    true
}
