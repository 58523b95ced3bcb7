//! `config.json` as transformers writes it, reduced to what decides shapes and arithmetic.
//!
//! Only GPT-2 is known in full. Of any other `model_type`, the vocabulary and the context are enough to run a
//! ready ONNX graph.

use super::ModelError;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use std::str::FromStr;

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
    /// Any other: an ONNX graph of it can be run, its weights cannot.
    Unknown,
}

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
}

impl FromStr for Activation {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|&(_, activation)| activation).ok_or_else(|| {
            let known = Self::NAMES.map(|(known, _)| known).join(", ");
            format!("activation_function {name:?} is not supported; known are {known}")
        })
    }
}

/// The keys of interest, absent or null alike. For GPT-2 the candle plugin reads the same ones in its own
/// `config.rs`: what is accepted here must open there. `n_ctx` and `max_position_embeddings` are other models' names.
#[derive(Deserialize, Default)]
#[serde(default)]
struct File {
    model_type: Option<String>,
    n_embd: Option<u32>,
    n_layer: Option<u32>,
    n_head: Option<u32>,
    n_inner: Option<u32>,
    n_positions: Option<u32>,
    max_position_embeddings: Option<u32>,
    vocab_size: Option<u32>,
    layer_norm_epsilon: Option<f64>,
    activation_function: Option<String>,
    scale_attn_weights: Option<bool>,
    scale_attn_by_inverse_layer_idx: Option<bool>,
    tie_word_embeddings: Option<bool>,
    add_cross_attention: Option<bool>,
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
        let text = std::fs::read_to_string(path).map_err(ModelError::io(path))?;
        let file: File = serde_json::from_str(&text)
            .map_err(|e| ModelError::malformed(path, format!("not a model's config: {e}")))?;
        let is_gpt2 = file.model_type.as_deref() == Some("gpt2");
        if is_gpt2 {
            let gpt2 = gpt2(&file).map_err(|problem| ModelError::malformed(path, problem))?;
            return Ok(Self {
                model_type: file.model_type,
                vocab_size: Some(gpt2.vocab_size),
                context_length: Some(gpt2.n_positions),
                architecture: Architecture::Gpt2(gpt2),
            });
        }
        Ok(Self {
            vocab_size: file.vocab_size,
            context_length: file.n_positions.or(file.max_position_embeddings),
            model_type: file.model_type,
            architecture: Architecture::Unknown,
        })
    }
}

/// Every default is that of transformers' `GPT2Config`.
fn gpt2(file: &File) -> Result<Gpt2Config, String> {
    // A size of zero or in the thousands of millions is a damaged file, and would overflow later arithmetic.
    let size = |key: &str, value: Option<u32>, default: u32| match value.unwrap_or(default) {
        value @ 1..=100_000_000 => Ok(value),
        value => Err(format!("{key} is {value}; it must be from 1 to 100,000,000")),
    };
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
    Ok(Gpt2Config {
        n_embd,
        n_layer: size("n_layer", file.n_layer, 12)?,
        n_head,
        n_inner: size("n_inner", file.n_inner, 4 * n_embd)?,
        n_positions: size("n_positions", file.n_positions, 1024)?,
        vocab_size: size("vocab_size", file.vocab_size, 50_257)?,
        layer_norm_epsilon,
        activation: file.activation_function.as_deref().unwrap_or("gelu_new").parse()?,
        scale_attn_weights: file.scale_attn_weights.unwrap_or(true),
        scale_attn_by_inverse_layer_idx: file.scale_attn_by_inverse_layer_idx.unwrap_or(false),
        tie_word_embeddings: file.tie_word_embeddings.unwrap_or(true),
    })
}

/// Where generation ends: `eos_token_id` of `generation_config.json`, which transformers prefers, or of
/// `config.json`; a number, a list or null.
///
/// # Errors
/// Which file holds something else.
pub(crate) fn eos_token_ids(folder: &Path) -> Result<Vec<u32>, ModelError> {
    for name in ["generation_config.json", "config.json"] {
        let path = folder.join(name);
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let file: Value = serde_json::from_str(&text)
            .map_err(|e| ModelError::malformed(&path, format!("bad JSON: {e}")))?;
        let ids = match file.get("eos_token_id") {
            None | Some(Value::Null) => continue,
            Some(Value::Array(ids)) => ids.iter().map(token_id).collect(),
            Some(id) => token_id(id).map(|id| vec![id]),
        };
        return ids.ok_or_else(|| {
            ModelError::malformed(&path, "eos_token_id is neither a token id, a list of them nor null")
        });
    }
    Ok(Vec::new())
}

fn token_id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| id.try_into().ok())
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
        assert_eq!(bare.architecture, Architecture::Gpt2(size.config()));
    }

    #[test]
    fn other_models_give_vocabulary_and_context() {
        let config =
            read(r#"{"model_type":"llama","vocab_size":7,"max_position_embeddings":9,"n_embd":null}"#)
                .unwrap();
        assert_eq!((config.vocab_size, config.context_length), (Some(7), Some(9)));
        assert_eq!(config.architecture, Architecture::Unknown);
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

    #[test]
    fn end_of_sequence_tokens_come_from_the_generation_config_first() {
        let folder = tempfile::tempdir().unwrap();
        assert!(eos_token_ids(folder.path()).unwrap().is_empty());
        fs::write(folder.path().join("config.json"), GOOD).unwrap();
        assert_eq!(eos_token_ids(folder.path()).unwrap(), [1, 2]);
        let generation = folder.path().join("generation_config.json");
        fs::write(&generation, r#"{"eos_token_id":null}"#).unwrap();
        assert_eq!(eos_token_ids(folder.path()).unwrap(), [1, 2]);
        fs::write(&generation, r#"{"eos_token_id":5}"#).unwrap();
        assert_eq!(eos_token_ids(folder.path()).unwrap(), [5]);
        fs::write(&generation, r#"{"eos_token_id":-1}"#).unwrap();
        assert!(eos_token_ids(folder.path()).unwrap_err().to_string().contains("neither a token id"));
    }
}
