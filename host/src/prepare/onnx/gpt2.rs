//! GPT-2 as a decoder graph, after transformers' `GPT2LMHeadModel` with eager attention.
//!
//! Inputs: `input_ids`, `position_ids` `[batch, sequence]`, `attention_mask` `[batch, past + sequence]`,
//! `past_key_values.N.key` and `.value` `[batch, heads, past, head_size]`, and `num_logits_to_keep`, for how many
//! of the last positions logits are wanted (0: all). Outputs: `logits` `[batch, kept, vocab]` and the grown
//! `present.N.key` and `.value`. These are the names that optimum gives them.
//!
//! Rows are padded on the left. A padded position attends to nothing: its values mean nothing, but they are
//! finite, and no other position looks at them.

use super::graph::{Dim, Graph, float, int, ints, text};
use crate::model::onnx::proto::{FLOAT, INT64};
use crate::model::{Activation, Gpt2Config};

const BATCH: Dim = Dim::Named("batch");
const SEQUENCE: Dim = Dim::Named("sequence");
const PAST: Dim = Dim::Named("past_sequence");
const TOTAL: Dim = Dim::Named("past_sequence + sequence");
const KEPT: Dim = Dim::Named("kept");
/// `onnx.TensorProto.BOOL`, for `Cast`.
const BOOL: i64 = 9;
/// An end for `Slice` beyond any length.
const TO_THE_END: i64 = i64::MAX;

/// The whole model.
pub(super) fn graph(config: &Gpt2Config) -> Graph {
    let mut graph = Graph::default();
    let g = &mut graph;
    let mut hidden = embeddings(g, config);
    let mut bias = attention_bias(g);
    let kept_from = kept_from(g);
    for layer in 0..config.n_layer {
        let block = Block { g, config, layer };
        let last = layer + 1 == config.n_layer;
        (hidden, bias) = block.build(hidden, bias, last.then_some(kept_from.as_str()));
    }
    head(g, config, &hidden);
    graph
}

fn embeddings(g: &mut Graph, config: &Gpt2Config) -> String {
    let ids = g.input("input_ids", INT64, &[BATCH, SEQUENCE]);
    let positions = g.input("position_ids", INT64, &[BATCH, SEQUENCE]);
    let wte = g.weight("wte.weight", &[config.vocab_size, config.n_embd]);
    let wpe = g.weight("wpe.weight", &[config.n_positions, config.n_embd]);
    let tokens = g.node("Gather", "wte", &[&wte, &ids], &[]);
    let places = g.node("Gather", "wpe", &[&wpe, &positions], &[]);
    g.node("Add", "embeddings", &[&tokens, &places], &[])
}

/// 0 where a query may look at a key, else the lowest float: `[batch, 1, sequence, past + sequence]`. The lowest
/// float and not -inf, so that the softmax over a padded query's row is uniform and not NaN.
fn attention_bias(g: &mut Graph) -> String {
    let mask = g.input("attention_mask", INT64, &[BATCH, TOTAL]);
    let dimension_1 = [int("start", 1), int("end", 2)];
    let zero = g.integer("0", 0);
    let one = g.integer("1", 1);
    let axis_0 = g.integers("[0]", &[0]);
    let axis_1 = g.integers("[1]", &[1]);
    let total = g.node("Shape", "mask/total", &[&mask], &dimension_1);
    let sequence = g.node("Shape", "mask/sequence", &["input_ids"], &dimension_1);
    let past = g.node("Sub", "mask/past", &[&total, &sequence], &[]);
    let count = g.node("Squeeze", "mask/count", &[&total], &[]);
    let keys = g.node("Range", "mask/keys", &[&zero, &count, &one], &[]);
    let last = g.node("Slice", "mask/last", &[&keys, &past, &total, &axis_0], &[]);
    let queries = g.node("Unsqueeze", "mask/queries", &[&last, &axis_1], &[]);
    let causal = g.node("LessOrEqual", "mask/causal", &[&keys, &queries], &[]);
    let rows = g.integers("[1, 2]", &[1, 2]);
    let real = g.node("Cast", "mask/real", &[&mask], &[int("to", BOOL)]);
    let real = g.node("Unsqueeze", "mask/real_keys", &[&real, &rows], &[]);
    let allowed = g.node("And", "mask/allowed", &[&causal, &real], &[]);
    let open = g.float("open", 0.0);
    let closed = g.float("closed", f32::MIN);
    g.node("Where", "mask/bias", &[&allowed, &open, &closed], &[])
}

