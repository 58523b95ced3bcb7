//! From the model's tensors to the bytes of a graph's weights: joined, transposed, converted, quantised.
//!
//! A [`Recipe`] says what is to be made; nothing is read before the file is written, and then one weight at a time.

mod blocks;
mod bytes;
mod transpose;

use crate::model::onnx::proto::{BFLOAT16, FLOAT, FLOAT8E4M3FN, FLOAT16, INT4, INT8, UINT8};
use crate::model::{ModelError, Weights};
use crate::prepare::PrepareError;
use bytes::{Fp8, Int8};
use half::{bf16, f16};

/// Which dimension of a matrix is the outer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// `[inputs, outputs]`: transformers' `Conv1D`, ONNX's `MatMul`.
    InputsFirst,
    /// `[outputs, inputs]`: torch's `Linear`, and embeddings as `[vocabulary, width]`.
    OutputsFirst,
}

/// Tensors of the model that are one matrix, joined along the outputs.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    /// In the graph.
    pub(super) name: String,
    /// In the model.
    pub(super) tensors: Vec<String>,
    pub(super) inputs: u32,
    /// Of all tensors together.
    pub(super) outputs: u32,
    /// As the model has it.
    pub(super) order: Order,
}

/// Tensors of the model that are one vector, joined.
#[derive(Debug, Clone)]
pub(super) struct Vector {
    /// In the graph.
    pub(super) name: String,
    /// In the model.
    pub(super) tensors: Vec<String>,
    /// Of all tensors together.
    pub(super) len: u32,
}

/// What a weight is made of, and how.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    source: Source,
    encoding: Encoding,
}

#[derive(Debug, Clone)]
enum Source {
    Matrix(Matrix, Order),
    Vector(Vector),
}

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As floats.
    Float(Float),
    /// Symmetric 8-bit integers.
    Int8(Scales),
    /// 8-bit floats, E4M3 without infinities.
    Fp8(Scales),
    /// `MatMulNBits`' and `GatherBlockQuantized`' blocks of unsigned integers along the inputs; outputs first.
    Blocks {
        /// 4 or 8.
        bits: u32,
        /// Values that share a scale.
        block: u32,
    },
    /// `DequantizeLinear`'s signed 4-bit integers in blocks along the inputs; inputs first.
    Int4 {
        /// Values that share a scale.
        block: u32,
    },
}

/// Which values of a matrix share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scales {
    /// All.
    One,
    /// Those of an output.
    PerOutput,
}

/// A type of floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Float {
    F32,
    F16,
    Bf16,
}

impl Float {
    /// Its `TensorProto.DataType`.
    pub(super) const fn data_type(self) -> i32 {
        match self {
            Self::F32 => FLOAT,
            Self::F16 => FLOAT16,
            Self::Bf16 => BFLOAT16,
        }
    }

    fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::F16 => values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
            Self::Bf16 => values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
        }
    }
}

/// Bytes of a weight, and of its scales where it has such.
pub(super) struct Encoded {
    pub(super) values: Vec<u8>,
    pub(super) scales: Vec<f32>,
}

impl Recipe {
    /// A matrix, its dimensions in `order`.
    pub(super) fn matrix(matrix: &Matrix, order: Order, encoding: Encoding) -> Self {
        Self { source: Source::Matrix(matrix.clone(), order), encoding }
    }

    /// A vector of floats.
    pub(super) fn vector(vector: &Vector, float: Float) -> Self {
        Self { source: Source::Vector(vector.clone()), encoding: Encoding::Float(float) }
    }

    /// The model's tensors.
    pub(super) fn tensors(&self) -> &[String] {
        match &self.source {
            Source::Matrix(matrix, _) => &matrix.tensors,
            Source::Vector(vector) => &vector.tensors,
        }
    }

    /// Number of values in the model.
    pub(super) fn len(&self) -> u64 {
        match &self.source {
            Source::Matrix(matrix, _) => u64::from(matrix.inputs) * u64::from(matrix.outputs),
            Source::Vector(vector) => vector.len.into(),
        }
    }

    /// `TensorProto.DataType` and dimensions of the values.
    pub(super) fn values(&self) -> (i32, Vec<i64>) {
        let (inputs, outputs, order) = match &self.source {
            Source::Vector(vector) => return (self.data_type(), vec![vector.len.into()]),
            Source::Matrix(matrix, order) => (matrix.inputs, matrix.outputs, *order),
        };
        let dims = match (self.encoding, order) {
            (Encoding::Blocks { bits, block }, _) => {
                vec![outputs, inputs.div_ceil(block), block * bits / 8]
            }
            (_, Order::InputsFirst) => vec![inputs, outputs],
            (_, Order::OutputsFirst) => vec![outputs, inputs],
        };
        (self.data_type(), dims.into_iter().map(i64::from).collect())
    }

