//! Products with a weight matrix, in each precision and dialect, and the embedding, which is one too.

use super::decoder::Linear;
use super::encode::{Encoding, Float, Matrix, Order, Recipe, Scales, Vector};
use super::graph::int;
use super::observe::Observed;
use super::writer::Writer;
use crate::model::onnx::proto::{AttributeProto, FLOAT};
use crate::prepare::artifact::{Dialect, Precision};
use crate::prepare::calibrate::{Ranges, Spread};

/// Block of the 8-bit embedding and head beside 4-bit weights.
const TABLE_BLOCK: u32 = 128;
/// `MatMulNBits` may compute in 8-bit integers.
const INT8_ACCURACY: i64 = 4;

impl Writer<'_> {
    /// `input` times the layer's matrix, and its bias added.
    pub(super) fn linear(&mut self, name: &str, input: &str, linear: &Linear) -> String {
        let product = match linear.bias {
            Some(_) => self.product(&format!("{name}/product"), input, &linear.matrix),
            None => return self.product(name, input, &linear.matrix),
        };
        self.add_bias(name, &product, linear.bias.as_ref())
    }

    /// `value` with a bias, where there is one.
    pub(super) fn add_bias(&mut self, name: &str, value: &str, bias: Option<&Vector>) -> String {
        let Some(bias) = bias else { return value.into() };
        let bias = self.vector(bias, self.compute);
        self.g.node("Add", name, &[value, &bias], &[])
    }

    /// `input` `[batch, sequence, inputs]` times `matrix`, without a bias.
    pub(super) fn product(&mut self, name: &str, input: &str, matrix: &Matrix) -> String {
        self.observed.push(Observed {
            matrix: matrix.name.clone(),
            value: input.into(),
            width: matrix.inputs,
        });
        let is_ort = self.artifact.dialect == Dialect::Ort;
        match self.artifact.precision.clone() {
            Precision::Fp32 | Precision::Fp16 | Precision::Bf16 => self.float_product(name, input, matrix),
            Precision::Int8Dynamic { per_channel } if is_ort => {
                let scales = if per_channel { Scales::PerOutput } else { Scales::One };
                let [weight, scale] = self.int8(matrix, scales);
                self.g.contrib("DynamicQuantizeMatMul", name, &[input, &weight, &scale], &[])
            }
            Precision::Int8Dynamic { per_channel } => {
                let scales = if per_channel { Scales::PerOutput } else { Scales::One };
                self.integer_product(name, input, matrix, scales)
            }
            Precision::Int8Weight { block } if is_ort => self.block_product(name, input, matrix, 8, block),
            Precision::Int4Weight { .. } if is_ort && self.is_head(matrix) => {
                self.block_product(name, input, matrix, 8, TABLE_BLOCK)
            }
            Precision::Int4Weight { block } if is_ort => self.block_product(name, input, matrix, 4, block),
            Precision::Int4Weight { block } if !self.is_head(matrix) => {
                let recipe = Recipe::matrix(matrix, Order::InputsFirst, Encoding::Int4 { block });
                let [weight, scale] = self.g.quantised_weight(&format!("{}.int4", matrix.name), recipe);
                let attributes = [int("axis", 0), int("block_size", block.into())];
                let weight = self.dequantised(matrix, &[&weight, &scale], &attributes);
                self.g.node("MatMul", name, &[input, &weight], &[])
            }
            Precision::Int8Weight { .. } | Precision::Int4Weight { .. } => {
                let weight = self.dequantised_int8(matrix, true);
                self.g.node("MatMul", name, &[input, &weight], &[])
            }
            Precision::Int8Qdq(calibration) => {
                let spread = if is_ort { Spread::Unsigned } else { Spread::Symmetric };
                let input = self.through_8_bits(input, &matrix.name, spread);
                let weight = self.dequantised_int8(matrix, calibration.per_channel);
                self.g.node("MatMul", name, &[&input, &weight], &[])
            }
            Precision::Fp8Qdq(calibration) => {
                let input = self.through_8_bits(input, &matrix.name, Spread::Float8);
                let weight = self.dequantised_fp8(matrix, calibration.per_channel);
                // ONNX Runtime's optimiser takes the standard operator for a product of integers here.
                if is_ort {
                    return self.g.contrib("FusedMatMul", name, &[&input, &weight], &[]);
                }
                self.g.node("MatMul", name, &[&input, &weight], &[])
            }
        }
    }

    fn is_head(&self, matrix: &Matrix) -> bool {
        matrix.name == self.decoder.head.name
    }

    /// The head keeps the order that the embedding has, so that a tied table is stored once.
    fn float_product(&mut self, name: &str, input: &str, matrix: &Matrix) -> String {
        if !self.is_head(matrix) {
            let weight = self.float_matrix(matrix, Order::InputsFirst);
            return self.g.node("MatMul", name, &[input, &weight], &[]);
        }
        let weight = self.float_matrix(matrix, Order::OutputsFirst);
        if self.artifact.dialect == Dialect::Ort {
            return self.g.contrib("FusedMatMul", name, &[input, &weight], &[int("transB", 1)]);
        }
        let flat = self.g.integers("flat", &[-1, matrix.inputs.into()]);
        let rows = self.g.node("Reshape", &format!("{name}/rows"), &[input, &flat], &[]);
        let scores = self.g.node("Gemm", &format!("{name}/scores"), &[&rows, &weight], &[int("transB", 1)]);
        let outer = self.g.node("Shape", &format!("{name}/outer"), &[input], &[int("end", 2)]);
        let width = self.g.integers("outputs", &[matrix.outputs.into()]);
        let shape = self.g.node("Concat", &format!("{name}/shape"), &[&outer, &width], &[int("axis", 0)]);
        self.g.node("Reshape", name, &[&scores, &shape], &[])
    }

    /// A matrix of floats, in the type that is computed in.
    fn float_matrix(&mut self, matrix: &Matrix, order: Order) -> String {
        let recipe = Recipe::matrix(matrix, order, Encoding::Float(self.stored));
        let weight = self.g.weight(&matrix.name, recipe);
        self.cast_once(&weight, self.stored, self.compute)
    }

    fn int8(&mut self, matrix: &Matrix, scales: Scales) -> [String; 2] {
        let recipe = Recipe::matrix(matrix, Order::InputsFirst, Encoding::Int8(scales));
        self.g.quantised_weight(&format!("{}.int8", matrix.name), recipe)
    }

    fn dequantised_int8(&mut self, matrix: &Matrix, per_channel: bool) -> String {
        let [weight, scale] = self.int8(matrix, if per_channel { Scales::PerOutput } else { Scales::One });
        let attributes = if per_channel { vec![int("axis", 1)] } else { vec![] };
        self.dequantised(matrix, &[&weight, &scale], &attributes)
    }

    fn dequantised_fp8(&mut self, matrix: &Matrix, per_channel: bool) -> String {
        let scales = if per_channel { Scales::PerOutput } else { Scales::One };
        let recipe = Recipe::matrix(matrix, Order::InputsFirst, Encoding::Fp8(scales));
        let [weight, scale] = self.g.quantised_weight(&format!("{}.fp8", matrix.name), recipe);
        let attributes = if per_channel { vec![int("axis", 1)] } else { vec![] };
        self.dequantised(matrix, &[&weight, &scale], &attributes)
    }

    fn dequantised(&mut self, matrix: &Matrix, inputs: &[&str], attributes: &[AttributeProto]) -> String {
        self.g.node("DequantizeLinear", &format!("{}/float", matrix.name), inputs, attributes)
    }

    /// `MatMulNBits` over blocks of `bits`.
    fn block_product(&mut self, name: &str, input: &str, matrix: &Matrix, bits: u32, block: u32) -> String {
        let [weight, scale] = self.blocks(matrix, bits, block);
        let attributes = [
            int("K", matrix.inputs.into()),
            int("N", matrix.outputs.into()),
            int("bits", bits.into()),
            int("block_size", block.into()),
            int("accuracy_level", INT8_ACCURACY),
        ];
        self.g.contrib("MatMulNBits", name, &[input, &weight, &scale], &attributes)
    }

    fn blocks(&mut self, matrix: &Matrix, bits: u32, block: u32) -> [String; 2] {
        let recipe = Recipe::matrix(matrix, Order::OutputsFirst, Encoding::Blocks { bits, block });
        self.g.quantised_weight(&format!("{}.int{bits}", matrix.name), recipe)
    }

    /// Standard operators for what `DynamicQuantizeMatMul` does.
    fn integer_product(&mut self, name: &str, input: &str, matrix: &Matrix, scales: Scales) -> String {
        let parts = ["int8", "scale", "zero_point"].map(|part| format!("{input}/{part}"));
        let [quantised, scale, zero_point] = parts.each_ref().map(String::as_str);
        if self.quantised.insert(input.into()) {
            self.g.push(
                "DynamicQuantizeLinear",
                None,
                quantised,
                &[input],
                &[],
                &[quantised, scale, zero_point],
            );
        }
        let [weight, weight_scale] = self.int8(matrix, scales);
        let sums =
            self.g.node("MatMulInteger", &format!("{name}/sums"), &[quantised, &weight, zero_point], &[]);
        let sums = self.g.node("Cast", &format!("{name}/floats"), &[&sums], &[int("to", FLOAT.into())]);
        let scale = self.g.node("Mul", &format!("{name}/scale"), &[scale, &weight_scale], &[]);
        self.g.node("Mul", name, &[&sums, &scale], &[])
    }

    /// `input` as the nearest of 256 values of its calibrated range.
    fn through_8_bits(&mut self, input: &str, matrix: &str, spread: Spread) -> String {
        let name = format!("{input}/float");
        if !self.quantised.insert(input.into()) {
            return name;
        }
        let nothing = Ranges::default();
        let grid = self.ranges.unwrap_or(&nothing).grid(matrix, spread);
        let bits = if spread == Spread::Float8 { "fp8" } else { "int8" };
        let scale = self.g.float(&format!("{input}/scale"), grid.scale);
        let zero_point =
            self.g.constant(&format!("{input}/zero_point"), grid.data_type, vec![], vec![grid.zero_point]);
        let quantised =
            self.g.node("QuantizeLinear", &format!("{input}/{bits}"), &[input, &scale, &zero_point], &[]);
        self.g.node("DequantizeLinear", &name, &[&quantised, &scale, &zero_point], &[])
    }

    /// The rows of the embedding for `ids`, in the type of the residual stream.
    pub(super) fn embedding(&mut self, ids: &str) -> String {
        let matrix = self.decoder.embedding.clone();
        let is_ort = self.artifact.dialect == Dialect::Ort;
        let block = match self.artifact.precision {
            Precision::Fp32 | Precision::Fp16 | Precision::Bf16 | Precision::Fp8Qdq(_) => {
                let recipe = Recipe::matrix(&matrix, Order::OutputsFirst, Encoding::Float(self.stored));
                let table = self.g.weight(&matrix.name, recipe);
                let rows = self.g.node("Gather", "embeddings/tokens", &[&table, ids], &[]);
                return self.cast(&rows, self.stored, self.residual);
            }
            Precision::Int8Weight { block } if is_ort => Some(block),
            Precision::Int4Weight { .. } if is_ort => Some(TABLE_BLOCK),
            _ => None,
        };
        match block {
            Some(block) if matrix.inputs.is_multiple_of(block) => self.block_rows(&matrix, ids, block),
            _ => self.int8_rows(&matrix, ids),
        }
    }

    fn block_rows(&mut self, matrix: &Matrix, ids: &str, block: u32) -> String {
        let [weight, scale] = self.blocks(matrix, 8, block);
        let dims = [matrix.outputs, matrix.inputs];
        let rows = self.g.same(&format!("{}.rows", matrix.name), &weight, &dims);
        let attributes =
            [int("bits", 8), int("block_size", block.into()), int("gather_axis", 0), int("quantize_axis", 1)];
        self.g.contrib("GatherBlockQuantized", "embeddings/tokens", &[&rows, ids, &scale], &attributes)
    }

    fn int8_rows(&mut self, matrix: &Matrix, ids: &str) -> String {
        let recipe = Recipe::matrix(matrix, Order::OutputsFirst, Encoding::Int8(Scales::PerOutput));
        let [table, scales] = self.g.quantised_weight(&format!("{}.rows", matrix.name), recipe);
        let rows = self.g.node("Gather", "embeddings/int8", &[&table, ids], &[]);
        let rows = self.g.node("Cast", "embeddings/floats", &[&rows], &[int("to", FLOAT.into())]);
        let scales = self.g.node("Gather", "embeddings/scales", &[&scales, ids], &[]);
        let last = self.g.integers("[-1]", &[-1]);
        let scales = self.g.node("Unsqueeze", "embeddings/scale", &[&scales, &last], &[]);
        self.g.node("Mul", "embeddings/tokens", &[&rows, &scales], &[])
    }

    /// A vector of the model in the type `float`.
    pub(super) fn vector(&mut self, vector: &Vector, float: Float) -> String {
        self.g.weight(&vector.name, Recipe::vector(vector, float))
    }

    /// `value` in another type of floats.
    pub(super) fn cast(&mut self, value: &str, from: Float, to: Float) -> String {
        if from == to {
            return value.into();
        }
        let name = format!("{value}/as_{to:?}").to_lowercase();
        self.g.node("Cast", &name, &[value], &[int("to", to.data_type().into())])
    }

    pub(super) fn cast_once(&mut self, value: &str, from: Float, to: Float) -> String {
        let name = format!("{value}/as_{to:?}").to_lowercase();
        if from != to && !self.quantised.insert(name.clone()) {
            return name;
        }
        self.cast(value, from, to)
    }
}
