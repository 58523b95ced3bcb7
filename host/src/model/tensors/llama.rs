//! The Llama family's tensors, without the `model.` prefix. Linear layers are `[outputs, inputs]`.

use super::TensorSpec;
use crate::model::LlamaConfig;

/// Every parameter of the model with its first `layers` layers, a tied head once.
pub(super) fn tensors(config: &LlamaConfig, layers: u32) -> Vec<TensorSpec> {
    let &LlamaConfig { hidden_size: width, vocab_size: vocab, .. } = config;
    let mut list = vec![TensorSpec::new("embed_tokens.weight", &[vocab, width])];
    for layer in 0..layers {
        let at = |name: &str| format!("layers.{layer}.{name}");
        list.push(TensorSpec::new(at("input_layernorm.weight"), &[width]));
        for (name, [outputs, inputs], has_bias) in linears(config) {
            list.push(TensorSpec::new(at(&format!("{name}.weight")), &[outputs, inputs]));
            if has_bias {
                list.push(TensorSpec::new(at(&format!("{name}.bias")), &[outputs]));
            }
        }
        list.push(TensorSpec::new(at("post_attention_layernorm.weight"), &[width]));
    }
    list.push(TensorSpec::new("norm.weight", &[width]));
    if !config.tie_word_embeddings {
        list.push(TensorSpec::new("lm_head.weight", &[vocab, width]));
    }
    list
}

/// The linear layers of one layer: name, shape, and whether there is a bias.
fn linears(config: &LlamaConfig) -> [(&'static str, [u32; 2], bool); 7] {
    let (width, inner) = (config.hidden_size, config.intermediate_size);
    let queries = config.num_attention_heads * config.head_dim;
    let keys = config.num_key_value_heads * config.head_dim;
    [
        ("self_attn.q_proj", [queries, width], config.qkv_bias),
        ("self_attn.k_proj", [keys, width], config.qkv_bias),
        ("self_attn.v_proj", [keys, width], config.qkv_bias),
        ("self_attn.o_proj", [width, queries], config.output_bias),
        ("mlp.gate_proj", [inner, width], config.mlp_bias),
        ("mlp.up_proj", [inner, width], config.mlp_bias),
        ("mlp.down_proj", [width, inner], config.mlp_bias),
    ]
}

/// The number of parameters.
pub(super) fn parameters(config: &LlamaConfig) -> u128 {
    let [width, vocab, layers] =
        [config.hidden_size, config.vocab_size, config.num_hidden_layers].map(u128::from);
    let linear = |(_, [outputs, inputs], has_bias): (&str, [u32; 2], bool)| {
        let (outputs, inputs) = (u128::from(outputs), u128::from(inputs));
        outputs * inputs + if has_bias { outputs } else { 0 }
    };
    let layer = linears(config).into_iter().map(linear).sum::<u128>() + 2 * width;
    let head = if config.tie_word_embeddings { 0 } else { vocab * width };
    vocab * width + layers * layer + width + head
}
