//! What a session needs of an engine's folder: the plan, what its builder wrote beside it, the model's sizes; and whether
//! the engine takes and gives what this plugin feeds and reads.

use crate::contract::Contract;
use crate::library::{Kind, Loaded};
use crate::nvinfer::{End, Engine};
use inferhost_plugin_api::build::{BuildReport, ENGINE, REPORT};
use inferhost_plugin_api::shapes::Shape;
use inferhost_plugin_api::{Error, ErrorKind};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The model's sizes.
const CONFIG: &str = "config.json";

/// An engine's folder, read.
pub(crate) struct Folder {
    /// Where the plan lies.
    pub(crate) file: PathBuf,
    pub(crate) plan: Vec<u8>,
    pub(crate) report: BuildReport,
    pub(crate) sizes: Sizes,
}

/// What `config.json` tells of a model, whichever family's keys it uses; none where it does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) vocab: Option<usize>,
    pub(crate) context: Option<usize>,
    pub(crate) kv_heads: Option<usize>,
    pub(crate) head_size: Option<usize>,
    pub(crate) layers: Option<usize>,
}

impl Folder {
    /// Reads all three files.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] naming the file that is missing or damaged.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        if !folder.is_dir() {
            return Err(Error::invalid(format!(
                "{} is no folder, expected one with {ENGINE}, {REPORT} and {CONFIG}, as artifact = \"plan-fp16\" and its like make",
                folder.display()
            )));
        }
        let file = folder.join(ENGINE);
        let plan = read(&file)?;
        if plan.is_empty() {
            return Err(Error::invalid(format!(
                "{} is empty, expected an engine plan; build it again",
                file.display()
            )));
        }
        let report: BuildReport = read_json(&folder.join(REPORT))?;
        if report.profiles.is_empty() {
            let path = folder.join(REPORT);
            return Err(Error::invalid(format!(
                "{} names no profiles; build the engine again",
                path.display()
            )));
        }
        let config: Value = read_json(&folder.join(CONFIG))?;
        Ok(Self { file, plan, report, sizes: Sizes::of(&config) })
    }

    /// Deserialises the plan and holds it against what its report and this plugin say of it.
    ///
    /// # Errors
    /// What TensorRT says, and [`ErrorKind::InvalidInput`] naming what differs.
    pub(crate) fn deserialize(
        &self,
        library: &Loaded,
        version_compatible: bool,
    ) -> Result<(Engine, Contract), Error> {
        let host_code = version_compatible || library.library().kind == Kind::Lean;
        let named =
            |error: Error| Error::new(error.kind, format!("{}: {}", self.file.display(), error.message));
        let engine = Engine::deserialize(library.runtime()?, &self.plan, host_code);
        let engine = engine.map_err(|error| named(self.explain(error, library)))?;
        let contract = Contract::of(engine.ports(), &self.sizes).map_err(named)?;
        self.check_profiles(&engine, &contract).map_err(named)?;
        Ok((engine, contract))
    }

    /// Why a plan may not be taken, for a reader who cannot know which TensorRT built it.
    fn explain(&self, error: Error, library: &Loaded) -> Error {
        let kind = match error.kind {
            ErrorKind::OutOfMemory => return error,
            ErrorKind::Internal => ErrorKind::InvalidInput,
            other => other,
        };
        let (why, used) = (error.message, library.library());
        let message = match self.report.identity.runtime.as_str() {
            "" => format!("{why}; TensorRT {used} is loaded: build it again with this one"),
            built => {
                format!("{why}; {built} built it and TensorRT {used} is loaded: build it again with this one")
            }
        };
        Error::new(kind, message)
    }

    /// The engine's own profiles must run all that the report says they do: else TensorRT would refuse what we took for
    /// covered.
    fn check_profiles(&self, engine: &Engine, contract: &Contract) -> Result<(), Error> {
        let said = &self.report.profiles;
        let found = engine.profiles();
        if found != said.len() {
            return Err(Error::invalid(format!(
                "the engine has {found} profiles, but {REPORT} names {}; build it again",
                said.len()
            )));
        }
        for (index, profile) in said.iter().enumerate() {
            let shapes = profile.shapes();
            let ends = [(End::Least, shapes.smallest()), (End::Most, shapes.largest())];
            for (end, shape) in ends {
                let ids = engine.profile_shape(&contract.ids, index, end);
                let past = engine.profile_shape(&contract.cache[0].past, index, end);
                if !reaches(end, &ids, &past, &shape) {
                    let end = if end == End::Least { "begins" } else { "ends" };
                    return Err(Error::invalid(format!(
                        "profile {index} is {profile} in {REPORT}, but the engine's {end} at input_ids {ids:?} and \
                         past_key_values {past:?}; build it again"
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Whether the end of an engine's profile lies at or beyond that of `shape`.
fn reaches(end: End, ids: &[i64], past: &[i64], shape: &Shape) -> bool {
    let &[batch, tokens] = ids else { return false };
    let &[_, _, past, _] = past else { return false };
    let pairs = [(batch, shape.batch), (tokens, shape.tokens), (past, shape.past)];
    pairs.iter().all(|&(found, wanted)| match end {
        End::Least => found <= i64::from(wanted),
        End::Most => found >= i64::from(wanted),
    })
}

impl Sizes {
    fn of(config: &Value) -> Self {
        let number = |keys: &[&str]| {
            let found = keys.iter().find_map(|key| config.get(key)?.as_u64());
            found.and_then(|number| usize::try_from(number).ok())
        };
        let heads = number(&["num_attention_heads", "n_head"]);
        let hidden = number(&["hidden_size", "n_embd"]);
        let divided = heads.zip(hidden).filter(|&(heads, _)| heads > 0).map(|(heads, hidden)| hidden / heads);
        Self {
            vocab: number(&["vocab_size"]),
            context: number(&["max_position_embeddings", "n_positions", "n_ctx"]),
            kv_heads: number(&["num_key_value_heads"]).or(heads),
            head_size: number(&["head_dim"]).or(divided),
            layers: number(&["num_hidden_layers", "n_layer"]),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|e| {
        Error::invalid(format!(
            "cannot read {}: {e}; expected the file that building an engine makes: build it again",
            path.display()
        ))
    })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = read(path)?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::invalid(format!("{} is damaged: {e}; build the engine again", path.display())))
}

/// What an engine computes in, by the name that its builder was given: `int8-qdq` is `int8`.
pub(crate) fn precision_of(built: &str) -> String {
    let first = built.split('-').next().unwrap_or_default();
    match first {
        "fp32" => "f32",
        "fp16" => "f16",
        other => other,
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn folder_of(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    const REPORTED: &str = r#"{"precision":"fp16","profiles":[{"batch":[1],"tokens":[8],"past":[0]}]}"#;

    #[test]
    fn a_missing_or_damaged_file_is_named_in_one_line() {
        let whole = [(ENGINE, "plan"), (REPORT, REPORTED), (CONFIG, "{}")];
        assert!(Folder::read(folder_of(&whole).path()).is_ok());
        for (name, text, said) in [
            (ENGINE, None, "cannot read"),
            (ENGINE, Some(""), "is empty"),
            (REPORT, None, "cannot read"),
            (REPORT, Some("{"), "is damaged"),
            (REPORT, Some(r#"{"profiles":[{"batch":[2,1]}]}"#), "is damaged"),
            (REPORT, Some("{}"), "names no profiles"),
            (CONFIG, None, "cannot read"),
            (CONFIG, Some("nothing"), "is damaged"),
        ] {
            let files: Vec<_> = whole
                .iter()
                .filter_map(
                    |&(file, own)| {
                        if file == name { text.map(|text| (file, text)) } else { Some((file, own)) }
                    },
                )
                .collect();
            let error = Folder::read(folder_of(&files).path()).err().unwrap();
            assert_eq!(error.kind, ErrorKind::InvalidInput);
            assert!(error.message.contains(said) && error.message.contains(name), "{}", error.message);
            assert!(!error.message.contains('\n'), "{}", error.message);
        }
        let error = Folder::read(Path::new("/nothing/here")).err().unwrap();
        assert!(error.message.contains("/nothing/here is no folder"), "{}", error.message);
    }

    #[test]
    fn sizes_come_from_either_family_of_keys() {
        let gpt2 = json!({"vocab_size": 512, "n_positions": 128, "n_head": 4, "n_embd": 48, "n_layer": 2});
        let llama = json!({"vocab_size": 512, "max_position_embeddings": 128, "num_attention_heads": 8,
                           "num_key_value_heads": 4, "hidden_size": 96, "num_hidden_layers": 2});
        let expected = Sizes {
            vocab: Some(512),
            context: Some(128),
            kv_heads: Some(4),
            head_size: Some(12),
            layers: Some(2),
        };
        assert_eq!(Sizes::of(&gpt2), expected);
        assert_eq!(Sizes::of(&llama), expected);
        assert_eq!(Sizes::of(&json!({"n_head": 0, "n_embd": 8})).head_size, None);
    }

    #[test]
    fn a_profile_reaches_what_lies_inside() {
        let shape = Shape { batch: 2, tokens: 8, past: 4 };
        for (end, ids, past, reached) in [
            (End::Least, [1, 8], 0, true),
            (End::Least, [3, 8], 0, false),
            (End::Least, [2, 8], 5, false),
            (End::Most, [2, 8], 4, true),
            (End::Most, [2, 7], 4, false),
            (End::Most, [4, 8], 3, false),
        ] {
            assert_eq!(reaches(end, &ids, &[2, 1, past, 4], &shape), reached, "{end:?} {ids:?} {past}");
        }
        assert!(!reaches(End::Most, &[], &[], &shape), "an engine without such an input");
    }

    #[test]
    fn a_precision_is_named_as_elsewhere() {
        let named = ["fp32", "fp16", "bf16", "int8-qdq", "fp8-qdq"].map(precision_of);
        assert_eq!(named, ["f32", "f16", "bf16", "int8", "fp8"]);
    }
}
