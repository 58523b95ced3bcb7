//! Writes a graph and its weights to disk, one weight at a time: a model never lies in memory whole.
//!
//! Small models are one file. Larger ones keep their weights in `model.onnx.data`, each on a page boundary so that
//! a runtime can map it; protobuf itself ends at 2 GiB. The same graph and model always give the same bytes.

use super::encode::{Encoded, check_finite};
use super::graph::{CONTRIB, Content, Graph, Initializer};
use super::{FILE, OPSET, WRITER};
use crate::digest;
use crate::model::Weights;
use crate::model::onnx::proto::{
    EXTERNAL, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
};
use crate::prepare::{ArtifactFile, PrepareError};
use prost::Message;
use prost::bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const DATA: &str = "model.onnx.data";
/// Models that come to at least this many bytes in 32 bits have their weights in a file of their own …
const LARGE_MODEL: u64 = 16 << 20;
/// … but not weights smaller than a page, which would waste most of theirs.
const PAGE: u64 = 4096;
/// The file format's version that 4-bit integers came with.
const IR_VERSION: i64 = 10;
/// Of the contrib operators there is one version.
const CONTRIB_VERSION: i64 = 1;

/// Writes `graph` into `folder`, with `properties` for whoever reads it.
pub(super) fn write(
    mut graph: Graph,
    weights: &Weights,
    properties: &[(&str, String)],
    folder: &Path,
) -> Result<Vec<ArtifactFile>, PrepareError> {
    let bytes = 4 * graph.parameters() + graph.constant_bytes();
    let data = if bytes >= LARGE_MODEL { Some(Output::create(folder, DATA)?) } else { None };
    let initializers = std::mem::take(&mut graph.initializers);
    let mut tensors = Tensors { graph: &graph, weights, data, made: None, written: BTreeMap::new() };
    let mut initializer = Vec::with_capacity(initializers.len());
    for one in initializers {
        initializer.push(tensors.tensor(one)?);
    }
    let data = tensors.data;
    let uses_contrib = graph.nodes.iter().any(|node| node.domain.as_deref() == Some(CONTRIB));
    let domains = [(Some(("", OPSET))), uses_contrib.then_some((CONTRIB, CONTRIB_VERSION))];
    let opset = |(domain, version): (&str, i64)| OperatorSetIdProto {
        domain: Some(domain.into()),
        version: Some(version),
    };
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
        opset_import: domains.into_iter().flatten().map(opset).collect(),
        metadata_props: properties
            .iter()
            .map(|(key, value)| StringStringEntryProto::new(*key, value.as_str()))
            .collect(),
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

/// Where the bytes of a tensor went.
#[derive(Clone)]
enum Place {
    Inline(Bytes),
    Data { offset: u64, bytes: u64 },
}

/// Turns initialisers into the file's tensors.
struct Tensors<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    data: Option<Output>,
    /// The recipe that was made last: its scales come right after its values.
    made: Option<(usize, Encoded)>,
    /// By name, of what came before.
    written: BTreeMap<String, Place>,
}

impl Tensors<'_> {
    fn tensor(&mut self, one: Initializer) -> Result<TensorProto, PrepareError> {
        let place = match one.content {
            Content::Constant(bytes) => self.place(bytes)?,
            Content::Same(of) => self.written.get(&of).cloned().unwrap_or(Place::Inline(Bytes::new())),
            Content::Values(recipe) => self.values(recipe)?,
            Content::Scales(recipe) => {
                let scales = &self.made(recipe)?.scales;
                let bytes: Vec<u8> = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
                self.made = None;
                self.place(bytes.into())?
            }
        };
        self.written.insert(one.name.clone(), place.clone());
        let tensor = TensorProto {
            dims: one.dims,
            data_type: Some(one.data_type),
            name: Some(one.name),
            ..TensorProto::default()
        };
        Ok(match place {
            Place::Inline(bytes) => TensorProto { raw_data: Some(bytes), ..tensor },
            Place::Data { offset, bytes } => TensorProto {
                data_location: Some(EXTERNAL),
                external_data: vec![
                    StringStringEntryProto::new("location", DATA),
                    StringStringEntryProto::new("offset", offset.to_string()),
                    StringStringEntryProto::new("length", bytes.to_string()),
                ],
                ..tensor
            },
        })
    }

    fn values(&mut self, recipe: usize) -> Result<Place, PrepareError> {
        let bytes = 4 * self.graph.recipes[recipe].len();
        if let Some(tensor) = self.graph.recipes[recipe].copied()
            && let Some(data) = self.data.as_mut().filter(|_| bytes >= PAGE)
        {
            let offset = data.align()?;
            self.weights.read_pieces(tensor, |piece| {
                check_finite(self.weights, tensor, piece)?;
                data.write(piece)
            })?;
            return Ok(Place::Data { offset, bytes });
        }
        let values = std::mem::take(&mut self.made(recipe)?.values);
        self.place(values.into())
    }

    fn made(&mut self, recipe: usize) -> Result<&mut Encoded, PrepareError> {
        let encoded = match self.made.take() {
            Some((known, encoded)) if known == recipe => encoded,
            _ => self.graph.recipes[recipe].encode(self.weights)?,
        };
        Ok(&mut self.made.insert((recipe, encoded)).1)
    }

    fn place(&mut self, bytes: Bytes) -> Result<Place, PrepareError> {
        let length = bytes.len() as u64;
        match &mut self.data {
            Some(data) if length >= PAGE => {
                let offset = data.align()?;
                data.write(&bytes)?;
                Ok(Place::Data { offset, bytes: length })
            }
            _ => Ok(Place::Inline(bytes)),
        }
    }
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
