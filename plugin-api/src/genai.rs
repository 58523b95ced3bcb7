//! `genai_config.json`, which onnxruntime-genai keeps beside its graphs: which file is the decoder, how its inputs
//! and outputs are called, and what the model's own `config.json` would say.

use serde_json::Value;
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// The file's name.
pub(crate) const GENAI_CONFIG: &str = "genai_config.json";

/// What a `genai_config.json` says of its decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenaiConfig {
    /// The `genai_config.json` itself.
    pub file: PathBuf,
    /// The decoder's `.onnx` file.
    pub graph: PathBuf,
    /// Number of token ids, where it is said.
    pub vocab_size: Option<u32>,
    /// Most positions of one row, where it is said.
    pub context_length: Option<u32>,
    /// Where generation ends; may be empty.
    pub eos_token_ids: Vec<u32>,
    /// Heads of keys and values, where it is said.
    pub kv_heads: Option<u32>,
    /// Width of one head, where it is said.
    pub head_size: Option<u32>,
    /// Whether past and present are one buffer of full capacity.
    pub shares_buffer: bool,
    /// How the decoder's inputs and outputs are called.
    pub names: DecoderNames,
}

/// How a decoder's inputs and outputs are called; `%d` stands for the layer. The default is what most exporters take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoderNames {
    /// Token ids.
    pub input_ids: String,
    /// Which positions are real tokens.
    pub attention_mask: String,
    /// Positions of the tokens.
    pub position_ids: String,
    /// Keys of the positions before.
    pub past_key: String,
    /// Values of the positions before.
    pub past_value: String,
    /// Scores of the next token.
    pub logits: String,
    /// Keys of all positions.
    pub present_key: String,
    /// Values of all positions.
    pub present_value: String,
}

impl Default for DecoderNames {
    fn default() -> Self {
        Self {
            input_ids: "input_ids".into(),
            attention_mask: "attention_mask".into(),
            position_ids: "position_ids".into(),
            past_key: "past_key_values.%d.key".into(),
            past_value: "past_key_values.%d.value".into(),
            logits: "logits".into(),
            present_key: "present.%d.key".into(),
            present_value: "present.%d.value".into(),
        }
    }
}

/// Why a `genai_config.json` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenaiProblem {
    /// The `genai_config.json`.
    pub file: PathBuf,
    /// Which key is wrong and what was expected, in one line.
    pub problem: String,
}

impl fmt::Display for GenaiProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.problem)
    }
}

impl std::error::Error for GenaiProblem {}

impl GenaiConfig {
    /// Reads the one in `folder`; none where there is none.
    ///
    /// # Errors
    /// The key that is missing or malformed.
    pub fn of_folder(folder: &Path) -> Result<Option<Self>, GenaiProblem> {
        let file = folder.join(GENAI_CONFIG);
        if !file.is_file() {
            return Ok(None);
        }
        let read = || {
            let text = std::fs::read_to_string(&file).map_err(|e| format!("cannot be read: {e}"))?;
            let json = serde_json::from_str(&text).map_err(|e| format!("not JSON: {e}"))?;
            Self::from_json(&json, &file, folder)
        };
        read().map(Some).map_err(|problem| GenaiProblem { file: file.clone(), problem })
    }

    /// Reads the one in the graph's folder, if it is of this graph.
    ///
    /// # Errors
    /// Those of [`of_folder`](Self::of_folder).
    pub fn beside(graph: &Path) -> Result<Option<Self>, GenaiProblem> {
        let found = graph.parent().map_or(Ok(None), Self::of_folder)?;
        Ok(found.filter(|config| config.graph == graph))
    }

    fn from_json(json: &Value, file: &Path, folder: &Path) -> Result<Self, String> {
        let keys = Keys(json);
        let number = |key| keys.number(key);
        let Some(name) = keys.text("model.decoder.filename")? else {
            return Err(
                "model.decoder.filename is missing; only models that are one graph are supported".into()
            );
        };
        if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(format!("model.decoder.filename is \"{name}\", which leads out of the folder"));
        }
        let graph = folder.join(name);
        if !graph.is_file() {
            return Err(format!("model.decoder.filename is \"{name}\", but there is no such file"));
        }
        Ok(Self {
            file: file.to_path_buf(),
            graph,
            vocab_size: number("model.vocab_size")?,
            context_length: number("model.context_length")?,
            eos_token_ids: keys.token_ids("model.eos_token_id")?,
            kv_heads: number("model.decoder.num_key_value_heads")?,
            head_size: number("model.decoder.head_size")?,
            shares_buffer: keys.flag("search.past_present_share_buffer")?,
            names: names(&keys)?,
        })
    }
}

