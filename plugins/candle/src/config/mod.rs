//! A model's `config.json`, with transformers' defaults for the keys it leaves out and clear words for what this plugin
//! cannot run. The host reads the same keys in `host/src/model/config`; what it accepts must open here.

mod gpt2;
mod keys;
mod llama;
mod rope;

pub(crate) use gpt2::Gpt2Config;
pub(crate) use llama::LlamaConfig;
pub(crate) use rope::Rope;

use inferhost_plugin_api::Error;
use keys::Keys;
use llama::Family;
use serde_json::{Map, Value};
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

/// A model of any architecture that runs here.
#[derive(Debug, Clone)]
pub(crate) enum Config {
    Gpt2(Gpt2Config),
    Llama(LlamaConfig),
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
        Self::parse(&text).map_err(|e| Error::new(e.kind, format!("{at}: {}", e.message)))
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let bad = |e: serde_json::Error| Error::invalid(e.to_string());
        let object: Map<String, Value> = serde_json::from_str(text).map_err(bad)?;
        let model_type = Keys::new(&object).text("model_type")?.unwrap_or_default();
        if model_type == "gpt2" {
            // From the text once more: its errors say the line.
            let written = serde_json::from_str(text).map_err(bad)?;
            return Ok(Self::Gpt2(Gpt2Config::resolve(&written)?));
        }
        let Some(family) = Family::of(model_type) else {
            return Err(Error::unsupported(format!(
                "model_type is {model_type:?}, but candle's plugin runs gpt2, llama, mistral and qwen2"
            )));
        };
        Ok(Self::Llama(LlamaConfig::resolve(family, &Keys::new(&object))?))
    }

    pub(crate) fn vocab_size(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.vocab_size,
            Self::Llama(config) => config.vocab_size,
        }
    }

    /// Most positions of one row.
    pub(crate) fn context_length(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.n_positions,
            Self::Llama(config) => config.positions,
        }
    }

    /// Of the states.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.n_embd,
            Self::Llama(config) => config.width,
        }
    }

    /// Whether the head is the token embedding.
    pub(crate) fn is_tied(&self) -> bool {
        match self {
            Self::Gpt2(config) => config.tie_word_embeddings,
            Self::Llama(config) => config.tie_word_embeddings,
        }
    }
}

/// A size of 0 or in the thousands of millions is a damaged file, and would overflow later arithmetic.
fn size(key: &str, written: Option<u32>, default: u32) -> Result<usize, Error> {
    match written.unwrap_or(default) {
        size @ 1..=100_000_000 => Ok(size as usize),
        size => Err(Error::invalid(format!("{key} is {size}, expected 1 to 100,000,000"))),
    }
}

fn activation(key: &str, name: &str) -> Result<Activation, Error> {
    match name {
        "gelu" | "gelu_python" => Ok(Activation::GeluErf),
        // One function under four names: transformers writes the constants differently, the values are the same.
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_python_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        "silu" | "swish" => Ok(Activation::Silu),
        "tanh" => Ok(Activation::Tanh),
        other => Err(Error::unsupported(format!(
            "{key} is {other:?}, expected gelu, gelu_python, gelu_new, gelu_fast, \
             gelu_pytorch_tanh, gelu_python_tanh, relu, silu, swish or tanh"
        ))),
    }
}