/// Where the last `num_logits_to_keep` positions start, counted from the end; 0, the beginning, for all.
fn kept_from(g: &mut Graph) -> String {
    let keep = g.input("num_logits_to_keep", INT64, &[]);
    let axis_0 = g.integers("[0]", &[0]);
    let negative = g.node("Neg", "kept/negative", &[&keep], &[]);
    g.node("Unsqueeze", "kept/from", &[&negative, &axis_0], &[])
}

fn keep(g: &mut Graph, name: &str, value: &str, from: &str, axis: i64) -> String {
    let end = g.integers("end", &[TO_THE_END]);
    let axes = g.integers(&format!("[{axis}]"), &[axis]);
    g.node("Slice", name, &[value, from, &end, &axes], &[])
}

fn layer_norm(g: &mut Graph, config: &Gpt2Config, name: &str, value: &str) -> String {
    let weight = g.weight(&format!("{name}.weight"), &[config.n_embd]);
    let bias = g.weight(&format!("{name}.bias"), &[config.n_embd]);
    let epsilon = float("epsilon", config.layer_norm_epsilon as f32);
    g.node("LayerNormalization", name, &[value, &weight, &bias], &[int("axis", -1), epsilon])
}

/// Transformers' `Conv1D`: a linear layer whose weight is `[inputs, outputs]`, as `MatMul` wants it.
fn linear(g: &mut Graph, name: &str, value: &str, inputs: u32, outputs: u32) -> String {
    let weight = g.weight(&format!("{name}.weight"), &[inputs, outputs]);
    let bias = g.weight(&format!("{name}.bias"), &[outputs]);
    let product = g.node("MatMul", &format!("{name}/product"), &[value, &weight], &[]);
    g.node("Add", name, &[&product, &bias], &[])
}

struct Block<'a> {
    g: &'a mut Graph,
    config: &'a Gpt2Config,
    layer: u32,
}

