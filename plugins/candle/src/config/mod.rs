//! A GPT-2 `config.json`, with transformers' defaults for the keys it leaves out and clear words for what this
//! plugin cannot run.

use inferhost_plugin_api::Error;
use serde::Deserialize;
use std::path::Path;

/// The activation of the feed-forward layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x Φ(x), with the error function.
    GeluErf,
    /// The tanh approximation of Hendrycks and Gimpel (2016), "Gaussian Error Linear Units".
    GeluTanh,
    Relu,
    Silu,
    Tanh,
}

/// The shape of a model.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) vocab_size: usize,
    pub(crate) n_positions: usize,
    pub(crate) n_embd: usize,
    pub(crate) n_layer: usize,
    pub(crate) n_head: usize,
    pub(crate) n_inner: usize,
    pub(crate) activation: Activation,
    pub(crate) layer_norm_epsilon: f64,
    pub(crate) tie_word_embeddings: bool,
    scale_attn_weights: bool,
    scale_attn_by_inverse_layer_idx: bool,
}

/// As written, absent and null alike. The host reads the same keys in `host/src/model/config.rs`; what it accepts
/// must open here.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Written {
    model_type: Option<String>,
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

impl Config {
    /// Reads `folder/config.json`.
    ///
    /// # Errors
    /// `InvalidInput` for a file that is missing or malformed, `Unsupported` for another family.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("config.json");
        let at = path.display();
        let text = std::fs::read_to_string(&path)
            .map_err(|e| Error::invalid(format!("{at}: {e}; give a Hugging Face model folder")))?;
        let written: Written =
            serde_json::from_str(&text).map_err(|e| Error::invalid(format!("{at}: {e}")))?;
        Self::resolve(&written).map_err(|e| Error::new(e.kind, format!("{at}: {}", e.message)))
    }

    /// Every default is that of transformers' `GPT2Config`.
    fn resolve(written: &Written) -> Result<Self, Error> {
        if written.model_type.as_deref() != Some("gpt2") {
            let found = written.model_type.as_deref().unwrap_or_default();
            return Err(Error::unsupported(format!(
                "model_type is {found:?}, but candle's plugin runs \"gpt2\""
            )));
        }
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
        Ok(Self {
            vocab_size: size("vocab_size", written.vocab_size, 50_257)?,
            n_positions: size("n_positions", written.n_positions, 1024)?,
            n_embd,
            n_layer: size("n_layer", written.n_layer, 12)?,
            n_head,
            n_inner: size("n_inner", written.n_inner, 4 * n_embd as u32)?,
            activation: activation(written.activation_function.as_deref().unwrap_or("gelu_new"))?,
            layer_norm_epsilon,
            tie_word_embeddings: written.tie_word_embeddings.unwrap_or(true),
            scale_attn_weights: written.scale_attn_weights.unwrap_or(true),
            scale_attn_by_inverse_layer_idx: written.scale_attn_by_inverse_layer_idx.unwrap_or(false),
        })
    }

    /// The width of one attention head.
    pub(crate) fn head_dim(&self) -> usize {
        self.n_embd / self.n_head
    }

    /// What the attention scores of layer `layer` are multiplied with.
    pub(crate) fn attention_scale(&self, layer: usize) -> f64 {
        let by_width = if self.scale_attn_weights { (self.head_dim() as f64).sqrt() } else { 1.0 };
        let by_layer = if self.scale_attn_by_inverse_layer_idx { (layer + 1) as f64 } else { 1.0 };
        1.0 / (by_width * by_layer)
    }
}

/// A size of 0 or in the thousands of millions is a damaged file, and would overflow later arithmetic.
fn size(key: &str, written: Option<u32>, default: u32) -> Result<usize, Error> {
    match written.unwrap_or(default) {
        size @ 1..=100_000_000 => Ok(size as usize),
        size => Err(Error::invalid(format!("{key} is {size}, expected 1 to 100,000,000"))),
    }
}

fn activation(name: &str) -> Result<Activation, Error> {
    match name {
        "gelu" | "gelu_python" => Ok(Activation::GeluErf),
        // One function under four names: transformers writes the constants differently, the values are the same.
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_python_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        "silu" | "swish" => Ok(Activation::Silu),
        "tanh" => Ok(Activation::Tanh),
        other => Err(Error::unsupported(format!(
            "activation_function is {other:?}, expected gelu, gelu_python, gelu_new, gelu_fast, \
             gelu_pytorch_tanh, gelu_python_tanh, relu, silu, swish or tanh"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferhost_plugin_api::ErrorKind;
    use serde_json::json;

    fn resolve(config: serde_json::Value) -> Result<Config, Error> {
        Config::resolve(&serde_json::from_value(config).unwrap())
    }

    #[test]
    fn absent_keys_have_the_defaults_of_transformers() {
        let config = resolve(json!({"model_type": "gpt2", "n_embd": null})).unwrap();
        assert_eq!((config.n_inner, config.head_dim(), config.n_positions), (3072, 64, 1024));
        assert_eq!(config.activation, Activation::GeluTanh);
        assert_eq!(config.attention_scale(3), 0.125);
    }

    #[test]
    fn attention_scales_multiply() {
        let both = json!({"model_type": "gpt2", "scale_attn_by_inverse_layer_idx": true});
        assert_eq!(resolve(both).unwrap().attention_scale(3), 0.125 / 4.0);
        let none = json!({"model_type": "gpt2", "scale_attn_weights": false});
        assert_eq!(resolve(none).unwrap().attention_scale(3), 1.0);
    }

    #[test]
    fn what_cannot_run_is_refused() {
        let kind = |config| resolve(config).unwrap_err().kind;
        assert_eq!(kind(json!({"model_type": "llama"})), ErrorKind::Unsupported);
        assert_eq!(
            kind(json!({"model_type": "gpt2", "activation_function": "mish"})),
            ErrorKind::Unsupported
        );
        assert_eq!(kind(json!({"model_type": "gpt2", "n_head": 7})), ErrorKind::InvalidInput);
        assert_eq!(kind(json!({"model_type": "gpt2", "n_layer": 0})), ErrorKind::InvalidInput);
        assert_eq!(kind(json!({"model_type": "gpt2", "layer_norm_epsilon": 1})), ErrorKind::InvalidInput);
    }
}
