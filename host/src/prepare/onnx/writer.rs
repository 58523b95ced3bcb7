//! Writes a decoder down as a graph, for one dialect in one precision.
//!
//! Inputs: `input_ids`, `position_ids` `[batch, sequence]`, `attention_mask` `[batch, total]`,
//! `past_key_values.N.key` and `.value` `[batch, kv_heads, past, head_size]`, and `num_logits_to_keep`, for how many
//! of a row's last positions logits are wanted (0: all). Outputs: `logits` `[batch, kept, vocab]` in 32 bits and the
//! grown `present.N.key` and `.value`. These are the names that optimum gives them.
//!
//! With `GroupQueryAttention` (the `ort` dialect, where the heads' size allows) rows are padded on the right and the
//! cache may grow in place; see [`attention`](super::attention). Else rows are padded on the left.

use super::decoder::{Decoder, Layer, Linear, Mlp};
use super::encode::{Encoding, Float, Order, Recipe};
use super::graph::{Dim, Graph, float, text};
use super::norm::Normed;
use super::observe::Observed;
use super::places::{Kept, Places};
use crate::model::Activation;
use crate::model::onnx::proto::{FLOAT, INT32, INT64};
use crate::prepare::artifact::{Artifact, Dialect, IdType, Precision};
use crate::prepare::calibrate::Ranges;
use std::collections::BTreeSet;

pub(super) const BATCH: Dim = Dim::Named("batch");
pub(super) const SEQUENCE: Dim = Dim::Named("sequence");
const KEPT: Dim = Dim::Named("kept");

