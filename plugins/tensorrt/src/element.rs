//! Types of the elements that an engine takes and gives.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use trtx::DataType;

/// A floating-point type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    F32,
    F16,
    Bf16,
}

impl Element {
    /// That of TensorRT's type; none for another.
    pub(crate) fn of(kind: &DataType) -> Option<Self> {
        match kind {
            DataType::kFLOAT => Some(Self::F32),
            DataType::kHALF => Some(Self::F16),
            DataType::kBF16 => Some(Self::Bf16),
            _ => None,
        }
    }

    /// Bytes of one.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Writes what lies in `words`, elements one after the other, to `floats`.
    pub(crate) fn widen(self, words: &[u16], floats: &mut [f32]) {
        match self {
            Self::F32 => {
                let floats: &mut [u8] = bytemuck::cast_slice_mut(floats);
                floats.copy_from_slice(bytemuck::cast_slice(words));
            }
            Self::F16 => words.reinterpret_cast::<f16>().convert_to_f32_slice(floats),
            Self::Bf16 => words.reinterpret_cast::<bf16>().convert_to_f32_slice(floats),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_widened() {
        let floats = [1.5f32, -0.25, 40.0];
        let mut widened = [0.0; 3];
        Element::F32.widen(bytemuck::cast_slice(&floats), &mut widened);
        assert_eq!(widened, floats);
        Element::F16.widen(&floats.map(|float| f16::from_f32(float).to_bits()), &mut widened);
        assert_eq!(widened, floats);
        widened = [0.0; 3];
        Element::Bf16.widen(&floats.map(|float| bf16::from_f32(float).to_bits()), &mut widened);
        assert_eq!(widened, floats);
    }
}
