//! `config.json` as transformers writes it, reduced to what decides shapes and arithmetic.
//!
//! GPT-2 and the Llama family are known in full. Of any other `model_type`, the vocabulary and the context are enough
//! to run a ready ONNX graph.

mod eos;
mod gpt2;
mod keys;
mod llama;
mod rope;

pub(crate) use eos::eos_token_ids;
pub use gpt2::Gpt2Config;
pub use llama::LlamaConfig;
pub use rope::Rope;

use super::ModelError;
use llama::Family;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// The values of `model_type` that [`Architecture`] knows.
pub(crate) const MODEL_TYPES: [&str; 4] = ["gpt2", "llama", "mistral", "qwen2"];
/// The largest size of anything.
const MOST: u32 = 100_000_000;

/// What a model's `config.json` says.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// `gpt2`, `llama`, …; none where the file has no such key or there is no file.
    pub model_type: Option<String>,
    /// Number of token ids, where known.
    pub vocab_size: Option<u32>,
    /// Most positions of one row, where known.
    pub context_length: Option<u32>,
    /// The architecture in full, where this program knows it.
    pub architecture: Architecture,
}

/// An architecture whose tensors and arithmetic this program knows.
#[derive(Debug, Clone, PartialEq)]
pub enum Architecture {
    /// GPT-2.
    Gpt2(Gpt2Config),
    /// Llama, Mistral, Qwen2.
    Llama(LlamaConfig),
    /// Any other: an ONNX graph or an exported program of it can be run, its weights cannot.
    Unknown,
}

/// The MLP's activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// GELU by the error function: `gelu`, `gelu_python`.
    Gelu,
    /// GELU by its tanh approximation: `gelu_new`, `gelu_fast`, `gelu_pytorch_tanh`, `gelu_python_tanh`.
    GeluTanh,
    /// `relu`.
    Relu,
    /// x times its sigmoid: `silu`, `swish`.
    Silu,
    /// `tanh`.
    Tanh,
}

impl Activation {
    const NAMES: [(&str, Self); 10] = [
        ("gelu", Self::Gelu),
        ("gelu_python", Self::Gelu),
        ("gelu_new", Self::GeluTanh),
        ("gelu_fast", Self::GeluTanh),
        ("gelu_pytorch_tanh", Self::GeluTanh),
        ("gelu_python_tanh", Self::GeluTanh),
        ("relu", Self::Relu),
        ("silu", Self::Silu),
        ("swish", Self::Silu),
        ("tanh", Self::Tanh),
    ];

