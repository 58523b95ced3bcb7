//! What `config.json` beside a program tells of sizes, for what the program does not say itself.

use inferhost_plugin_api::{Error, config_beside};
use serde_json::Value;
use std::path::Path;

/// What is known; families name the same number differently.
#[derive(Debug, Clone, Default)]
pub(super) struct Sizes {
    pub(super) vocab_size: Option<u64>,
    pub(super) context_length: Option<u32>,
    pub(super) layers: Option<u64>,
    pub(super) kv_heads: Option<u64>,
    pub(super) head_size: Option<u64>,
    /// As PyTorch calls it: `float32`.
    pub(super) dtype: Option<String>,
}

impl Sizes {
    /// Reads the `config.json` in the program's folder; nothing is known where there is none.
    ///
    /// # Errors
    /// `InvalidInput` for a file that is there but is not JSON.
    pub(super) fn beside(program: &Path) -> Result<Self, Error> {
        let Some(file) = config_beside(program) else { return Ok(Self::default()) };
        let unreadable = |e: String| Error::invalid(format!("cannot read {}: {e}", file.display()));
        let text = std::fs::read_to_string(&file).map_err(|e| unreadable(e.to_string()))?;
        let json: Value = serde_json::from_str(&text).map_err(|e| unreadable(e.to_string()))?;
        Ok(Self::read(&json))
    }

    fn read(json: &Value) -> Self {
        let number = |keys: &[&str]| keys.iter().find_map(|key| json.get(key)?.as_u64());
        let heads = number(&["num_attention_heads", "n_head", "num_heads"]);
        let hidden = number(&["hidden_size", "n_embd", "d_model"]);
        let divided = heads.zip(hidden).and_then(|(heads, hidden)| hidden.checked_div(heads));
        let context = number(&["max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"]);
        let dtype = ["dtype", "torch_dtype"].iter().find_map(|key| json.get(key)?.as_str());
        Self {
            vocab_size: number(&["vocab_size"]),
            context_length: context.and_then(|context| context.try_into().ok()),
            layers: number(&["num_hidden_layers", "n_layer", "num_layers"]),
            kv_heads: number(&["num_key_value_heads"]).or(heads),
            head_size: number(&["head_dim"]).or(divided),
            dtype: dtype.map(String::from),
        }
    }
}
