//! From a spec string to a model whose files have been read, checked, counted and hashed.

use super::config::{MODEL_TYPES, eos_token_ids};
use super::{
    Architecture, Hub, ModelConfig, ModelError, ModelSource, Tokenizer, TokenizerFiles, Weights, engine,
    file_digest, genai, onnx, program, synthetic, tensors,
};
use inferhost_plugin_api::program::{find_program, is_program_name};
use inferhost_plugin_api::shapes::Profile;
use inferhost_plugin_api::{ModelForm, config_beside, find_graph};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.json";

/// A model on disk, before any runtime-specific form.
#[derive(Debug, Clone)]
pub struct ResolvedModel {
    /// As it was written.
    pub spec: String,
    /// What lies in `folder`.
    pub kind: ModelKind,
    /// Where its files are, absolute.
    pub folder: PathBuf,
    /// Of its `config.json`, completed from the graph where it is ONNX.
    pub config: ModelConfig,
    /// Size of the files that hold its weights.
    pub bytes: u64,
    /// Counted from the tensors: tied weights once, buffers not. None where a program does not tell.
    pub parameters: Option<u64>,
    /// Over config and weights.
    pub sha256: String,
    /// Where generation ends; may be empty.
    pub eos_token_ids: Vec<u32>,
    /// Its tokenizer, where it came with one.
    pub tokenizer: Option<TokenizerFiles>,
}

impl ResolvedModel {
    /// Reads the model's tokenizer.
    ///
    /// # Errors
    /// A model without one, or a malformed file.
    pub fn load_tokenizer(&self) -> Result<Tokenizer, ModelError> {
        let without =
            || ModelError::spec(&self.spec, "it has no tokenizer, so give token ids instead of text");
        self.tokenizer.as_ref().ok_or_else(without)?.load()
    }
}

/// The form in which a model came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelKind {
    /// `config.json` and safetensors.
    HuggingFace,
    /// A ready graph.
    Onnx {
        /// The `.onnx` file.
        graph: PathBuf,
    },
    /// An engine plan that was built elsewhere.
    Engine {
        /// What it runs.
        profiles: Vec<Profile>,
    },
    /// A program that PyTorch exported.
    Program {
        /// Its file.
        file: PathBuf,
        /// TorchScript or AOTInductor.
        form: ModelForm,
    },
}

/// Finds, fetches or makes the model that `spec` names, and checks it. `cache` is inferhost's own cache folder.
///
/// # Errors
/// One line that names the file, tensor or key at fault.
pub fn resolve(spec: &str, cache: &Path) -> Result<ResolvedModel, ModelError> {
    let folder = match spec.parse()? {
        ModelSource::Path(path) => return from_path(spec, &path, cache),
        ModelSource::Synthetic(size) => synthetic::ensure(&size, cache)?,
        ModelSource::Hub { repo, revision } => {
            let hub = Hub::from_env();
            hub.ok_or_else(|| ModelError::spec(spec, "no home folder for the hub's cache; set HF_HOME"))?
                .fetch(&repo, &revision)?
        }
    };
    let folder = std::path::absolute(&folder).map_err(ModelError::io(&folder))?;
    hugging_face(spec, folder, cache)
}

/// Holds a model against the size that it is said to have.
///
/// # Errors
/// Both numbers, where they are more than 1% apart, or that there is nothing to count.
pub fn check_claim(model: &ResolvedModel, claimed: u64) -> Result<(), ModelError> {
    let Some(found) = model.parameters else {
        let problem = "its file does not tell how many parameters it has; leave claimed_params out";
        return Err(ModelError::spec(&model.spec, problem));
    };
    if u128::from(found.abs_diff(claimed)) * 100 > u128::from(claimed) {
        return Err(ModelError::Claim { spec: model.spec.clone(), found, claimed });
    }
    Ok(())
}

