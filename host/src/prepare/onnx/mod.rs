//! Writes a model as an ONNX graph for one purpose: decoding with cached keys and values, fast in ONNX Runtime.
//!
//! An exporter traces a general implementation and keeps its shape arithmetic; here the graph is written down for
//! the job, of standard operators only. [`gpt2`] says what is computed, [`graph`] collects nodes and weights,
//! [`file`] streams them to disk.

mod file;
mod gpt2;
mod graph;

use super::{ArtifactFile, PrepareError};
use crate::model::{Architecture, ResolvedModel, Weights};
use std::collections::BTreeMap;
use std::path::Path;

/// Part of every artifact's key: raise it whenever the same model would give another graph.
pub(super) const WRITER: u32 = 1;
/// The version of the standard operators: 20 brings `Gelu`.
pub(super) const OPSET: i64 = 20;
/// The graph's file name in an artifact's folder.
pub(super) const FILE: &str = "model.onnx";

/// What was written.
pub(super) struct Written {
    pub(super) parameters: u64,
    pub(super) nodes: BTreeMap<String, u32>,
    pub(super) files: Vec<ArtifactFile>,
}

/// Fills `folder` with `model.onnx`, its external weights where they are large, and `config.json`.
pub(super) fn write(model: &ResolvedModel, folder: &Path) -> Result<Written, PrepareError> {
    let Architecture::Gpt2(config) = &model.config.architecture else {
        let problem = "no graph can be written for its architecture; export it as ONNX and name that folder";
        return Err(PrepareError::Unsuited { spec: model.spec.clone(), problem: problem.into() });
    };
    let weights = Weights::open(&model.folder)?;
    let graph = gpt2::graph(config);
    let parameters = graph.parameters();
    let nodes = graph.operators();
    let mut files = file::write(graph, &weights, &model.sha256, folder)?;
    files.push(file::copy("config.json", &model.folder, folder)?);
    Ok(Written { parameters, nodes, files })
}
