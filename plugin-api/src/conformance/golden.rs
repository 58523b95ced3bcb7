//! A golden case: a small model in a Hugging Face folder with the float64 answers to its prompts.

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// One model with its answers; `scripts/golden.py` writes them.
#[derive(Debug, Clone)]
pub struct Golden {
    /// The folder's name.
    pub name: String,
    /// The Hugging Face folder.
    pub folder: PathBuf,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Most positions of one row.
    pub context_length: usize,
    /// Token ids, one row each.
    pub prompts: Vec<Vec<u32>>,
    /// How many tokens `greedy` continues each prompt with.
    pub max_new_tokens: usize,
    /// The greedy continuation of each prompt.
    pub greedy: Vec<Vec<u32>>,
    /// ln p(t_i | t_<i), i >= 1, of each prompt.
    pub logprobs: Vec<Vec<f64>>,
    /// The smallest distance between the two largest logits on the way of each greedy continuation.
    pub min_top2_margin: Vec<f64>,
    /// `[prompt][position][token id]`.
    pub logits: Vec<Vec<Vec<f64>>>,
}

#[derive(Deserialize)]
struct Expected {
    prompts: Vec<Vec<u32>>,
    max_new_tokens: usize,
    greedy: Vec<Vec<u32>>,
    logprobs: Vec<Vec<f64>>,
    min_top2_margin: Vec<f64>,
}

impl Golden {
    /// Reads the case in `folder`.
    ///
    /// # Errors
    /// One line that names the file and what is wrong with it.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let config: Value = json(&folder.join("config.json"))?;
        let expected: Expected = json(&folder.join("expected.json"))?;
        let count = expected.prompts.len();
        let counts = [expected.greedy.len(), expected.logprobs.len(), expected.min_top2_margin.len()];
        if count == 0 || counts != [count; 3] {
            return Err(format!("{}: {count} prompts, answers for {counts:?}", folder.display()));
        }
        if expected.prompts.iter().any(Vec::is_empty) {
            return Err(format!("{}: a prompt is empty", folder.display()));
        }
        let vocab_size = number(&config, folder, &["vocab_size"])?;
        let lengths: Vec<usize> = expected.prompts.iter().map(Vec::len).collect();
        Ok(Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            folder: folder.to_path_buf(),
            vocab_size,
            context_length: number(&config, folder, &["n_positions", "max_position_embeddings"])?,
            prompts: expected.prompts,
            max_new_tokens: expected.max_new_tokens,
            greedy: expected.greedy,
            logprobs: expected.logprobs,
            min_top2_margin: expected.min_top2_margin,
            logits: logits(&folder.join("expected_logits.safetensors"), &lengths, vocab_size)?,
        })
    }

    /// The shortest prompt of at least `length` tokens, else the longest.
    pub(super) fn prompt_of(&self, length: usize) -> usize {
        let long_enough = |index: &usize| self.prompts[*index].len() >= length;
        let by_length = |index: &usize| self.prompts[*index].len();
        let all = 0..self.prompts.len();
        all.clone()
            .filter(long_enough)
            .min_by_key(by_length)
            .or_else(|| all.max_by_key(by_length))
            .unwrap_or(0)
    }
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// The first of `keys` that the config has: families name the same number differently.
fn number(config: &Value, folder: &Path, keys: &[&str]) -> Result<usize, String> {
    let found = keys.iter().find_map(|key| config.get(*key)).and_then(Value::as_u64);
    found
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| format!("{}/config.json has no {}", folder.display(), keys.join(" or ")))
}

fn logits(path: &Path, lengths: &[usize], vocab_size: usize) -> Result<Vec<Vec<Vec<f64>>>, String> {
    let at = path.display();
    let bytes = std::fs::read(path).map_err(|e| format!("{at}: {e}"))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| format!("{at}: {e}"))?;
    let read = |(index, &length): (usize, &usize)| {
        let tensor = tensors.tensor(&format!("logits.{index}")).map_err(|e| format!("{at}: {e}"))?;
        if tensor.dtype() != Dtype::F64 || tensor.shape() != [length, vocab_size] {
            return Err(format!("{at}: logits.{index} is not F64 [{length}, {vocab_size}]"));
        }
        let (values, _) = tensor.data().as_chunks::<8>();
        let values: Vec<f64> = values.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        Ok(values.chunks(vocab_size.max(1)).map(<[f64]>::to_vec).collect())
    };
    lengths.iter().enumerate().map(read).collect()
}
