//! An engine plan that was built elsewhere, as a model: its folder holds the plan, what its builder said of it, and the
//! model's `config.json`.

use super::config::eos_token_ids;
use super::{ModelConfig, ModelError, ModelKind, ResolvedModel, TokenizerFiles, file_digest};
use crate::input;
use inferhost_plugin_api::build::{BuildReport, ENGINE, REPORT};
use inferhost_plugin_api::shapes::{Profile, check_given};
use serde::Deserialize;
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.json";
/// Written beside an engine by `inferhost prepare`.
const DESCRIPTION: &str = "artifact.json";

/// What is wanted of the description.
#[derive(Default, Deserialize)]
struct Described {
    parameters: Option<u64>,
}

/// Whether `folder` is one of an engine plan, whole or not.
pub(super) fn is_in(folder: &Path) -> bool {
    [ENGINE, REPORT].iter().any(|name| folder.join(name).exists())
}

/// The engine in `folder`.
///
/// # Errors
/// A file that is missing beside the plan, or malformed.
pub(super) fn resolve(spec: &str, folder: PathBuf, cache: &Path) -> Result<ResolvedModel, ModelError> {
    let plan = folder.join(ENGINE);
    let is_engine = plan.metadata().is_ok_and(|file| file.is_file() && file.len() > 0);
    if !is_engine {
        let problem = format!(
            "has {REPORT}, but its {ENGINE} is missing, empty or no file; take the whole folder that inferhost prepare made"
        );
        return Err(ModelError::malformed(&folder, problem));
    }
    let profiles = profiles(&folder)?;
    let files: Vec<PathBuf> = [ENGINE, REPORT, CONFIG].iter().map(|name| folder.join(name)).collect();
    if !files[2].is_file() {
        return Err(ModelError::malformed(
            &folder,
            format!("has {ENGINE}, but no {CONFIG} beside it; copy the model's"),
        ));
    }
    let described: Described = input::text(&folder.join(DESCRIPTION), input::CONFIG)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    Ok(ResolvedModel {
        spec: spec.into(),
        kind: ModelKind::Engine { profiles },
        config: ModelConfig::read_beside_graph(&files[2])?,
        bytes: plan.metadata().map_err(ModelError::io(&plan))?.len(),
        parameters: described.parameters,
        sha256: file_digest::of_files(&files, cache)?,
        eos_token_ids: eos_token_ids(&folder)?,
        tokenizer: TokenizerFiles::find(&folder),
        folder,
    })
}

/// What the engine in `folder` runs.
pub(super) fn profiles(folder: &Path) -> Result<Vec<Profile>, ModelError> {
    let path = folder.join(REPORT);
    if !path.is_file() {
        let problem = format!(
            "has {ENGINE}, but no {REPORT} beside it, which says what it runs; take the whole folder that inferhost prepare made"
        );
        return Err(ModelError::malformed(folder, problem));
    }
    let text = input::text(&path, input::CONFIG).map_err(ModelError::io(&path))?;
    let report: BuildReport = serde_json::from_str(&text)
        .map_err(|error| ModelError::malformed(&path, format!("is no report of a build: {error}")))?;
    check_given(&report.profiles)
        .map_err(|problem| ModelError::malformed(&path, format!("is no report of a build: {problem}")))?;
    Ok(report.profiles)
}

#[cfg(test)]
mod tests {
    use crate::model::{ModelKind, context_length, engine_profiles, resolve};
    use std::fs;

    const REPORT: &str = r#"{"precision":"fp16","profiles":[{"batch":[1],"tokens":[1,8],"past":[0]}]}"#;

    #[test]
    fn an_engine_is_known_by_its_folder() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("engine");
        let spec = folder.to_str().unwrap();
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("engine.plan"), "plan").unwrap();
        let refused = || resolve(spec, cache.path()).unwrap_err().to_string();
        assert!(refused().contains("no engine.json beside it"), "{}", refused());
        for (report, part) in [
            ("text", "is no report"),
            ("{}", "0 profiles"),
            (r#"{"profiles":[{"batch":[0],"tokens":[1],"past":[0]}]}"#, "no rows"),
        ] {
            fs::write(folder.join("engine.json"), report).unwrap();
            assert!(refused().contains(part), "{}", refused());
        }
        fs::write(folder.join("engine.json"), "text").unwrap();
        assert!(refused().contains("engine.json: is no report of a build"), "{}", refused());
        fs::write(folder.join("engine.json"), REPORT).unwrap();
        assert!(refused().contains("no config.json beside it; copy the model's"), "{}", refused());
        let config =
            r#"{"model_type":"gpt2","vocab_size":31,"n_positions":16,"n_embd":16,"n_head":2,"n_layer":1}"#;
        fs::write(folder.join("config.json"), config).unwrap();
        fs::write(folder.join("artifact.json"), r#"{"parameters": 77}"#).unwrap();
        fs::write(folder.join("engine.plan"), "").unwrap();
        assert!(refused().contains("missing, empty or no file"), "{}", refused());
        fs::write(folder.join("engine.plan"), "plan").unwrap();
        let model = resolve(spec, cache.path()).unwrap();
        assert_eq!((model.parameters, model.bytes, model.config.vocab_size), (Some(77), 4, Some(31)));
        let ModelKind::Engine { profiles } = &model.kind else { panic!("not an engine") };
        assert_eq!(profiles[0].to_string(), "1 x 1..8");
        assert_eq!(engine_profiles(spec).unwrap().as_ref(), Some(profiles));
        assert_eq!(context_length(spec).unwrap(), Some(16));
        assert_eq!(engine_profiles("synthetic:tiny-gpt2").unwrap(), None);
    }
}