    /// The function that `key` names.
    fn named(key: &str, name: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|&(_, activation)| activation).ok_or_else(|| {
            let known = Self::NAMES.map(|(known, _)| known).join(", ");
            format!("{key} {name:?} is not supported; known are {known}")
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Head {
    model_type: Option<String>,
}

/// What a ready graph needs. `n_positions` is GPT-2's name for `max_position_embeddings`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Outline {
    model_type: Option<String>,
    vocab_size: Option<u32>,
    n_positions: Option<u32>,
    max_position_embeddings: Option<u32>,
}

impl ModelConfig {
    /// Of a graph that came without a `config.json`.
    pub const fn unknown() -> Self {
        Self { model_type: None, vocab_size: None, context_length: None, architecture: Architecture::Unknown }
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// What in the file is malformed, or which key is missing, out of range or not supported.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let text = read_text(path)?;
        let head: Head = parse(path, &text)?;
        match head.model_type.as_deref().and_then(Family::of) {
            None => Self::without_weights(path, &text),
            Some(family) => {
                let llama = llama::read(family, &parse(path, &text)?);
                let llama = llama.map_err(|problem| ModelError::malformed(path, problem))?;
                Ok(Self {
                    model_type: head.model_type,
                    vocab_size: Some(llama.vocab_size),
                    context_length: Some(llama.max_position_embeddings),
                    architecture: Architecture::Llama(llama),
                })
            }
        }
    }

    /// Reads a `config.json` that lies beside a graph. The graph says what is computed, so that a way of computing
    /// it that is unknown here is no mistake.
    ///
    /// # Errors
    /// As [`read`](Self::read), but for what only a model's weights need.
    pub fn read_beside_graph(path: &Path) -> Result<Self, ModelError> {
        Self::without_weights(path, &read_text(path)?)
    }

    fn without_weights(path: &Path, text: &str) -> Result<Self, ModelError> {
        let outline: Outline = parse(path, text)?;
        let model_type = outline.model_type.as_deref().unwrap_or_default();
        if model_type == "gpt2" {
            let gpt2 = gpt2::read(&parse(path, text)?).map_err(|e| ModelError::malformed(path, e))?;
            return Ok(Self {
                model_type: outline.model_type,
                vocab_size: Some(gpt2.vocab_size),
                context_length: Some(gpt2.n_positions),
                architecture: Architecture::Gpt2(gpt2),
            });
        }
        let default = Family::of(model_type).map(Family::default_positions);
        Ok(Self {
            vocab_size: outline.vocab_size,
            context_length: outline.n_positions.or(outline.max_position_embeddings).or(default),
            model_type: outline.model_type,
            architecture: Architecture::Unknown,
        })
    }
}

fn read_text(path: &Path) -> Result<String, ModelError> {
    std::fs::read_to_string(path).map_err(ModelError::io(path))
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ModelError> {
    serde_json::from_str(text).map_err(|e| ModelError::malformed(path, format!("not a model's config: {e}")))
}

/// A size of zero or in the thousands of millions is a damaged file, and would overflow later arithmetic.
fn size(key: &str, value: Option<u32>, default: u32) -> Result<u32, String> {
    match value.unwrap_or(default) {
        value @ 1..=MOST => Ok(value),
        value => Err(format!("{key} is {value}; it must be from 1 to 100,000,000")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const GOOD: &str = r#"{"model_type":"gpt2","n_embd":8,"n_layer":2,"n_head":2,"n_inner":null,
        "n_positions":16,"vocab_size":50,"eos_token_id":[1,2]}"#;

    fn read(text: &str) -> Result<ModelConfig, ModelError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, text).unwrap();
        ModelConfig::read(&path)
    }

    #[test]
    fn defaults_are_transformers() {
        let config = read(GOOD).unwrap();
        assert_eq!(config.context_length, Some(16));
        let Architecture::Gpt2(gpt2) = config.architecture else { panic!("not GPT-2") };
        assert_eq!((gpt2.n_inner, gpt2.head_size(), gpt2.activation), (32, 4, Activation::GeluTanh));
        assert!(gpt2.tie_word_embeddings && gpt2.scale_attn_weights);
        assert!((gpt2.attention_scale(3) - 0.5).abs() < 1e-15);
        let bare = read(r#"{"model_type":"gpt2"}"#).unwrap();
        assert_eq!((bare.vocab_size, bare.context_length), (Some(50_257), Some(1024)));
        let size: crate::model::synthetic::SyntheticSpec = "gpt2".parse().unwrap();
        assert_eq!(bare.architecture, size.architecture());
    }

    #[test]
    fn other_models_give_vocabulary_and_context() {
        let config =
            read(r#"{"model_type":"bert","vocab_size":7,"max_position_embeddings":9,"n_embd":null}"#)
                .unwrap();
        assert_eq!((config.vocab_size, config.context_length), (Some(7), Some(9)));
        assert_eq!(config.architecture, Architecture::Unknown);
    }

    #[test]
    fn a_graph_asks_less_of_the_config_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, r#"{"model_type":"llama","vocab_size":7,"rope_scaling":{"rope_type":"longrope"}}"#)
            .unwrap();
        let config = ModelConfig::read_beside_graph(&path).unwrap();
        assert_eq!((config.vocab_size, config.context_length), (Some(7), Some(2048)));
        assert!(ModelConfig::read(&path).unwrap_err().to_string().contains("\"longrope\"; expected default"));
    }

    #[test]
    fn mistakes_are_one_clear_line() {
        let cases = [
            (GOOD.replace("\"n_head\":2", "\"n_head\":3"), "n_embd 8 is not divisible by n_head 3"),
            (GOOD.replace("\"n_layer\":2", "\"n_layer\":0"), "n_layer is 0; it must be from 1"),
            (GOOD.replace("\"n_layer\":2", "\"n_layer\":\"x\""), "expected u32 at line 1"),
            (
                GOOD.replace("\"n_inner\":null", "\"activation_function\":\"mish\""),
                "\"mish\" is not supported",
            ),
            (GOOD.replace('}', ""), "EOF while parsing"),
            (String::new(), "EOF while parsing"),
        ];
        for (text, expected) in cases {
            let message = read(&text).unwrap_err().to_string();
            assert!(message.contains("config.json: ") && message.contains(expected), "{message}");
            assert_eq!(message.lines().count(), 1);
        }
    }
}