impl Block<'_> {
    fn name(&self, part: &str) -> String {
        format!("h.{}.{part}", self.layer)
    }

    /// Attention and MLP, each added to `hidden`. In the last block, positions whose logits nobody wants are
    /// dropped as soon as their keys and values are stored; the attention bias shrinks with them.
    fn build(mut self, hidden: String, bias: String, kept_from: Option<&str>) -> (String, String) {
        let width = self.config.n_embd;
        let normed = layer_norm(self.g, self.config, &self.name("ln_1"), &hidden);
        let [query, key, value] = self.query_key_value(&normed);
        let (query, hidden, bias) = match kept_from {
            None => (query, hidden, bias),
            Some(from) => (
                keep(self.g, "kept/query", &query, from, 2),
                keep(self.g, "kept/hidden", &hidden, from, 1),
                keep(self.g, "kept/bias", &bias, from, 2),
            ),
        };
        let context = self.attention(&query, &key, &value, &bias);
        let projected = linear(self.g, &self.name("attn.c_proj"), &context, width, width);
        let hidden = self.g.node("Add", &self.name("attn.residual"), &[&hidden, &projected], &[]);
        let normed = layer_norm(self.g, self.config, &self.name("ln_2"), &hidden);
        let inner = self.config.n_inner;
        let wide = linear(self.g, &self.name("mlp.c_fc"), &normed, width, inner);
        let active = self.activation(&wide);
        let narrow = linear(self.g, &self.name("mlp.c_proj"), &active, inner, width);
        let hidden = self.g.node("Add", &self.name("mlp.residual"), &[&hidden, &narrow], &[]);
        (hidden, bias)
    }

    /// `[batch, heads, sequence, head_size]` each. One transposition serves all three: seen as 3 x heads heads,
    /// the columns of `c_attn` are the queries' heads, then the keys', then the values'.
    fn query_key_value(&mut self, normed: &str) -> [String; 3] {
        let (width, heads) = (self.config.n_embd, i64::from(self.config.n_head));
        let joined = linear(self.g, &self.name("attn.c_attn"), normed, width, 3 * width);
        let shape = self.g.integers("split_heads", &[0, 0, 3 * heads, self.config.head_size().into()]);
        let split = self.g.node("Reshape", &self.name("attn.split"), &[&joined, &shape], &[]);
        let by_head =
            self.g.node("Transpose", &self.name("attn.by_head"), &[&split], &[ints("perm", &[0, 2, 1, 3])]);
        let sizes = self.g.integers("query_key_value", &[heads; 3]);
        let parts = ["query", "key", "value"].map(|part| self.name(&format!("attn.{part}")));
        let outputs = parts.each_ref().map(String::as_str);
        let name = self.name("attn.query_key_value");
        self.g.node_with_outputs("Split", &name, &[&by_head, &sizes], &[int("axis", 1)], &outputs);
        parts
    }

    /// Softmax of scaled scores over past and present keys, times their values; heads joined again.
    fn attention(&mut self, query: &str, key: &str, value: &str, bias: &str) -> String {
        let keys = self.grow("key", key);
        let values = self.grow("value", value);
        let scale = self.config.attention_scale(self.layer) as f32;
        let scale = self.g.float(&self.scale_name(), scale);
        let query = self.g.node("Mul", &self.name("attn.scaled"), &[query, &scale], &[]);
        let perm = ints("perm", &[0, 1, 3, 2]);
        let keys = self.g.node("Transpose", &self.name("attn.keys"), &[&keys], &[perm]);
        let scores = self.g.node("MatMul", &self.name("attn.scores"), &[&query, &keys], &[]);
        let biased = self.g.node("Add", &self.name("attn.masked"), &[&scores, bias], &[]);
        let weights = self.g.node("Softmax", &self.name("attn.weights"), &[&biased], &[int("axis", -1)]);
        let context = self.g.node("MatMul", &self.name("attn.context"), &[&weights, &values], &[]);
        let perm = ints("perm", &[0, 2, 1, 3]);
        let by_position = self.g.node("Transpose", &self.name("attn.by_position"), &[&context], &[perm]);
        let shape = self.g.integers("join_heads", &[0, 0, self.config.n_embd.into()]);
        self.g.node("Reshape", &self.name("attn.joined"), &[&by_position, &shape], &[])
    }

    fn scale_name(&self) -> String {
        if self.config.scale_attn_by_inverse_layer_idx { self.name("attn.scale") } else { "scale".into() }
    }

    /// Appends this call's keys or values to the cache.
    fn grow(&mut self, part: &str, new: &str) -> String {
        let (layer, heads) = (self.layer, Dim::Fixed(self.config.n_head));
        let size = Dim::Fixed(self.config.head_size());
        let past = format!("past_key_values.{layer}.{part}");
        let past = self.g.input(&past, FLOAT, &[BATCH, heads, PAST, size]);
        let present = format!("present.{layer}.{part}");
        self.g.output(&present, FLOAT, &[BATCH, heads, TOTAL, size]);
        self.g.node("Concat", &present, &[&past, new], &[int("axis", 2)])
    }

    fn activation(&mut self, value: &str) -> String {
        let name = self.name("mlp.active");
        match self.config.activation {
            Activation::Gelu => self.g.node("Gelu", &name, &[value], &[]),
            Activation::GeluTanh => self.g.node("Gelu", &name, &[value], &[text("approximate", "tanh")]),
            Activation::Relu => self.g.node("Relu", &name, &[value], &[]),
            Activation::Tanh => self.g.node("Tanh", &name, &[value], &[]),
            Activation::Silu => {
                let gate = self.g.node("Sigmoid", &self.name("mlp.gate"), &[value], &[]);
                self.g.node("Mul", &name, &[value, &gate], &[])
            }
        }
    }
}