/// A graph in the making, and what its parts have to agree on.
pub(super) struct Writer<'a> {
    pub(super) g: Graph,
    pub(super) artifact: &'a Artifact,
    pub(super) decoder: &'a Decoder,
    /// Of activations, where precision and dialect ask for it.
    pub(super) ranges: Option<&'a Ranges>,
    /// Whether attention is `GroupQueryAttention`.
    pub(super) in_place: bool,
    /// What float weights are stored in.
    pub(super) stored: Float,
    /// What products take and give.
    pub(super) compute: Float,
    /// What blocks are added up in.
    pub(super) residual: Float,
    /// Values that have been quantised or cast already.
    pub(super) quantised: BTreeSet<String>,
    /// Every product's input.
    pub(super) observed: Vec<Observed>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(decoder: &'a Decoder, artifact: &'a Artifact, ranges: Option<&'a Ranges>) -> Self {
        let is_ort = artifact.dialect == Dialect::Ort;
        // ONNX Runtime has no bf16 kernels on the CPU: its dialect stores bf16 and computes in 32 bits.
        let (stored, compute, residual) = match (&artifact.precision, is_ort) {
            (Precision::Fp16, true) => (Float::F16, Float::F16, Float::F16),
            (Precision::Fp16, false) => (Float::F16, Float::F16, Float::F32),
            (Precision::Bf16, true) => (Float::Bf16, Float::F32, Float::F32),
            (Precision::Bf16, false) => (Float::Bf16, Float::Bf16, Float::F32),
            // Tables alone; the matrices have an encoding of their own.
            (Precision::Fp8Qdq(_), _) => (Float::F16, Float::F32, Float::F32),
            _ => (Float::F32, Float::F32, Float::F32),
        };
        Self {
            g: Graph::default(),
            artifact,
            decoder,
            ranges,
            in_place: is_ort && decoder.suits_group_query_attention(),
            stored,
            compute,
            residual,
            quantised: BTreeSet::new(),
            observed: Vec::new(),
        }
    }

    /// The whole model, up to its logits.
    pub(super) fn model(mut self) -> Self {
        let hidden = self.body();
        let head = self.decoder.head.clone();
        let name = if self.compute == Float::F32 { "logits" } else { "head" };
        let logits = self.product(name, &hidden, &head);
        if self.compute != Float::F32 {
            let to = super::graph::int("to", FLOAT.into());
            self.g.node("Cast", "logits", &[&logits], &[to]);
        }
        self.g.output("logits", FLOAT, &[BATCH, KEPT, Dim::Fixed(self.decoder.vocab)]);
        // First, as exporters have it.
        self.g.outputs.rotate_right(1);
        self
    }

    /// All blocks; gives what the head takes.
    pub(super) fn body(&mut self) -> String {
        let ids_type = if self.artifact.ids == IdType::Int32 { INT32 } else { INT64 };
        let ids = self.g.input("input_ids", ids_type, &[BATCH, SEQUENCE]);
        let positions = self.g.input("position_ids", ids_type, &[BATCH, SEQUENCE]);
        let places = Places::write(self, ids_type, &positions);
        let mut hidden = self.embed(&ids, &positions);
        let decoder = self.decoder;
        let mut normed = self.norm(&decoder.layers[0].attention_norm, &hidden);
        for (index, layer) in decoder.layers.iter().enumerate() {
            let is_last = index + 1 == decoder.layers.len();
            let qkv = self.linear(&format!("{}.qkv", layer.name), &normed, &layer.qkv);
            let kept = is_last.then(|| places.kept.clone());
            let context = self.attention(index, layer, &qkv, &places, kept.as_ref());
            if let Some(kept) = &kept {
                hidden = self.keep("kept/hidden", &hidden, kept, 1);
            }
            let next = decoder.layers.get(index + 1).map_or(&decoder.final_norm, |next| &next.attention_norm);
            let output = self.product(&format!("{}.attention", layer.name), &context, &layer.output.matrix);
            let half = self.add_norm(&layer.mlp_norm, &hidden, &output, layer.output.bias.as_ref());
            let down = self.mlp(layer, &half.normed);
            let bias = layer.mlp.down.bias.as_ref();
            Normed { sum: hidden, normed } = self.add_norm(next, &half.sum, &down, bias);
        }
        normed
    }

    fn embed(&mut self, ids: &str, positions: &str) -> String {
        let tokens = self.embedding(ids);
        let Some(table) = &self.decoder.positions else { return tokens };
        let recipe = Recipe::matrix(table, Order::OutputsFirst, Encoding::Float(self.stored));
        let weight = self.g.weight(&table.name, recipe);
        let places = self.g.node("Gather", "embeddings/positions", &[&weight, positions], &[]);
        let places = self.cast(&places, self.stored, self.residual);
        self.g.node("Add", "embeddings", &[&tokens, &places], &[])
    }

    /// The feed-forward half, without its last bias.
    fn mlp(&mut self, layer: &Layer, input: &str) -> String {
        let Mlp { up, gate, activation, down } = &layer.mlp;
        let name = |part: &str| format!("{}.mlp.{part}", layer.name);
        let active = match gate {
            None => self.activated(&name("active"), input, up, *activation),
            Some(gate) => {
                let gate = self.activated(&name("gate"), input, gate, *activation);
                let up = self.linear(&name("up"), input, up);
                self.g.node("Mul", &name("active"), &[&gate, &up], &[])
            }
        };
        self.product(&name("down"), &active, &down.matrix)
    }

    /// A linear layer and its activation, one operator where there is one for bias and activation together.
    fn activated(&mut self, name: &str, input: &str, linear: &Linear, activation: Activation) -> String {
        let is_ort = self.artifact.dialect == Dialect::Ort;
        let fused = match activation {
            Activation::Gelu => Some("BiasGelu"),
            Activation::GeluTanh => Some("FastGelu"),
            _ => None,
        };
        if let (Some(op), Some(bias), true) = (fused, &linear.bias, is_ort) {
            let product = self.product(&format!("{name}/product"), input, &linear.matrix);
            let bias = self.vector(bias, self.compute);
            return self.g.contrib(op, name, &[&product, &bias], &[]);
        }
        let value = self.linear(&format!("{name}/linear"), input, linear);
        let g = &mut self.g;
        match activation {
            Activation::Gelu => g.node("Gelu", name, &[&value], &[]),
            Activation::GeluTanh => g.node("Gelu", name, &[&value], &[text("approximate", "tanh")]),
            // ONNX Runtime's optimiser drops a Relu before a zero point of 0, which it takes for the least of unsigned bytes.
            Activation::Relu if is_ort && matches!(self.artifact.precision, Precision::Fp8Qdq(_)) => {
                let zero = g.float("zero", 0.0);
                g.node("Max", name, &[&value, &zero], &[])
            }
            Activation::Relu => g.node("Relu", name, &[&value], &[]),
            Activation::Tanh => g.node("Tanh", name, &[&value], &[]),
            // x times its sigmoid.
            Activation::Silu if is_ort => g.contrib("QuickGelu", name, &[&value], &[float("alpha", 1.0)]),
            Activation::Silu => {
                let gate = g.node("Sigmoid", &format!("{name}/sigmoid"), &[&value], &[]);
                g.node("Mul", name, &[&value, &gate], &[])
            }
        }
    }

    /// Of `value`, the positions whose logits are wanted; `axis` is that of positions where they are a range.
    pub(super) fn keep(&mut self, name: &str, value: &str, kept: &Kept, axis: i64) -> String {
        match kept {
            Kept::From(from) => {
                let end = self.g.integers("end", &[i64::MAX]);
                let axes = self.g.integers(&format!("[{axis}]"), &[axis]);
                self.g.node("Slice", name, &[value, from, &end, &axes], &[])
            }
            Kept::At(indices) => {
                let one = [super::graph::int("batch_dims", 1)];
                self.g.node("GatherND", name, &[value, indices], &one)
            }
        }
    }
}