    /// Dimensions of the scales.
    pub(super) fn scales(&self) -> Vec<i64> {
        let Source::Matrix(matrix, _) = &self.source else { return Vec::new() };
        let (inputs, outputs) = (matrix.inputs, matrix.outputs);
        let dims = match self.encoding {
            Encoding::Float(_) | Encoding::Int8(Scales::One) | Encoding::Fp8(Scales::One) => vec![],
            Encoding::Int8(Scales::PerOutput) | Encoding::Fp8(Scales::PerOutput) => vec![outputs],
            Encoding::Blocks { block, .. } => vec![outputs, inputs.div_ceil(block)],
            Encoding::Int4 { block } => vec![inputs.div_ceil(block), outputs],
        };
        dims.into_iter().map(i64::from).collect()
    }

    fn data_type(&self) -> i32 {
        match self.encoding {
            Encoding::Float(float) => float.data_type(),
            Encoding::Int8(_) => INT8,
            Encoding::Fp8(_) => FLOAT8E4M3FN,
            Encoding::Blocks { .. } => UINT8,
            Encoding::Int4 { .. } => INT4,
        }
    }

    /// Where the bytes are those of the model's one tensor: its name. Such a weight is copied in pieces.
    pub(super) fn copied(&self) -> Option<&str> {
        let as_it_is = match &self.source {
            Source::Matrix(matrix, order) => matrix.order == *order,
            Source::Vector(_) => true,
        };
        let is_copy = as_it_is && self.encoding == Encoding::Float(Float::F32);
        if let ([tensor], true) = (self.tensors(), is_copy) { Some(tensor) } else { None }
    }

    /// Reads the tensors and makes the weight.
    ///
    /// # Errors
    /// What reading gave, or the tensor that holds NaN or infinity.
    pub(super) fn encode(&self, weights: &Weights) -> Result<Encoded, PrepareError> {
        let mut values = Vec::with_capacity(usize::try_from(self.len()).unwrap_or(0));
        for tensor in self.tensors() {
            weights.read_pieces(tensor, |piece| {
                check_finite(weights, tensor, piece)?;
                let (floats, _) = piece.as_chunks();
                let first = values.len();
                values.extend(floats.iter().map(|&bytes| f32::from_le_bytes(bytes)));
                self.check_fits(weights, tensor, &values[first..])
            })?;
        }
        let Source::Matrix(matrix, order) = &self.source else {
            return Ok(Encoded { values: self.float().encode(&values), scales: Vec::new() });
        };
        let (inputs, outputs) = (matrix.inputs as usize, matrix.outputs as usize);
        let (rows, columns) = match matrix.order {
            Order::InputsFirst => (inputs, outputs),
            Order::OutputsFirst => (outputs, inputs),
        };
        if matrix.order != *order {
            values = transpose::transposed(&values, rows, columns);
        }
        Ok(match self.encoding {
            Encoding::Float(float) => Encoded { values: float.encode(&values), scales: Vec::new() },
            Encoding::Int8(scales) => bytes::scaled::<Int8>(&values, outputs, *order, scales),
            Encoding::Fp8(scales) => bytes::scaled::<Fp8>(&values, outputs, *order, scales),
            Encoding::Blocks { bits, block } => blocks::unsigned(&values, inputs, bits, block as usize),
            Encoding::Int4 { block } => blocks::signed(&values, outputs, block as usize),
        })
    }

    fn check_fits(&self, weights: &Weights, tensor: &str, values: &[f32]) -> Result<(), PrepareError> {
        let largest = bytes::largest(values);
        if self.encoding != Encoding::Float(Float::F16) || largest <= f16::MAX.to_f32() {
            return Ok(());
        }
        let problem = format!("has a value of magnitude {largest}, which fp16 cannot hold; use onnx-bf16");
        Err(ModelError::tensor(weights.path(), tensor, problem).into())
    }

    const fn float(&self) -> Float {
        match self.encoding {
            Encoding::Float(float) => float,
            _ => Float::F32,
        }
    }
}

/// The nearest whole number of a value below 2^22, the even one of two: adding 1.5 * 2^23 leaves no bits for fractions.
/// Unlike `round_ties_even` it needs no instruction that older processors lack, so it is vectorised everywhere.
fn nearest(x: f32) -> f32 {
    const NO_FRACTION: f32 = 12_582_912.0;
    (x + NO_FRACTION) - NO_FRACTION
}

/// Refuses little-endian f32 `values` of `tensor` that hold NaN or infinity.
pub(super) fn check_finite(weights: &Weights, tensor: &str, values: &[u8]) -> Result<(), ModelError> {
    const EXPONENT: u32 = 0x7f80_0000;
    let (floats, _) = values.as_chunks::<4>();
    // Folded and not searched: this way it is vectorised, and looked into only where something is wrong.
    let all_finite =
        floats.iter().fold(true, |fine, &bytes| fine & (u32::from_le_bytes(bytes) & EXPONENT != EXPONENT));
    if all_finite {
        return Ok(());
    }
    Err(ModelError::tensor(
        weights.path(),
        tensor,
        "holds NaN or infinity; the model is damaged, save or download it again",
    ))
}

impl Vector {
    /// One tensor of the model, under its own name.
    pub(super) fn of(name: &str, len: u32) -> Self {
        Self { name: name.into(), tensors: vec![name.into()], len }
    }
}
