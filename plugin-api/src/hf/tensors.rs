//! The tensors of a Hugging Face folder, one file or shards with an index, each read from its place in the file.

use crate::Error;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// No header is larger: the format's own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The safetensors files of a model, their headers read.
#[derive(Debug)]
pub struct TensorFiles {
    shards: Vec<Shard>,
    /// Which shard holds a tensor.
    holders: HashMap<String, usize>,
    /// `transformer.` or `model.`, or nothing for files saved from the bare decoder.
    prefix: &'static str,
    folder: PathBuf,
}

/// How a tensor lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The type of its elements, which lie in row-major order, little-endian.
    pub dtype: StoredType,
    /// Bytes of all elements.
    pub bytes: usize,
}

/// The floats that weights are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredType {
    /// IEEE half precision.
    F16,
    /// The upper half of an `F32`.
    BF16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

impl StoredType {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::BF16),
            Dtype::F32 => Some(Self::F32),
            Dtype::F64 => Some(Self::F64),
            _ => None,
        }
    }
}

impl TensorFiles {
    /// Reads the headers of the files in `folder`: `model.safetensors`, or every shard that
    /// `model.safetensors.index.json` names.
    ///
    /// # Errors
    /// `InvalidInput` that names the file that is missing, truncated or malformed.
    pub fn open(folder: &Path) -> Result<Self, Error> {
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
        Ok(Self { shards, holders, prefix, folder: folder.into() })
    }

    /// What the files call tensor `name` of the decoder: with `transformer.` or `model.` before it, or as it is in
    /// files saved from the bare decoder.
    pub fn decoder_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// How tensor `name`, which must have `shape`, is stored.
    ///
    /// # Errors
    /// `InvalidInput` for a tensor that is absent or has another shape or no floats.
    pub fn info(&self, name: &str, shape: &[usize]) -> Result<Stored, Error> {
        let Some(shard) = self.holder(name) else {
            return Err(self.absent(&format!("{name} {shape:?}")));
        };
        shard.info(name, shape).map_err(|e| shard.wrong(name, &e))
    }

    /// The file that holds tensor `name`, and where its bytes begin in it: for a plugin that maps it into memory.
    ///
    /// # Errors
    /// `InvalidInput` for a tensor that is absent.
    pub fn place(&self, name: &str) -> Result<(&Path, u64), Error> {
        let shard = self.holder(name).ok_or_else(|| self.absent(name))?;
        let (start, _) = shard.place(name).map_err(|e| shard.wrong(name, &e))?;
        Ok((&shard.path, start))
    }

    /// Reads all bytes of tensor `name` as they are stored. `into` is as long as [`info`](Self::info) says.
    ///
    /// # Errors
    /// `InvalidInput` for a tensor that is absent or cannot be read, `Internal` for a buffer of another length.
    pub fn read_into(&mut self, name: &str, into: &mut [u8]) -> Result<(), Error> {
        let shard = self.holder(name).ok_or_else(|| self.absent(name))?;
        let (start, end) = shard.place(name).map_err(|e| shard.wrong(name, &e))?;
        let (stored, found) = (end - start, into.len() as u64);
        if stored != found {
            return Err(Error::internal(format!("tensor {name} has {stored} bytes, its buffer {found}")));
        }
        let mut file = &shard.file;
        file.seek(SeekFrom::Start(start))
            .and_then(|_| file.read_exact(into))
            .map_err(|e| shard.wrong(name, &format!("could not be read: {e}")))
    }

    /// Reads tensor `name`, which must have `shape`, as it is stored. `into` has exactly its bytes afterwards; one
    /// buffer can serve one tensor after another.
    ///
    /// # Errors
    /// As [`info`](Self::info) and [`read_into`](Self::read_into).
    pub fn read(&mut self, name: &str, shape: &[usize], into: &mut Vec<u8>) -> Result<StoredType, Error> {
        let stored = self.info(name, shape)?;
        if into.capacity() < stored.bytes {
            // Not by growing, which would copy what is overwritten next and write zeros over the rest.
            *into = vec![0; stored.bytes];
        } else {
            into.resize(stored.bytes, 0);
        }
        self.read_into(name, into)?;
        Ok(stored.dtype)
    }

    fn holder(&self, name: &str) -> Option<&Shard> {
        self.holders.get(name).map(|&holder| &self.shards[holder])
    }

