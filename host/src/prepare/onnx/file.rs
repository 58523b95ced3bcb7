//! Writes a graph and its weights to disk, one tensor at a time: a model never lies in memory whole.
//!
//! Small models are one file. Larger ones keep their weights in `model.onnx.data`, each on a page boundary so that
//! a runtime can map it; protobuf itself ends at 2 GiB. The same model always gives the same bytes.

use super::graph::{Content, Graph, Initializer};
use super::{FILE, OPSET, WRITER};
use crate::digest;
use crate::model::Weights;
use crate::model::onnx::proto::{
    EXTERNAL, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
};
use crate::prepare::{ArtifactFile, PrepareError};
use prost::Message;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const DATA: &str = "model.onnx.data";
/// Weights of at least this many bytes together go into a file of their own …
const LARGE_MODEL: u64 = 16 << 20;
/// … but not tensors smaller than a page, which would waste most of theirs.
const PAGE: u64 = 4096;
/// The file format's version that opset 20 came with.
const IR_VERSION: i64 = 9;

/// Writes `graph` into `folder`.
pub(super) fn write(
    graph: Graph,
    weights: &Weights,
    model_sha256: &str,
    folder: &Path,
) -> Result<Vec<ArtifactFile>, PrepareError> {
    let mut data =
        if 4 * graph.parameters() >= LARGE_MODEL { Some(Output::create(folder, DATA)?) } else { None };
    let mut initializer = Vec::with_capacity(graph.initializers.len());
    for one in &graph.initializers {
        initializer.push(tensor(one, weights, data.as_mut())?);
    }
    let model = ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: Some("inferhost".into()),
        producer_version: Some(WRITER.to_string()),
        graph: Some(GraphProto {
            node: graph.nodes,
            name: Some("decoder".into()),
            initializer,
            input: graph.inputs,
            output: graph.outputs,
        }),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) }],
        metadata_props: vec![
            StringStringEntryProto::new("inferhost.writer", WRITER.to_string()),
            StringStringEntryProto::new("inferhost.model_sha256", model_sha256),
        ],
    };
    let mut out = Output::create(folder, FILE)?;
    out.write(&model.encode_to_vec())?;
    [Some(out), data].into_iter().flatten().map(Output::finish).collect()
}

/// Copies a file into the artifact.
pub(super) fn copy(name: &str, from: &Path, to: &Path) -> Result<ArtifactFile, PrepareError> {
    let source = from.join(name);
    let content = fs::read(&source).map_err(PrepareError::io(&source))?;
    let mut out = Output::create(to, name)?;
    out.write(&content)?;
    out.finish()
}

fn tensor(
    initializer: &Initializer,
    weights: &Weights,
    data: Option<&mut Output>,
) -> Result<TensorProto, PrepareError> {
    let Initializer { name, data_type, dims, content } = initializer;
    let mut tensor = TensorProto {
        dims: dims.clone(),
        data_type: Some(*data_type),
        name: Some(name.clone()),
        ..TensorProto::default()
    };
    let bytes = 4 * initializer.len();
    match (content, data) {
        (Content::Constant(value), _) => tensor.raw_data = Some(value.clone()),
        (Content::Weight, Some(data)) if bytes >= PAGE => {
            let offset = data.align()?;
            weights.read_pieces(name, |piece| data.write(piece))?;
            tensor.data_location = Some(EXTERNAL);
            tensor.external_data = vec![
                StringStringEntryProto::new("location", DATA),
                StringStringEntryProto::new("offset", offset.to_string()),
                StringStringEntryProto::new("length", bytes.to_string()),
            ];
        }
        (Content::Weight, _) => {
            let mut value = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
            weights.read_pieces(name, |piece| {
                value.extend_from_slice(piece);
                Ok::<(), PrepareError>(())
            })?;
            tensor.raw_data = Some(value.into());
        }
    }
    Ok(tensor)
}

/// A file that is hashed as it is written.
struct Output {
    name: String,
    path: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Output {
    fn create(folder: &Path, name: &str) -> Result<Self, PrepareError> {
        let path = folder.join(name);
        let file = File::create(&path).map_err(PrepareError::io(&path))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { name: name.into(), path, file, hash: Sha256::new(), bytes: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PrepareError> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(PrepareError::io(&self.path))
    }

    /// Fills up to the next page and gives its offset.
    fn align(&mut self) -> Result<u64, PrepareError> {
        let padding = self.bytes.next_multiple_of(PAGE) - self.bytes;
        self.write(&vec![0; usize::try_from(padding).unwrap_or(0)])?;
        Ok(self.bytes)
    }

    fn finish(mut self) -> Result<ArtifactFile, PrepareError> {
        self.file.flush().map_err(PrepareError::io(&self.path))?;
        Ok(ArtifactFile { name: self.name, bytes: self.bytes, sha256: digest::hex(&self.hash.finalize()) })
    }
}
