//! Types of elements that cross between this plugin and a graph.

use ort::sys::ONNXTensorElementDataType;
use ort::value::TensorElementType;

/// Type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    F32,
    F16,
    Bf16,
    I64,
    I32,
    Bool,
}

impl Element {
    /// The element of that type; none for types that no causal-LM graph has at its edge.
    pub(crate) fn of(element: TensorElementType) -> Option<Self> {
        Some(match element {
            TensorElementType::Float32 => Self::F32,
            TensorElementType::Float16 => Self::F16,
            TensorElementType::Bfloat16 => Self::Bf16,
            TensorElementType::Int64 => Self::I64,
            TensorElementType::Int32 => Self::I32,
            TensorElementType::Bool => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of one.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Bool => 1,
        }
    }

    /// As the runtime's C interface names it.
    pub(crate) fn raw(self) -> ONNXTensorElementDataType {
        match self {
            Self::F32 => TensorElementType::Float32,
            Self::F16 => TensorElementType::Float16,
            Self::Bf16 => TensorElementType::Bfloat16,
            Self::I64 => TensorElementType::Int64,
            Self::I32 => TensorElementType::Int32,
            Self::Bool => TensorElementType::Bool,
        }
        .into()
    }
}
