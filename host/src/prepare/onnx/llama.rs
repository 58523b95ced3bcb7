//! The Llama family (Llama, Mistral, Qwen2), after transformers' `LlamaForCausalLM` and its kin.

use super::decoder::{Decoder, Layer, Linear, Mlp, Norm, NormKind, Rotary};
use super::encode::{Matrix, Order, Vector};
use crate::model::LlamaConfig;

/// The model with the names of its tensors.
pub(super) fn decoder(config: &LlamaConfig) -> Decoder {
    let (width, vocab) = (config.hidden_size, config.vocab_size);
    let embedding = matrix("embed_tokens.weight", &["embed_tokens.weight"], width, vocab);
    let head = if config.tie_word_embeddings {
        embedding.clone()
    } else {
        matrix("lm_head.weight", &["lm_head.weight"], width, vocab)
    };
    let context = config.max_position_embeddings;
    let (cos, sin) = config.rope.tables(context);
    Decoder {
        width,
        heads: config.num_attention_heads,
        kv_heads: config.num_key_value_heads,
        head_size: config.head_dim,
        vocab,
        embedding,
        positions: None,
        rotary: Some(Rotary { context, cos, sin }),
        layers: (0..config.num_hidden_layers).map(|layer| block(config, layer)).collect(),
        final_norm: norm(config, "norm"),
        head,
    }
}

fn block(config: &LlamaConfig, layer: u32) -> Layer {
    let (width, inner) = (config.hidden_size, config.intermediate_size);
    let queries = config.num_attention_heads * config.head_dim;
    let keys = config.num_key_value_heads * config.head_dim;
    let name = format!("layers.{layer}");
    let linear = |joined: &str, parts: &[&str], inputs, outputs, biased: bool| {
        let weights: Vec<String> = parts.iter().map(|part| format!("{name}.{part}.weight")).collect();
        let biases = parts.iter().map(|part| format!("{name}.{part}.bias")).collect();
        let tensors: Vec<&str> = weights.iter().map(String::as_str).collect();
        Linear {
            matrix: matrix(&format!("{name}.{joined}.weight"), &tensors, inputs, outputs),
            bias: biased.then(|| Vector {
                name: format!("{name}.{joined}.bias"),
                tensors: biases,
                len: outputs,
            }),
        }
    };
    let one = |part: &str, inputs, outputs, biased: bool| linear(part, &[part], inputs, outputs, biased);
    let projections = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"];
    Layer {
        attention_norm: norm(config, &format!("{name}.input_layernorm")),
        qkv: linear("self_attn.qkv_proj", &projections, width, queries + 2 * keys, config.qkv_bias),
        scale: config.attention_scale() as f32,
        window: config.sliding_windows.get(layer as usize).copied().flatten(),
        output: one("self_attn.o_proj", queries, width, config.output_bias),
        mlp_norm: norm(config, &format!("{name}.post_attention_layernorm")),
        mlp: Mlp {
            up: one("mlp.up_proj", width, inner, config.mlp_bias),
            gate: Some(one("mlp.gate_proj", width, inner, config.mlp_bias)),
            activation: config.activation,
            down: one("mlp.down_proj", inner, width, config.mlp_bias),
        },
        name,
    }
}

fn norm(config: &LlamaConfig, name: &str) -> Norm {
    Norm {
        kind: NormKind::Rms,
        weight: Vector::of(&format!("{name}.weight"), config.hidden_size),
        epsilon: config.rms_norm_eps as f32,
    }
}

/// Torch's `Linear` layers side by side: `[outputs, inputs]` each.
fn matrix(name: &str, tensors: &[&str], inputs: u32, outputs: u32) -> Matrix {
    let tensors = tensors.iter().map(ToString::to_string).collect();
    Matrix { name: name.into(), tensors, inputs, outputs, order: Order::OutputsFirst }
}