    fn absent(&self, tensor: &str) -> Error {
        Error::invalid(format!("the weights in {} have no tensor {tensor}", self.folder.display()))
    }
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// Where tensor data begins.
    data: u64,
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
        let expected = data.saturating_add(end);
        if expected > found {
            return Err(bad(&format!("truncated: {found} bytes, expected {expected}; fetch it again")));
        }
        Ok(Self { path, file, metadata, data })
    }

    /// The error fits after the tensor's name, as do those below.
    fn header(&self, name: &str) -> Result<&TensorInfo, String> {
        self.metadata.info(name).ok_or_else(|| "is gone from the header".into())
    }

    fn info(&self, name: &str, shape: &[usize]) -> Result<Stored, String> {
        let info = self.header(name)?;
        if info.shape != shape {
            return Err(format!("has shape {:?}, the config makes it {shape:?}", info.shape));
        }
        let Some(dtype) = StoredType::of(info.dtype) else {
            return Err(format!("is {:?}, expected F16, BF16, F32 or F64", info.dtype));
        };
        let (start, end) = info.data_offsets;
        let bytes = shape.iter().product::<usize>() * dtype.size();
        if end.checked_sub(start) != Some(bytes) {
            return Err(format!("lies at {start}..{end}, but its shape makes it {bytes} bytes"));
        }
        Ok(Stored { dtype, bytes })
    }

    /// Where it begins and ends in the file. That it does so in this order was checked with the header.
    fn place(&self, name: &str) -> Result<(u64, u64), String> {
        let (start, end) = self.header(name)?.data_offsets;
        Ok((self.data + start as u64, self.data + end as u64))
    }

    fn wrong(&self, name: &str, error: &str) -> Error {
        Error::invalid(format!("{}: tensor {name} {error}", self.path.display()))
    }
}

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
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
    // The index comes with the model: it must not reach outside its folder.
    let is_file_name = |name: &str| {
        Path::new(name).file_name().is_some_and(|file| file == name) && !name.contains(['/', '\\'])
    };
    if let Some(name) = names.iter().find(|name| !is_file_name(name)) {
        return Err(Error::invalid(format!("{}: shard {name:?} is not a file name", path.display())));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use safetensors::tensor::TensorView;

    /// A folder with a float16 `[2, 2]`, a float32 `[3]` and an int64 `[1]`, the bytes of each counted from 0.
    fn folder(prefix: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..12).collect();
        let view = |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.into(), bytes).unwrap();
        let tensors = [
            (format!("{prefix}wte.weight"), view(Dtype::F16, &[2, 2], &bytes[..8])),
            ("norm".into(), view(Dtype::F32, &[3], &bytes)),
            ("ids".into(), view(Dtype::I64, &[1], &bytes[..8])),
        ];
        let file = safetensors::serialize(tensors, None).unwrap();
        std::fs::write(folder.path().join("model.safetensors"), file).unwrap();
        folder
    }

    #[test]
    fn one_buffer_serves_tensors_of_all_sizes() {
        let folder = folder("transformer.");
        let mut files = TensorFiles::open(folder.path()).unwrap();
        let wte = files.decoder_name("wte.weight");
        let mut buffer = Vec::new();
        for (name, shape, dtype, bytes) in [
            (wte.as_str(), &[2, 2][..], StoredType::F16, 8),
            ("norm", &[3], StoredType::F32, 12),
            (&wte, &[2, 2], StoredType::F16, 8),
        ] {
            assert_eq!(files.info(name, shape).unwrap(), Stored { dtype, bytes });
            assert_eq!(files.read(name, shape, &mut buffer).unwrap(), dtype);
            assert_eq!(buffer, (0..bytes as u8).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_decoders_prefix_is_that_of_its_token_embedding() {
        for prefix in ["transformer.", "model.", ""] {
            let folder = folder(prefix);
            let files = TensorFiles::open(folder.path()).unwrap();
            assert_eq!(files.decoder_name("wte.weight"), format!("{prefix}wte.weight"));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_in_one_line() {
        use ErrorKind::{Internal, InvalidInput};
        let folder = folder("");
        let mut files = TensorFiles::open(folder.path()).unwrap();
        let mut nine = [0; 9];
        for (error, kind, expected) in [
            (files.info("bias", &[3]).unwrap_err(), InvalidInput, "have no tensor bias [3]"),
            (
                files.info("norm", &[4]).unwrap_err(),
                InvalidInput,
                "tensor norm has shape [3], the config makes it [4]",
            ),
            (
                files.info("ids", &[1]).unwrap_err(),
                InvalidInput,
                "tensor ids is I64, expected F16, BF16, F32 or F64",
            ),
            (files.read_into("bias", &mut nine).unwrap_err(), InvalidInput, "have no tensor bias"),
            (
                files.read_into("norm", &mut nine).unwrap_err(),
                Internal,
                "tensor norm has 12 bytes, its buffer 9",
            ),
        ] {
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.ends_with(expected) && error.message.lines().count() == 1, "{error}");
        }
    }
}