fn from_path(spec: &str, path: &Path, cache: &Path) -> Result<ResolvedModel, ModelError> {
    let metadata = path.metadata().map_err(|error| match error.kind() {
        ErrorKind::NotFound => ModelError::spec(
            spec,
            "there is no such file or folder; give a folder, an .onnx, .ts or .pt2 file, hf:<org>/<name> or synthetic:<size>",
        ),
        _ => ModelError::io(path)(error),
    })?;
    let path = std::path::absolute(path).map_err(ModelError::io(path))?;
    if metadata.is_file() {
        if is_program_name(&path) {
            return program::resolve(spec, path, cache);
        }
        if path.extension().is_none_or(|extension| extension != "onnx") {
            let problem = "a file, but not an .onnx, .ts, .pt or .pt2 one; name the model's folder";
            return Err(ModelError::malformed(&path, problem));
        }
        return ready_graph(spec, path, cache);
    }
    let has = |name: &str| path.join(name).is_file();
    let has_weights = has("model.safetensors") || has("model.safetensors.index.json");
    if !has_weights && engine::is_in(&path) {
        return engine::resolve(spec, path, cache);
    }
    if !has_weights {
        let malformed = |problem: String| ModelError::malformed(&path, problem);
        let graph = find_graph(&path).map_err(malformed)?;
        match (graph, find_program(&path).map_err(malformed)?) {
            (Some(graph), Some(program)) => {
                let [graph, program] = [graph, program]
                    .map(|file| file.strip_prefix(&path).unwrap_or(&file).display().to_string());
                return Err(malformed(format!("holds {graph} and {program}; name the one to open")));
            }
            (Some(graph), None) => return ready_graph(spec, graph, cache),
            (None, Some(program)) => return program::resolve(spec, program, cache),
            (None, None) => {}
        }
    }
    if !has(CONFIG) {
        let problem = "not a model's folder: it has neither config.json with safetensors nor an .onnx, .ts or .pt2 file";
        return Err(ModelError::malformed(&path, problem));
    }
    hugging_face(spec, path, cache)
}

fn hugging_face(spec: &str, folder: PathBuf, cache: &Path) -> Result<ResolvedModel, ModelError> {
    let path = folder.join(CONFIG);
    let config = ModelConfig::read(&path)?;
    if config.architecture == Architecture::Unknown {
        let known = MODEL_TYPES.join(", ");
        let problem = match &config.model_type {
            Some(found) => format!(
                "model_type is {found:?}; supported are {known} (others as ONNX, TorchScript or AOTInductor)"
            ),
            None => format!("model_type is missing; expected one of {known}"),
        };
        return Err(ModelError::unsupported(&path, problem));
    }
    let weights = Weights::open(&folder)?;
    let parameters = tensors::check(&config.architecture, &weights)?;
    let mut files = vec![path];
    files.extend_from_slice(weights.files());
    Ok(ResolvedModel {
        spec: spec.into(),
        kind: ModelKind::HuggingFace,
        bytes: total_bytes(weights.files())?,
        sha256: file_digest::of_files(&files, cache)?,
        eos_token_ids: eos_token_ids(&folder)?,
        tokenizer: TokenizerFiles::find(&folder),
        config,
        parameters: Some(parameters),
        folder,
    })
}

fn ready_graph(spec: &str, graph: PathBuf, cache: &Path) -> Result<ResolvedModel, ModelError> {
    let summary = onnx::summarise(&graph)?;
    let path = config_beside(&graph);
    let folder = path.as_ref().unwrap_or(&graph).parent().unwrap_or(Path::new("")).to_path_buf();
    let mut config =
        path.as_deref().map_or_else(|| Ok(ModelConfig::unknown()), ModelConfig::read_beside_graph)?;
    let genai = genai::beside(&graph)?;
    genai::complete(&mut config, genai.as_ref());
    config.vocab_size = config.vocab_size.or(summary.vocab_size);
    let eos_token_ids = match &genai {
        Some(genai) if !genai.eos_token_ids.is_empty() => genai.eos_token_ids.clone(),
        _ => eos_token_ids(&folder)?,
    };
    let weights: Vec<PathBuf> = [graph.clone()].into_iter().chain(summary.data_files).collect();
    let bytes = total_bytes(&weights)?;
    let files: Vec<PathBuf> = weights.into_iter().chain(path).chain(genai.map(|genai| genai.file)).collect();
    Ok(ResolvedModel {
        spec: spec.into(),
        kind: ModelKind::Onnx { graph },
        bytes,
        sha256: file_digest::of_files(&files, cache)?,
        eos_token_ids,
        tokenizer: TokenizerFiles::find(&folder),
        config,
        parameters: Some(summary.parameters),
        folder,
    })
}