fn names(keys: &Keys<'_>) -> Result<DecoderNames, String> {
    let usual = DecoderNames::default();
    let one = |key: &str, usual: String| Ok::<_, String>(keys.text(key)?.map_or(usual, str::to_string));
    let per_layer = |key: &str, usual: String| match one(key, usual)? {
        name if name.matches("%d").count() == 1 => Ok(name),
        name => Err(format!("{key} is \"{name}\", expected a name with one %d, the layer")),
    };
    Ok(DecoderNames {
        input_ids: one("model.decoder.inputs.input_ids", usual.input_ids)?,
        attention_mask: one("model.decoder.inputs.attention_mask", usual.attention_mask)?,
        position_ids: one("model.decoder.inputs.position_ids", usual.position_ids)?,
        past_key: per_layer("model.decoder.inputs.past_key_names", usual.past_key)?,
        past_value: per_layer("model.decoder.inputs.past_value_names", usual.past_value)?,
        logits: one("model.decoder.outputs.logits", usual.logits)?,
        present_key: per_layer("model.decoder.outputs.present_key_names", usual.present_key)?,
        present_value: per_layer("model.decoder.outputs.present_value_names", usual.present_value)?,
    })
}

/// A file's values by their dotted keys; absent and null are alike.
struct Keys<'a>(&'a Value);

impl<'a> Keys<'a> {
    fn get<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let found = key.split('.').try_fold(self.0, |value, part| value.get(part));
        match found.filter(|value| !value.is_null()) {
            None => Ok(None),
            Some(value) => {
                read(value).map(Some).ok_or_else(|| format!("{key} is {value}, expected {expected}"))
            }
        }
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, String> {
        self.get(key, "a text", Value::as_str)
    }

    fn number(&self, key: &str) -> Result<Option<u32>, String> {
        self.get(key, "a number above 0", |value| token_id(value).filter(|&number| number > 0))
    }

    fn flag(&self, key: &str) -> Result<bool, String> {
        Ok(self.get(key, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    fn token_ids(&self, key: &str) -> Result<Vec<u32>, String> {
        let read = |value: &Value| match value {
            Value::Array(ids) => ids.iter().map(token_id).collect(),
            id => token_id(id).map(|id| vec![id]),
        };
        Ok(self.get(key, "a token id or a list of them", read)?.unwrap_or_default())
    }
}

fn token_id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| id.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn folder(name: &str, config: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("inferhost-genai-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("model.onnx"), "").unwrap();
        std::fs::write(folder.join(GENAI_CONFIG), config).unwrap();
        folder
    }

    #[test]
    fn absent_keys_are_the_usual_ones() {
        let folder = folder("usual", r#"{"model": {"decoder": {"filename": "model.onnx", "inputs": null}}}"#);
        let config = GenaiConfig::of_folder(&folder).unwrap().unwrap();
        assert_eq!(
            (config.graph.clone(), config.names),
            (folder.join("model.onnx"), DecoderNames::default())
        );
        assert_eq!((config.vocab_size, config.context_length, config.shares_buffer), (None, None, false));
        assert!(config.eos_token_ids.is_empty());
        assert!(GenaiConfig::beside(&folder.join("model.onnx")).unwrap().is_some());
        assert_eq!(GenaiConfig::beside(&folder.join("other.onnx")), Ok(None));
        assert_eq!(GenaiConfig::of_folder(&folder.join("nowhere")), Ok(None));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn mistakes_name_the_file_and_the_key() {
        let with = |name: &str, model: Value, inputs: Value, search: Value| {
            let mut config = json!({"model": model, "search": search});
            config["model"]["decoder"] = json!({"filename": name, "inputs": inputs});
            config.to_string()
        };
        let model = |value| with("model.onnx", value, json!({}), json!({}));
        let file = |name| with(name, json!({}), json!({}), json!({}));
        for (index, (config, expected)) in [
            ("{".to_string(), "not JSON: EOF while parsing"),
            ("{}".to_string(), "model.decoder.filename is missing; only models that are one graph"),
            (
                r#"{"model": {"decoder": {"filename": 3}}}"#.into(),
                "model.decoder.filename is 3, expected a text",
            ),
            (file("x.onnx"), "is \"x.onnx\", but there is no such file"),
            (file("../model.onnx"), "leads out of the folder"),
            (model(json!({"vocab_size": "many"})), "model.vocab_size is \"many\", expected a number"),
            (model(json!({"context_length": 0})), "model.context_length is 0, expected a number above 0"),
            (model(json!({"eos_token_id": [-1]})), "model.eos_token_id is [-1], expected a token id or"),
            (
                with("model.onnx", json!({}), json!({}), json!({"past_present_share_buffer": 1})),
                "share_buffer is 1, expected true or false",
            ),
            (
                with("model.onnx", json!({}), json!({"past_key_names": "past"}), json!({})),
                "is \"past\", expected a name with one %d",
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let folder = folder(&index.to_string(), &config);
            let message = GenaiConfig::of_folder(&folder).unwrap_err().to_string();
            assert!(message.contains("genai_config.json: ") && message.contains(expected), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}
