//! Artifacts: what is built from a model once and kept in the cache.
//!
//! `<cache>/artifacts/<key>/` holds one, with an `artifact.json` that says what it is. The key covers all that
//! decides the content, so a changed model or writer never meets an old artifact; a folder whose files are not
//! as `artifact.json` says is built again.

use super::{PrepareError, onnx};
use crate::digest;
use crate::model::{ResolvedModel, cache, file_digest};
use inferhost_plugin_api::ModelForm;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

const DESCRIPTION: &str = "artifact.json";

/// A form that this program builds, with its precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Artifact {
    /// An ONNX graph of standard operators with 32-bit weights.
    #[serde(rename = "onnx-fp32")]
    OnnxFp32,
}

impl Artifact {
    /// All there are.
    pub const ALL: [Self; 1] = [Self::OnnxFp32];

    /// The name in configs and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnnxFp32 => "onnx-fp32",
        }
    }

    /// The form under which a plugin opens it.
    pub const fn form(self) -> ModelForm {
        match self {
            Self::OnnxFp32 => ModelForm::Onnx,
        }
    }
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Artifact {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|artifact| artifact.name() == name).ok_or_else(|| {
            format!("unknown artifact {name:?}; known are {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}

/// What an artifact is and how it came about: the content of its `artifact.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactInfo {
    /// Which one.
    pub name: Artifact,
    /// The version of the writer that made it.
    pub writer: u32,
    /// The spec of the model it was first built for.
    pub model: String,
    /// That model's hash.
    pub model_sha256: String,
    /// Weights in the graph.
    pub parameters: u64,
    /// Of all files.
    pub bytes: u64,
    /// Over the files' hashes.
    pub sha256: String,
    /// The version of the standard operators.
    pub opset: i64,
    /// Number of nodes by operator.
    pub nodes: BTreeMap<String, u32>,
    /// Wall time of the build.
    pub build_seconds: f64,
    /// What the folder holds besides `artifact.json`.
    pub files: Vec<ArtifactFile>,
}

/// One file of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactFile {
    /// Inside the artifact's folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Of its content.
    pub sha256: String,
}

/// The artifact's folder and description, built first where the cache does not hold it whole.
pub(super) fn ensure(
    artifact: Artifact,
    model: &ResolvedModel,
    cache_dir: &Path,
) -> Result<(PathBuf, ArtifactInfo), PrepareError> {
    let key = Sha256::digest(format!("{}\n{artifact}\n{}", model.sha256, onnx::WRITER));
    let folder = cache_dir.join("artifacts").join(&digest::hex(&key)[..32]);
    let folder = std::path::absolute(&folder).map_err(PrepareError::io(&folder))?;
    let build = |partial: &Path| build(artifact, model, partial);
    let check = |folder: &Path| intact(folder, cache_dir);
    let info = cache::build_once(&folder, check, build, PrepareError::io(&folder))?;
    Ok((folder, info))
}

/// The description of an artifact whose files are all there as they were written.
fn intact(folder: &Path, cache_dir: &Path) -> Option<ArtifactInfo> {
    let info: ArtifactInfo = serde_json::from_slice(&fs::read(folder.join(DESCRIPTION)).ok()?).ok()?;
    let is_whole = |file: &ArtifactFile| {
        file_digest::of_file(&folder.join(&file.name), cache_dir).is_ok_and(|found| found == file.sha256)
    };
    info.files.iter().all(is_whole).then_some(info)
}

fn build(artifact: Artifact, model: &ResolvedModel, folder: &Path) -> Result<(), PrepareError> {
    let start = Instant::now();
    let written = match artifact {
        Artifact::OnnxFp32 => onnx::write(model, folder)?,
    };
    if written.parameters != model.parameters {
        let problem = format!(
            "{artifact} came out with {} parameters instead of {}; this is a mistake in inferhost",
            written.parameters, model.parameters
        );
        return Err(PrepareError::Unsuited { spec: model.spec.clone(), problem });
    }
    let mut all = Sha256::new();
    for file in &written.files {
        all.update(format!("{}\0{}\n", file.name, file.sha256));
    }
    let info = ArtifactInfo {
        name: artifact,
        writer: onnx::WRITER,
        model: model.spec.clone(),
        model_sha256: model.sha256.clone(),
        parameters: written.parameters,
        bytes: written.files.iter().map(|file| file.bytes).sum(),
        sha256: digest::hex(&all.finalize()),
        opset: onnx::OPSET,
        nodes: written.nodes,
        build_seconds: start.elapsed().as_secs_f64(),
        files: written.files,
    };
    let path = folder.join(DESCRIPTION);
    let text = serde_json::to_string_pretty(&info).map_err(|e| PrepareError::io(&path)(e.into()))?;
    fs::write(&path, text + "\n").map_err(PrepareError::io(&path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    #[test]
    fn names_parse_and_print() {
        for artifact in Artifact::ALL {
            assert_eq!(artifact.to_string().parse(), Ok(artifact));
            assert_eq!(serde_json::to_string(&artifact).unwrap(), format!("\"{artifact}\""));
        }
        let message = "onnx-fp16".parse::<Artifact>().unwrap_err();
        assert_eq!(message, "unknown artifact \"onnx-fp16\"; known are onnx-fp32");
    }

    #[test]
    fn an_artifact_is_built_once_and_again_when_damaged() {
        let cache = tempfile::tempdir().unwrap();
        let spec = "synthetic:gpt2?layers=2&embd=6&heads=3&vocab=11&ctx=5";
        let model = model::resolve(spec, cache.path()).unwrap();
        let ensure = || ensure(Artifact::OnnxFp32, &model, cache.path()).unwrap();
        let (folder, info) = ensure();
        assert_eq!((info.parameters, info.model.as_str()), (model.parameters, spec));
        assert_eq!(info.nodes["Softmax"], 2);
        assert_eq!(ensure().1, info);

        let graph = folder.join("model.onnx");
        let good = fs::read(&graph).unwrap();
        for damage in ["model.onnx", "config.json", DESCRIPTION] {
            fs::remove_file(folder.join(damage)).unwrap();
            let again = ensure().1;
            assert_eq!(again.sha256, info.sha256, "{damage}");
            assert_eq!(fs::read(&graph).unwrap(), good, "the bytes are the same each time");
        }
        fs::write(&graph, &good[1..]).unwrap();
        ensure();
        assert_eq!(fs::read(&graph).unwrap(), good);
    }
}
