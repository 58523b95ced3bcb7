//! The token ids at which generation ends.

use crate::model::ModelError;
use serde_json::Value;
use std::path::Path;

/// Where generation ends: `eos_token_id` of `generation_config.json`, which transformers prefers, or of
/// `config.json`; a number, a list or null.
///
/// # Errors
/// Which file holds something else.
pub(crate) fn eos_token_ids(folder: &Path) -> Result<Vec<u32>, ModelError> {
    for name in ["generation_config.json", "config.json"] {
        let path = folder.join(name);
        if !path.is_file() {
            continue;
        }
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

    #[test]
    fn end_of_sequence_tokens_come_from_the_generation_config_first() {
        let folder = tempfile::tempdir().unwrap();
        assert!(eos_token_ids(folder.path()).unwrap().is_empty());
        fs::write(folder.path().join("config.json"), r#"{"eos_token_id":[1,2]}"#).unwrap();
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
