//! Writes a model as an ONNX graph for one purpose: decoding with cached keys and values, fast.
//!
//! An exporter traces a general implementation and keeps its shape arithmetic; here the graph is written down for
//! the job. [`gpt2`] and [`llama`] say what a model is made of, a [`Decoder`]; [`writer`] puts it together from
//! [`linear`], [`norm`] and [`attention`] in the dialect and precision that are asked for; [`encode`] makes the
//! weights, [`file`] streams them to disk.

mod attention;
mod decoder;
mod encode;
mod file;
mod gpt2;
mod graph;
mod linear;
mod llama;
mod norm;
mod observe;
mod places;
#[cfg(test)]
mod tests;
mod writer;

use super::artifact::Artifact;
use super::calibrate::Ranges;
use super::{ArtifactFile, PrepareError};
use crate::model::{Architecture, ResolvedModel, Weights};
use decoder::Decoder;
use std::path::Path;
use writer::Writer;

/// Part of every artifact's key: raise it whenever the same model would give another graph.
pub(super) const WRITER: u32 = 4;
/// The version of the standard operators: 21 brings 4-bit integers and scales by block.
pub(super) const OPSET: i64 = 21;
/// Most bytes of rotary tables: a context in the hundreds of millions is a damaged config.
const MOST_ROTARY_BYTES: u64 = 1 << 30;
/// The graph's file name in an artifact's folder.
pub(super) const FILE: &str = "model.onnx";

/// What was written.
pub(super) struct Written {
    pub(super) parameters: u64,
    /// Bytes of the largest constants, the rotary tables.
    pub(super) constant_bytes: u64,
    pub(super) files: Vec<ArtifactFile>,
}

/// Fills `folder` with `model.onnx`, its external weights where they are large, and `config.json`.
pub(super) fn write(
    model: &ResolvedModel,
    artifact: &Artifact,
    ranges: Option<&Ranges>,
    folder: &Path,
) -> Result<Written, PrepareError> {
    let decoder = decoder(model)?;
    let weights = Weights::open(&model.folder)?;
    let writer = Writer::new(&decoder, artifact, ranges).model();
    let mut properties = vec![
        ("inferhost.writer", WRITER.to_string()),
        ("inferhost.precision", artifact.precision.name().to_string()),
        ("inferhost.model_sha256", model.sha256.clone()),
    ];
    if writer.in_place {
        properties.push(("inferhost.kv_cache", "in_place".to_string()));
        properties.push(("inferhost.padding", "right".to_string()));
    }
    let (parameters, constant_bytes) = (writer.g.parameters(), writer.g.constant_bytes());
    let mut files = file::write(writer.g, &weights, &properties, folder)?;
    files.push(file::copy("config.json", &model.folder, folder)?);
    Ok(Written { parameters, constant_bytes, files })
}

/// Fills `folder` with a graph that gives every product's input in place of logits: which matrices take it, and how
/// wide it is, in the order of the output.
pub(super) fn write_observer(
    model: &ResolvedModel,
    folder: &Path,
) -> Result<Vec<(Vec<String>, u32)>, PrepareError> {
    let decoder = decoder(model)?;
    let weights = Weights::open(&model.folder)?;
    let (graph, groups) = observe::graph(&decoder);
    file::write(graph, &weights, &[], folder)?;
    Ok(groups)
}

fn decoder(model: &ResolvedModel) -> Result<Decoder, PrepareError> {
    match &model.config.architecture {
        Architecture::Gpt2(config) => Ok(gpt2::decoder(config)),
        Architecture::Llama(config) => {
            let bytes = 4 * u64::from(config.max_position_embeddings) * u64::from(config.head_dim);
            if bytes > MOST_ROTARY_BYTES {
                let problem = format!(
                    "its rotary tables for max_position_embeddings = {} would take {bytes} bytes; lower that key of its config.json to the positions you use",
                    config.max_position_embeddings
                );
                return Err(PrepareError::Unsuited { spec: model.spec.clone(), problem });
            }
            Ok(llama::decoder(config))
        }
        Architecture::Unknown => {
            let problem =
                "no graph can be written for its architecture; export it as ONNX and name that folder";
            Err(PrepareError::Unsuited { spec: model.spec.clone(), problem: problem.into() })
        }
    }
}
