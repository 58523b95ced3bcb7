//! GPT-2 in any size, and the study's sizes by name.

use super::spec::{divides, size};
use crate::model::{Activation, Gpt2Config};
use serde::Serialize;

/// A size of GPT-2; the MLP is four times as wide as the model where `inner` is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gpt2Shape {
    layers: u32,
    embd: u32,
    heads: u32,
    vocab: u32,
    ctx: u32,
    inner: Option<u32>,
}

impl Gpt2Shape {
    pub(super) const KEYS: [&str; 6] = ["layers", "embd", "heads", "vocab", "ctx", "inner"];
    /// GPT-2's 124M.
    pub(super) const DEFAULT: Self = Self::sized(12, 768, 12);
    /// All have GPT-2's vocabulary and context.
    pub(super) const NAMED: [(&str, Self); 9] = [
        ("tiny-gpt2", Self::sized(2, 2, 2)),
        ("gpt2-5m", Self::sized(1, 96, 3)),
        ("gpt2-25m", Self::sized(3, 384, 6)),
        ("gpt2-45m", Self::sized(6, 512, 8)),
        ("gpt2-50m", Self::sized(8, 512, 8)),
        ("gpt2-75m", Self::sized(5, 768, 12)),
        ("gpt2-100m", Self::sized(8, 768, 12)),
        ("gpt2-124m", Self::sized(12, 768, 12)),
        ("gpt2-xl", Self::sized(48, 1600, 25)),
    ];

    const fn sized(layers: u32, embd: u32, heads: u32) -> Self {
        Self { layers, embd, heads, vocab: 50_257, ctx: 1024, inner: None }
    }

    /// Sets one of [`KEYS`](Self::KEYS).
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let size = size(key, value)?;
        match key {
            "layers" => self.layers = size,
            "embd" => self.embd = size,
            "heads" => self.heads = size,
            "vocab" => self.vocab = size,
            "ctx" => self.ctx = size,
            _ => self.inner = Some(size),
        }
        Ok(())
    }

    pub(super) fn check(&self) -> Result<(), String> {
        divides(("heads", self.heads), ("embd", self.embd))
    }

    pub(super) fn config(&self) -> Gpt2Config {
        Gpt2Config {
            n_embd: self.embd,
            n_layer: self.layers,
            n_head: self.heads,
            n_inner: self.inner.unwrap_or(self.embd.saturating_mul(4)),
            n_positions: self.ctx,
            vocab_size: self.vocab,
            layer_norm_epsilon: 1e-5,
            activation: Activation::GeluTanh,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
            tie_word_embeddings: true,
        }
    }

    /// Unique per content, so that a name and its keys share one folder.
    pub(super) fn folder_name(&self) -> String {
        let Self { layers, embd, heads, vocab, ctx, .. } = self;
        format!("gpt2-l{layers}-e{embd}-h{heads}-v{vocab}-c{ctx}-i{}", self.config().n_inner)
    }

    /// As `GPT2Config.save_pretrained` would write it.
    pub(super) fn config_file(&self) -> impl Serialize + use<> {
        let config = self.config();
        ConfigFile {
            activation_function: "gelu_new",
            architectures: ["GPT2LMHeadModel"],
            attn_pdrop: 0.0,
            bos_token_id: config.vocab_size - 1,
            dtype: "float32",
            embd_pdrop: 0.0,
            eos_token_id: config.vocab_size - 1,
            initializer_range: 0.02,
            layer_norm_epsilon: config.layer_norm_epsilon,
            model_type: "gpt2",
            n_embd: config.n_embd,
            n_head: config.n_head,
            n_inner: config.n_inner,
            n_layer: config.n_layer,
            n_positions: config.n_positions,
            resid_pdrop: 0.0,
            scale_attn_by_inverse_layer_idx: config.scale_attn_by_inverse_layer_idx,
            scale_attn_weights: config.scale_attn_weights,
            tie_word_embeddings: config.tie_word_embeddings,
            vocab_size: config.vocab_size,
        }
    }
}

#[derive(Serialize)]
struct ConfigFile {
    activation_function: &'static str,
    architectures: [&'static str; 1],
    attn_pdrop: f32,
    bos_token_id: u32,
    dtype: &'static str,
    embd_pdrop: f32,
    eos_token_id: u32,
    initializer_range: f64,
    layer_norm_epsilon: f64,
    model_type: &'static str,
    n_embd: u32,
    n_head: u32,
    n_inner: u32,
    n_layer: u32,
    n_positions: u32,
    resid_pdrop: f32,
    scale_attn_by_inverse_layer_idx: bool,
    scale_attn_weights: bool,
    tie_word_embeddings: bool,
    vocab_size: u32,
}
