//! The files of an exported model: which one is the graph, what `config.json` beside it says, how large it is.

use inferhost_plugin_api::{Error, GenaiConfig, config_beside, find_graph};
use memchr::memmem;
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes of a graph that are searched at once.
const CHUNK: usize = 1 << 20;

/// What `config.json` tells of a model, whichever architecture's key it stands under.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ModelConfig {
    pub(crate) vocab_size: Option<usize>,
    pub(crate) context_length: Option<usize>,
    pub(crate) kv_heads: Option<usize>,
    pub(crate) head_dim: Option<usize>,
}

impl ModelConfig {
    /// Reads `config.json` from the graph's folder, or from above it where that folder is `onnx`, as model hubs lay
    /// files out; nothing is known where there is none.
    ///
    /// # Errors
    /// For a file that is there but is not JSON.
    pub(crate) fn beside(graph: &Path) -> Result<Self, Error> {
        let Some(file) = config_beside(graph) else { return Ok(Self::default()) };
        let unreadable = |e: String| Error::invalid(format!("cannot read {}: {e}", file.display()));
        let text = std::fs::read_to_string(&file).map_err(|e| unreadable(e.to_string()))?;
        let json = serde_json::from_str(&text).map_err(|e| unreadable(e.to_string()))?;
        Ok(Self::from_json(&json))
    }

    /// The same, with what a `genai_config.json` says first.
    pub(crate) fn or_of(self, genai: Option<&GenaiConfig>) -> Self {
        let Some(genai) = genai else { return self };
        let number = |number: Option<u32>| number.and_then(|number| usize::try_from(number).ok());
        Self {
            vocab_size: number(genai.vocab_size).or(self.vocab_size),
            context_length: number(genai.context_length).or(self.context_length),
            kv_heads: number(genai.kv_heads).or(self.kv_heads),
            head_dim: number(genai.head_size).or(self.head_dim),
        }
    }

    fn from_json(json: &Value) -> Self {
        let number = |keys: &[&str]| {
            let found = keys.iter().find_map(|key| json.get(key)?.as_u64());
            found.and_then(|number| usize::try_from(number).ok())
        };
        let heads = number(&["num_attention_heads", "n_head", "num_heads"]);
        let hidden = number(&["hidden_size", "n_embd", "d_model"]);
        let divided = heads.zip(hidden).filter(|&(heads, _)| heads > 0).map(|(heads, hidden)| hidden / heads);
        Self {
            vocab_size: number(&["vocab_size"]),
            context_length: number(&["max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"]),
            kv_heads: number(&["num_key_value_heads"]).or(heads),
            head_dim: number(&["head_dim"]).or(divided),
        }
    }
}

/// The graph's file: `path` itself, or the one in that folder.
///
/// # Errors
/// For a folder that holds none, or several of which none has a usual name.
pub(crate) fn graph_file(path: &Path) -> Result<PathBuf, Error> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let found = find_graph(path).and_then(|found| found.ok_or_else(|| "holds no .onnx file".into()));
    found.map_err(|problem| Error::invalid(format!("{} {problem}", path.display())))
}

/// Whether the graph has a node of the operator `name`, told by the bytes of a node's `op_type` (field 4 of onnx.proto's
/// `NodeProto`), since the runtime does not say. A file that cannot be read has none.
pub(crate) fn has_operator(graph: &Path, name: &str) -> bool {
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    let op_type = [&[4 << 3 | 2, length], name.as_bytes()].concat();
    let finder = memmem::Finder::new(&op_type);
    let Ok(mut file) = File::open(graph) else { return false };
    let (mut chunk, mut kept) = (vec![0; CHUNK], 0);
    while let Ok(read @ 1..) = file.read(&mut chunk[kept..]) {
        let end = kept + read;
        if finder.find(&chunk[..end]).is_some() {
            return true;
        }
        // What may be its beginning stays for the next turn.
        kept = end.min(op_type.len() - 1);
        chunk.copy_within(end - kept..end, 0);
    }
    false
}

/// Bytes of the graph and of the weights that exporters put beside it (`model.onnx_data`, `model.onnx.data`).
pub(crate) fn graph_bytes(graph: &Path) -> Option<u64> {
    let name = graph.file_name()?.to_str()?;
    let entries = std::fs::read_dir(graph.parent()?).ok()?.flatten();
    let parts = entries.filter(|entry| entry.file_name().to_str().is_some_and(|file| file.starts_with(name)));
    // `DirEntry::metadata` would give a link's own size, and the hub's cache is all links.
    Some(parts.filter_map(|part| std::fs::metadata(part.path()).ok()).map(|data| data.len()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes_come_from_either_family_of_keys() {
        let gpt2 = json!({"vocab_size": 512, "n_positions": 128, "n_head": 4, "n_embd": 48});
        let llama = json!({"vocab_size": 512, "max_position_embeddings": 128, "num_attention_heads": 8,
                           "num_key_value_heads": 4, "hidden_size": 96});
        let expected = ModelConfig {
            vocab_size: Some(512),
            context_length: Some(128),
            kv_heads: Some(4),
            head_dim: Some(12),
        };
        assert_eq!(ModelConfig::from_json(&gpt2), expected);
        assert_eq!(ModelConfig::from_json(&llama), expected);
        assert_eq!(ModelConfig::from_json(&json!({"head_dim": 64})).head_dim, Some(64));
        assert_eq!(ModelConfig::from_json(&json!({"n_head": 0, "n_embd": 8})).head_dim, None);
    }

    #[test]
    fn an_operator_is_found_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.onnx");
        for at in [0, 7, CHUNK - 5, CHUNK - 1, CHUNK, 2 * CHUNK + 3] {
            let mut bytes = vec![0x22; at];
            bytes.extend_from_slice(b"\x22\x03Abc\x01");
            std::fs::write(&file, bytes).unwrap();
            assert!(has_operator(&file, "Abc"), "{at}");
            assert!(!has_operator(&file, "Ab"), "{at}");
        }
        assert!(!has_operator(&folder.path().join("nothing"), "Abc"));
    }
}
