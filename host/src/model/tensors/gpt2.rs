//! GPT-2's tensors, without the `transformer.` prefix.

use super::TensorSpec;
use crate::model::Gpt2Config;

/// Every parameter of the model with its first `layers` layers, a tied head once. Linear layers are `Conv1D`:
/// `[inputs, outputs]`.
pub(super) fn tensors(config: &Gpt2Config, layers: u32) -> Vec<TensorSpec> {
    let &Gpt2Config { n_embd: width, n_inner: inner, vocab_size: vocab, .. } = config;
    let mut list = vec![
        TensorSpec::new("wte.weight", &[vocab, width]),
        TensorSpec::new("wpe.weight", &[config.n_positions, width]),
    ];
    for layer in 0..layers {
        let block: [(&str, &[u32]); 12] = [
            ("ln_1.weight", &[width]),
            ("ln_1.bias", &[width]),
            ("attn.c_attn.weight", &[width, 3 * width]),
            ("attn.c_attn.bias", &[3 * width]),
            ("attn.c_proj.weight", &[width, width]),
            ("attn.c_proj.bias", &[width]),
            ("ln_2.weight", &[width]),
            ("ln_2.bias", &[width]),
            ("mlp.c_fc.weight", &[width, inner]),
            ("mlp.c_fc.bias", &[inner]),
            ("mlp.c_proj.weight", &[inner, width]),
            ("mlp.c_proj.bias", &[width]),
        ];
        list.extend(block.map(|(name, shape)| TensorSpec::new(format!("h.{layer}.{name}"), shape)));
    }
    list.push(TensorSpec::new("ln_f.weight", &[width]));
    list.push(TensorSpec::new("ln_f.bias", &[width]));
    if !config.tie_word_embeddings {
        list.push(TensorSpec::new("lm_head.weight", &[vocab, width]));
    }
    list
}

/// The number of parameters.
pub(super) fn parameters(config: &Gpt2Config) -> u128 {
    let [width, inner, vocab, context, layers] =
        [config.n_embd, config.n_inner, config.vocab_size, config.n_positions, config.n_layer]
            .map(u128::from);
    let block = 4 * width * width + 2 * width * inner + 9 * width + inner;
    let head = if config.tie_word_embeddings { 0 } else { vocab * width };
    vocab * width + context * width + layers * block + 2 * width + head
}
