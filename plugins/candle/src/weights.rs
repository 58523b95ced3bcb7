//! The tensors of a Hugging Face folder, one file or shards with an index, each read once from its place in the
//! file and brought to the session's type.

use candle_core::{DType, Device, Tensor};
use inferhost_plugin_api::Error;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// No header is larger: the format's own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The files of a model, their headers read.
pub(crate) struct Weights {
    shards: Vec<Shard>,
    /// Which shard holds a tensor.
    holders: HashMap<String, usize>,
    /// `transformer.` or `model.`, or nothing for files saved from the bare decoder.
    prefix: &'static str,
    folder: PathBuf,
    dtype: DType,
}

struct Shard {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// Where tensor data begins.
    data: u64,
}

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

impl Weights {
    /// Reads the headers of the files in `folder`; tensors will be of `dtype`.
    ///
    /// # Errors
    /// `InvalidInput` that names the file that is missing, truncated or malformed.
    pub(crate) fn open(folder: &Path, dtype: DType) -> Result<Self, Error> {
        let mut shards = Vec::new();
        let mut holders = HashMap::new();
        for file in files(folder)? {
            let shard = Shard::open(file)?;
            holders.extend(shard.metadata.tensors().into_keys().map(|name| (name, shards.len())));
            shards.push(shard);
        }
        let prefix = ["transformer.", "model."].into_iter().find(|prefix| {
            ["wte.weight", "embed_tokens.weight"]
                .iter()
                .any(|name| holders.contains_key(&format!("{prefix}{name}")))
        });
        let prefix = prefix.unwrap_or_default();
        Ok(Self { shards, holders, prefix, folder: folder.into(), dtype })
    }

    /// Tensor `name` of the decoder, which must have `shape`.
    ///
    /// # Errors
    /// `InvalidInput` for a tensor that is absent or has another shape or no floats.
    pub(crate) fn decoder(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        let name = format!("{}{name}", self.prefix);
        self.tensor(&name, shape)
    }

    /// Tensor `name`, which must have `shape`.
    ///
    /// # Errors
    /// As [`decoder`](Self::decoder).
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        let Some(&holder) = self.holders.get(name) else {
            let folder = self.folder.display();
            return Err(Error::invalid(format!("the weights in {folder} have no tensor {name} {shape:?}")));
        };
        let (shard, dtype) = (&mut self.shards[holder], self.dtype);
        shard
            .read(name, shape, dtype)
            .map_err(|e| Error::invalid(format!("{}: tensor {name} {e}", shard.path.display())))
    }
}

impl Shard {
    fn open(path: PathBuf) -> Result<Self, Error> {
        let bad = |e: &dyn std::fmt::Display| Error::invalid(format!("{}: {e}", path.display()));
        let mut file = File::open(&path).map_err(|e| bad(&e))?;
        let found = file.metadata().map_err(|e| bad(&e))?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| bad(&"too short for a safetensors file; fetch it again"))?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER_BYTES || length + 8 > found {
            return Err(bad(&format!(
                "a header of {length} bytes in a file of {found}; not safetensors, or truncated"
            )));
        }
        let header = (&file).take(length);
        let metadata: Metadata = serde_json::from_reader(std::io::BufReader::new(header))
            .map_err(|e| bad(&format!("bad header: {e}")))?;
        let end = metadata.tensors().values().map(|info| info.data_offsets.1 as u64).max().unwrap_or(0);
        let data = length + 8;
        if data + end > found {
            let expected = data + end;
            return Err(bad(&format!("truncated: {found} bytes, expected {expected}; fetch it again")));
        }
        Ok(Self { path, file, metadata, data })
    }

    /// The error fits after the tensor's name.
    fn read(&mut self, name: &str, shape: &[usize], dtype: DType) -> Result<Tensor, String> {
        let info: &TensorInfo = self.metadata.info(name).ok_or("is gone from the header")?;
        if info.shape != shape {
            return Err(format!("has shape {:?}, the config makes it {shape:?}", info.shape));
        }
        let stored = match info.dtype {
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            other => return Err(format!("is {other:?}, expected F16, BF16, F32 or F64")),
        };
        let (start, end) = info.data_offsets;
        let expected = shape.iter().product::<usize>() * stored.size_in_bytes();
        if end.checked_sub(start) != Some(expected) {
            return Err(format!("lies at {start}..{end}, but its shape makes it {expected} bytes"));
        }
        let mut bytes = vec![0; expected];
        self.file
            .seek(SeekFrom::Start(self.data + start as u64))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|e| format!("could not be read: {e}"))?;
        Tensor::from_raw_buffer(&bytes, stored, shape, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(dtype))
            .map_err(|e| format!("could not be converted: {e}"))
    }
}

/// The one file, or every shard that the index names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let single = folder.join("model.safetensors");
    if single.exists() {
        return Ok(vec![single]);
    }
    let path = folder.join("model.safetensors.index.json");
    let Ok(text) = std::fs::read(&path) else {
        let folder = folder.display();
        return Err(Error::invalid(format!(
            "no model.safetensors or model.safetensors.index.json in {folder}; save the model with safetensors"
        )));
    };
    let index: Index =
        serde_json::from_slice(&text).map_err(|e| Error::invalid(format!("{}: {e}", path.display())))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}