/// The head's weight is `[vocab, width]`, tied or not: `Gemm` reads it transposed, so a tied embedding is stored
/// once and serves `Gather` too.
fn head(g: &mut Graph, config: &Gpt2Config, hidden: &str) {
    let (vocab, width) = (config.vocab_size, config.n_embd);
    let normed = layer_norm(g, config, "ln_f", hidden);
    let name = if config.tie_word_embeddings { "wte.weight" } else { "lm_head.weight" };
    let weight = g.weight(name, &[vocab, width]);
    let flat = g.integers("flat", &[-1, width.into()]);
    let rows = g.node("Reshape", "head/rows", &[&normed, &flat], &[]);
    let scores = g.node("Gemm", "head/scores", &[&rows, &weight], &[int("transB", 1)]);
    let outer = g.node("Shape", "head/outer", &[&normed], &[int("end", 2)]);
    let vocab_size = g.integers("vocab_size", &[vocab.into()]);
    let shape = g.node("Concat", "head/shape", &[&outer, &vocab_size], &[int("axis", 0)]);
    g.node("Reshape", "logits", &[&scores, &shape], &[]);
    g.output("logits", FLOAT, &[BATCH, KEPT, Dim::Fixed(vocab)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Architecture;
    use crate::model::synthetic::SyntheticSpec;
    use std::collections::BTreeSet;

    fn config() -> Gpt2Config {
        let spec: SyntheticSpec = "gpt2?layers=2&embd=6&heads=3&vocab=11&ctx=5&inner=7".parse().unwrap();
        let Architecture::Gpt2(config) = spec.architecture() else { panic!("not GPT-2") };
        config
    }

    #[test]
    fn every_value_is_made_once_before_it_is_used() {
        for tie_word_embeddings in [true, false] {
            for activation in [Activation::GeluTanh, Activation::Silu] {
                let graph = graph(&Gpt2Config { tie_word_embeddings, activation, ..config() });
                let inputs = graph.inputs.iter().map(|input| input.name.clone().unwrap());
                let initializers = graph.initializers.iter().map(|one| one.name.clone());
                let mut known: BTreeSet<String> = inputs.chain(initializers).collect();
                for node in &graph.nodes {
                    assert!(node.input.iter().all(|input| known.contains(input)), "{node:?}");
                    assert!(node.output.iter().all(|output| known.insert(output.clone())), "{node:?}");
                }
                assert!(graph.outputs.iter().all(|output| known.contains(output.name.as_ref().unwrap())));
            }
        }
    }

    #[test]
    fn weights_are_the_models_tensors() {
        for tie_word_embeddings in [true, false] {
            let config = Gpt2Config { tie_word_embeddings, ..config() };
            assert_eq!(u128::from(graph(&config).parameters()), crate::model::gpt2_parameters(&config));
        }
    }

    #[test]
    fn shape_arithmetic_does_not_grow_with_depth() {
        let count = |n_layer| graph(&Gpt2Config { n_layer, ..config() }).operators();
        let (two, four) = (count(2), count(4));
        for op in ["Shape", "Unsqueeze", "Slice", "Where", "Range", "Cast"] {
            assert_eq!(two[op], four[op], "{op}");
        }
        let per_layer = (four.values().sum::<u32>() - two.values().sum::<u32>()) / 2;
        assert_eq!(per_layer, 26);
    }
}
