//! A model's `config.json`, with transformers' defaults for the keys it leaves out and clear words for what a plugin
//! cannot run. The host reads the same keys in `host/src/model/config`; what it accepts must open here.

use super::keys::Keys;
use super::llama::Family;
use super::{Gpt2Config, LlamaConfig};
use crate::Error;
use serde_json::{Map, Value};
use std::path::Path;

/// The activation of the feed-forward layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x Φ(x), with the error function.
    GeluErf,
    /// The tanh approximation of Hendrycks and Gimpel (2016), "Gaussian Error Linear Units".
    GeluTanh,
    /// max(x, 0).
    Relu,
    /// x / (1 + exp(-x)).
    Silu,
    /// The hyperbolic tangent.
    Tanh,
}

/// The heads of every layer of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Heads of queries.
    pub queries: usize,
    /// Heads of keys, and of values; each serves as many heads of queries.
    pub keys: usize,
    /// Elements of one head.
    pub width: usize,
}

/// A model of any architecture that is known here.
#[derive(Debug, Clone)]
pub enum Config {
    /// `model_type` gpt2.
    Gpt2(Gpt2Config),
    /// `model_type` llama, mistral or qwen2.
    Llama(LlamaConfig),
}

impl Config {
    /// Reads `folder/config.json`.
    ///
    /// # Errors
    /// `InvalidInput` for a file that is missing or malformed, `Unsupported` for another family.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("config.json");
        let at = path.display();
        let text = std::fs::read_to_string(&path)
            .map_err(|e| Error::invalid(format!("{at}: {e}; give a Hugging Face model folder")))?;
        Self::parse(&text).map_err(|e| Error::new(e.kind, format!("{at}: {}", e.message)))
    }

    pub(super) fn parse(text: &str) -> Result<Self, Error> {
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
                "model_type is {model_type:?}, but this plugin runs gpt2, llama, mistral and qwen2"
            )));
        };
        Ok(Self::Llama(LlamaConfig::resolve(family, &Keys::new(&object))?))
    }

    /// Number of token ids: rows of the token embedding and of the head.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.vocab_size,
            Self::Llama(config) => config.vocab_size,
        }
    }

    /// Most positions of one row.
    pub fn context_length(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.n_positions,
            Self::Llama(config) => config.positions,
        }
    }

    /// Width of the states between the layers.
    pub fn width(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.n_embd,
            Self::Llama(config) => config.width,
        }
    }

    /// Whether the head is the token embedding.
    pub fn is_tied(&self) -> bool {
        match self {
            Self::Gpt2(config) => config.tie_word_embeddings,
            Self::Llama(config) => config.tie_word_embeddings,
        }
    }
}

/// A size of 0 or in the thousands of millions is a damaged file, and would overflow later arithmetic.
pub(super) fn size(key: &str, written: Option<u32>, default: u32) -> Result<usize, Error> {
    match written.unwrap_or(default) {
        size @ 1..=100_000_000 => Ok(size as usize),
        size => Err(Error::invalid(format!("{key} is {size}, expected 1 to 100,000,000"))),
    }
}

pub(super) fn activation(key: &str, name: &str) -> Result<Activation, Error> {
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
