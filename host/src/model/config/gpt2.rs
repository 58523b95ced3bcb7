//! GPT-2's part of `config.json`.

use super::{Activation, size};
use serde::Deserialize;

/// GPT-2's hyperparameters, under transformers' names.
#[derive(Debug, Clone, PartialEq)]
pub struct Gpt2Config {
    /// Width.
    pub n_embd: u32,
    /// Number of blocks.
    pub n_layer: u32,
    /// Attention heads of each block; divides `n_embd`.
    pub n_head: u32,
    /// Width of the MLP; `4 * n_embd` where the file says null.
    pub n_inner: u32,
    /// Most positions of one row.
    pub n_positions: u32,
    /// Number of token ids.
    pub vocab_size: u32,
    /// Added to the variance.
    pub layer_norm_epsilon: f64,
    /// Of the MLP.
    pub activation: Activation,
    /// Divide attention scores by the square root of the head size.
    pub scale_attn_weights: bool,
    /// Divide attention scores of block i by i + 1.
    pub scale_attn_by_inverse_layer_idx: bool,
    /// The output head is the token embedding.
    pub tie_word_embeddings: bool,
}

impl Gpt2Config {
    /// Width of one attention head.
    pub const fn head_size(&self) -> u32 {
        self.n_embd / self.n_head
    }

    /// What attention scores of `layer` are multiplied by.
    pub fn attention_scale(&self, layer: u32) -> f64 {
        let by_size = if self.scale_attn_weights { f64::from(self.head_size()).sqrt() } else { 1.0 };
        let by_layer = if self.scale_attn_by_inverse_layer_idx { f64::from(layer + 1) } else { 1.0 };
        1.0 / (by_size * by_layer)
    }
}

/// The keys of interest, absent or null alike. The candle plugin reads the same ones in its own `config`: what is
/// accepted here must open there.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct File {
    n_embd: Option<u32>,
    n_layer: Option<u32>,
    n_head: Option<u32>,
    n_inner: Option<u32>,
    n_positions: Option<u32>,
    vocab_size: Option<u32>,
    layer_norm_epsilon: Option<f64>,
    activation_function: Option<String>,
    scale_attn_weights: Option<bool>,
    scale_attn_by_inverse_layer_idx: Option<bool>,
    tie_word_embeddings: Option<bool>,
    add_cross_attention: Option<bool>,
}

/// Every default is that of transformers' `GPT2Config`.
pub(super) fn read(file: &File) -> Result<Gpt2Config, String> {
    let n_embd = size("n_embd", file.n_embd, 768)?;
    let n_head = size("n_head", file.n_head, 12)?;
    if n_embd % n_head != 0 {
        return Err(format!("n_embd {n_embd} is not divisible by n_head {n_head}"));
    }
    if file.add_cross_attention == Some(true) {
        return Err("add_cross_attention is true; only decoder-only GPT-2 is supported".into());
    }
    let layer_norm_epsilon = file.layer_norm_epsilon.unwrap_or(1e-5);
    if !(0.0..1.0).contains(&layer_norm_epsilon) {
        return Err(format!("layer_norm_epsilon is {layer_norm_epsilon}; it must be at least 0 and below 1"));
    }
    let activation = file.activation_function.as_deref().unwrap_or("gelu_new");
    Ok(Gpt2Config {
        n_embd,
        n_layer: size("n_layer", file.n_layer, 12)?,
        n_head,
        n_inner: size("n_inner", file.n_inner, 4 * n_embd)?,
        n_positions: size("n_positions", file.n_positions, 1024)?,
        vocab_size: size("vocab_size", file.vocab_size, 50_257)?,
        layer_norm_epsilon,
        activation: Activation::named("activation_function", activation)?,
        scale_attn_weights: file.scale_attn_weights.unwrap_or(true),
        scale_attn_by_inverse_layer_idx: file.scale_attn_by_inverse_layer_idx.unwrap_or(false),
        tie_word_embeddings: file.tie_word_embeddings.unwrap_or(true),
    })
}