fn total_bytes(files: &[PathBuf]) -> Result<u64, ModelError> {
    files.iter().map(|file| file.metadata().map(|data| data.len()).map_err(ModelError::io(file))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shared;
    use std::fs;

    #[test]
    fn a_synthetic_model_is_a_folder_like_any_other() {
        let cache = tempfile::tempdir().unwrap();
        let made = resolve("synthetic:tiny-gpt2", cache.path()).unwrap();
        assert_eq!((made.parameters, made.eos_token_ids.as_slice()), (Some(102_714), &[50_256][..]));
        assert_eq!(made.bytes, made.folder.join("model.safetensors").metadata().unwrap().len());
        assert_eq!((made.config.vocab_size, made.config.context_length), (Some(50_257), Some(1024)));
        let read = resolve(made.folder.to_str().unwrap(), cache.path()).unwrap();
        assert_eq!(
            (read.sha256, read.parameters, read.kind),
            (made.sha256, Some(102_714), ModelKind::HuggingFace)
        );
        let other = resolve("synthetic:tiny-gpt2?seed=1", cache.path()).unwrap();
        assert_ne!(other.sha256, resolve("synthetic:tiny-gpt2", cache.path()).unwrap().sha256);
    }

    #[test]
    fn what_is_no_model_is_said_in_one_line() {
        let cache = tempfile::tempdir().unwrap();
        let folder = |name: &str, files: &[(&str, &str)]| {
            let folder = cache.path().join(name);
            fs::create_dir(&folder).unwrap();
            for (name, text) in files {
                fs::write(folder.join(name), text).unwrap();
            }
            folder
        };
        let text = folder("text", &[("a.txt", ""), ("empty.onnx", ""), ("bad.onnx", "no protobuf")]);
        for (path, expected) in [
            (cache.path().join("absent"), "absent\": there is no such file or folder; give "),
            (folder("empty", &[]), "neither config.json with safetensors nor an .onnx, .ts or .pt2 file"),
            (text.clone(), "text: holds bad.onnx, empty.onnx, none of them model.onnx or "),
            (text.join("a.txt"), "a file, but not an .onnx, .ts, .pt or .pt2 one"),
            (text.join("empty.onnx"), "it has no graph"),
            (text.join("bad.onnx"), "not an ONNX model"),
            (folder("json", &[("config.json", "{")]), "config.json: not a model's config: EOF"),
            (folder("none", &[("config.json", "{}")]), "model_type is missing; expected one of gpt2, llama"),
            (
                folder("bert", &[("config.json", r#"{"model_type":"bert"}"#)]),
                "model_type is \"bert\"; supported are gpt2, llama, mistral, qwen2 (others as ONNX, TorchScript or AOTInductor)",
            ),
        ] {
            let message = resolve(path.to_str().unwrap(), cache.path()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }

    #[test]
    fn the_trained_model_is_as_its_readme_says() {
        let Some(path) = shared("models/gpt2-wikitext-7m") else { return };
        let cache = tempfile::tempdir().unwrap();
        let model = resolve(path.to_str().unwrap(), cache.path()).unwrap();
        assert_eq!((model.parameters, model.eos_token_ids.as_slice()), (Some(7_357_312), &[50_256][..]));
        assert!(model.tokenizer.is_some());
    }
}
