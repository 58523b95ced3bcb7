//! GPT-2, after transformers' `GPT2LMHeadModel`.

use super::decoder::{Decoder, Layer, Linear, Mlp, Norm, NormKind};
use super::encode::{Matrix, Order, Vector};
use crate::model::Gpt2Config;

/// The model with the names of its tensors.
pub(super) fn decoder(config: &Gpt2Config) -> Decoder {
    let width = config.n_embd;
    let embedding = table("wte.weight", config.vocab_size, width);
    let head = if config.tie_word_embeddings {
        embedding.clone()
    } else {
        table("lm_head.weight", config.vocab_size, width)
    };
    Decoder {
        width,
        heads: config.n_head,
        kv_heads: config.n_head,
        head_size: config.head_size(),
        vocab: config.vocab_size,
        embedding,
        positions: Some(table("wpe.weight", config.n_positions, width)),
        rotary: None,
        layers: (0..config.n_layer).map(|layer| block(config, layer)).collect(),
        final_norm: norm(config, "ln_f"),
        head,
    }
}

fn block(config: &Gpt2Config, layer: u32) -> Layer {
    let (width, inner) = (config.n_embd, config.n_inner);
    let name = format!("h.{layer}");
    let linear = |part: &str, inputs, outputs| conv_1d(&format!("{name}.{part}"), inputs, outputs);
    Layer {
        attention_norm: norm(config, &format!("{name}.ln_1")),
        qkv: linear("attn.c_attn", width, 3 * width),
        scale: config.attention_scale(layer) as f32,
        window: None,
        output: linear("attn.c_proj", width, width),
        mlp_norm: norm(config, &format!("{name}.ln_2")),
        mlp: Mlp {
            up: linear("mlp.c_fc", width, inner),
            gate: None,
            activation: config.activation,
            down: linear("mlp.c_proj", inner, width),
        },
        name,
    }
}

fn norm(config: &Gpt2Config, name: &str) -> Norm {
    let width = config.n_embd;
    Norm {
        kind: NormKind::Layer(Vector::of(&format!("{name}.bias"), width)),
        weight: Vector::of(&format!("{name}.weight"), width),
        epsilon: config.layer_norm_epsilon as f32,
    }
}

/// Transformers' `Conv1D`: a linear layer whose weight is `[inputs, outputs]`.
fn conv_1d(name: &str, inputs: u32, outputs: u32) -> Linear {
    let weight = format!("{name}.weight");
    Linear {
        matrix: Matrix {
            tensors: vec![weight.clone()],
            name: weight,
            inputs,
            outputs,
            order: Order::InputsFirst,
        },
        bias: Some(Vector::of(&format!("{name}.bias"), outputs)),
    }
}

fn table(name: &str, rows: u32, width: u32) -> Matrix {
    Matrix {
        name: name.into(),
        tensors: vec![name.into()],
        inputs: width,
        outputs: rows,
        order: Order::OutputsFirst,
    }
}
