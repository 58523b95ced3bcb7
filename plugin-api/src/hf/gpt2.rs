//! GPT-2's keys.

use super::config::{Activation, Heads, activation, size};
use crate::Error;
use serde::Deserialize;

/// The shape of a GPT-2 model.
#[derive(Debug, Clone)]
pub struct Gpt2Config {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Most positions of one row; rows of the position embedding.
    pub n_positions: usize,
    /// Width of the states, a multiple of `n_head`.
    pub n_embd: usize,
    /// Number of layers.
    pub n_layer: usize,
    /// Heads of every layer.
    pub n_head: usize,
    /// Width inside the feed-forward layers.
    pub n_inner: usize,
    /// The key `activation_function`.
    pub activation: Activation,
    /// What layer norms add to the variance.
    pub layer_norm_epsilon: f64,
    /// Whether the head is the token embedding.
    pub tie_word_embeddings: bool,
    scale_attn_weights: bool,
    scale_attn_by_inverse_layer_idx: bool,
}

/// As written, absent and null alike.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Written {
    vocab_size: Option<u32>,
    n_positions: Option<u32>,
    n_embd: Option<u32>,
    n_layer: Option<u32>,
    n_head: Option<u32>,
    n_inner: Option<u32>,
    activation_function: Option<String>,
    layer_norm_epsilon: Option<f64>,
    tie_word_embeddings: Option<bool>,
    scale_attn_weights: Option<bool>,
    scale_attn_by_inverse_layer_idx: Option<bool>,
    add_cross_attention: Option<bool>,
}

impl Gpt2Config {
    /// Every default is that of transformers' `GPT2Config`.
    pub(super) fn resolve(written: &Written) -> Result<Self, Error> {
        if written.add_cross_attention == Some(true) {
            return Err(Error::unsupported(
                "add_cross_attention is true, but only decoders alone are supported",
            ));
        }
        let n_embd = size("n_embd", written.n_embd, 768)?;
        let n_head = size("n_head", written.n_head, 12)?;
        if n_embd % n_head != 0 {
            return Err(Error::invalid(format!("n_embd {n_embd} is not a multiple of n_head {n_head}")));
        }
        let layer_norm_epsilon = written.layer_norm_epsilon.unwrap_or(1e-5);
        if !(0.0..1.0).contains(&layer_norm_epsilon) {
            return Err(Error::invalid(format!(
                "layer_norm_epsilon is {layer_norm_epsilon}, expected at least 0 and below 1"
            )));
        }
        let activation_function = written.activation_function.as_deref().unwrap_or("gelu_new");
        Ok(Self {
            vocab_size: size("vocab_size", written.vocab_size, 50_257)?,
            n_positions: size("n_positions", written.n_positions, 1024)?,
            n_embd,
            n_layer: size("n_layer", written.n_layer, 12)?,
            n_head,
            n_inner: size("n_inner", written.n_inner, 4 * n_embd as u32)?,
            activation: activation("activation_function", activation_function)?,
            layer_norm_epsilon,
            tie_word_embeddings: written.tie_word_embeddings.unwrap_or(true),
            scale_attn_weights: written.scale_attn_weights.unwrap_or(true),
            scale_attn_by_inverse_layer_idx: written.scale_attn_by_inverse_layer_idx.unwrap_or(false),
        })
    }

    /// The heads of every layer, as many of keys as of queries.
    pub fn heads(&self) -> Heads {
        Heads { queries: self.n_head, keys: self.n_head, width: self.head_dim() }
    }

    /// The width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.n_embd / self.n_head
    }

    /// What the attention scores of layer `layer` are multiplied with.
    pub fn attention_scale(&self, layer: usize) -> f64 {
        let by_width = if self.scale_attn_weights { (self.head_dim() as f64).sqrt() } else { 1.0 };
        let by_layer = if self.scale_attn_by_inverse_layer_idx { (layer + 1) as f64 } else { 1.0 };
        1.0 / (by_width * by_layer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use serde_json::json;

    fn resolve(config: serde_json::Value) -> Result<Gpt2Config, Error> {
        Gpt2Config::resolve(&serde_json::from_value(config).unwrap())
    }

    #[test]
    fn absent_keys_have_the_defaults_of_transformers() {
        let config = resolve(json!({"n_embd": null})).unwrap();
        assert_eq!((config.n_inner, config.head_dim(), config.n_positions), (3072, 64, 1024));
        assert_eq!(config.activation, Activation::GeluTanh);
        assert_eq!(config.attention_scale(3), 0.125);
    }

    #[test]
    fn attention_scales_multiply() {
        let both = json!({"scale_attn_by_inverse_layer_idx": true});
        assert_eq!(resolve(both).unwrap().attention_scale(3), 0.125 / 4.0);
        let none = json!({"scale_attn_weights": false});
        assert_eq!(resolve(none).unwrap().attention_scale(3), 1.0);
    }

    #[test]
    fn what_cannot_run_is_refused() {
        let kind = |config| resolve(config).unwrap_err().kind;
        assert_eq!(kind(json!({"activation_function": "mish"})), ErrorKind::Unsupported);
        assert_eq!(kind(json!({"n_head": 7})), ErrorKind::InvalidInput);
        assert_eq!(kind(json!({"n_layer": 0})), ErrorKind::InvalidInput);
        assert_eq!(kind(json!({"layer_norm_epsilon": 1})), ErrorKind::InvalidInput);
    }
}
