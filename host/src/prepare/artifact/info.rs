//! What an artifact is and how it came about: the content of its `artifact.json`.

use super::Artifact;
use crate::model::onnx::Coverage;
use inferhost_plugin_api::build::BuildReport;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A description of an artifact, written beside its files.
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
    /// Of the model, each in the graph.
    pub parameters: u64,
    /// Of all files.
    pub bytes: u64,
    /// Over the files' hashes.
    pub sha256: String,
    /// The version of the standard operators.
    pub opset: i64,
    /// Number of nodes by operator, read back from the file.
    pub nodes: BTreeMap<String, u32>,
    /// What weights are stored and products computed in, read back from the file.
    pub coverage: Coverage,
    /// What activations' ranges come from, where the precision has them fixed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub calibration: Option<CalibrationInfo>,
    /// How the engine came out, where it is one; what is said of nodes and coverage is then of the graph it was built from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub engine: Option<BuildReport>,
    /// Wall time of the build, without a calibration.
    pub build_seconds: f64,
    /// What the folder holds besides `artifact.json`.
    pub files: Vec<ArtifactFile>,
}

/// What a calibration ran over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationInfo {
    /// The corpus; none: random token ids.
    pub corpus: Option<String>,
    /// Of its token ids.
    pub corpus_sha256: String,
    /// How many there were.
    pub tokens: u64,
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
