//! Reads safetensors: one file, or shards listed in `model.safetensors.index.json`.
//!
//! Tensors are read one at a time, in pieces, and always come out as f32, so a model never needs its own size in
//! memory. Names are those of [`TensorSpec`](super::TensorSpec): a `transformer.` or `model.` prefix in the file is
//! ignored.

use super::{ModelError, is_file_name};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// The format's own limit on the header.
const MAX_HEADER: u64 = 100_000_000;
/// A piece of a tensor while it is converted; a multiple of every element size.
const PIECE: usize = 1 << 20;

/// The tensors of a Hugging Face folder.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    files: Vec<PathBuf>,
    tensors: BTreeMap<String, Tensor>,
}

#[derive(Debug)]
struct Tensor {
    file: PathBuf,
    dtype: Dtype,
    shape: Vec<usize>,
    offset: u64,
    bytes: u64,
}

impl Weights {
    /// Reads the headers of the weight files in `folder`.
    ///
    /// # Errors
    /// No weight files, or which of them is truncated or malformed.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let single = folder.join(SINGLE);
        let index = folder.join(INDEX);
        if single.is_file() {
            let tensors = read_header(&single)?;
            return Ok(Self { path: single.clone(), files: vec![single], tensors });
        }
        if index.is_file() {
            return open_sharded(folder, index);
        }
        let hint = if folder.join("pytorch_model.bin").is_file() {
            "it has pytorch_model.bin, which is not read; save the model with safe_serialization=True"
        } else {
            "expected model.safetensors or model.safetensors.index.json with its shards"
        };
        Err(ModelError::malformed(folder, format!("no weights found; {hint}")))
    }

    /// The single file or the index.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that hold tensors, sorted.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The shape of a tensor; none where there is no such tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// Hands a tensor's values to `take` as little-endian f32, row-major, a piece at a time.
    ///
    /// # Errors
    /// A missing tensor, a type other than f64, f32, f16 and bf16, a file that cannot be read, or `take`'s own.
    pub fn read_pieces<E: From<ModelError>>(
        &self,
        name: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let tensor =
            self.tensors.get(name).ok_or_else(|| ModelError::tensor(&self.path, name, "is missing"))?;
        let to_f32 = conversion(tensor.dtype).ok_or_else(|| {
            let problem =
                format!("tensor {name} is stored as {}; only F64, F32, F16 and BF16 are read", tensor.dtype);
            ModelError::unsupported(&tensor.file, problem)
        })?;
        let mut file = File::open(&tensor.file).map_err(ModelError::io(&tensor.file))?;
        file.seek(SeekFrom::Start(tensor.offset)).map_err(ModelError::io(&tensor.file))?;
        let mut left = usize::try_from(tensor.bytes).unwrap_or(usize::MAX);
        let mut piece = vec![0; PIECE.min(left)];
        while left > 0 {
            let piece = &mut piece[..PIECE.min(left)];
            file.read_exact(piece).map_err(ModelError::io(&tensor.file))?;
            take(&to_f32(piece))?;
            left -= piece.len();
        }
        Ok(())
    }
}

/// From little-endian values of one type to little-endian f32.
type Conversion = fn(&[u8]) -> Cow<'_, [u8]>;

/// None where the type is not supported.
fn conversion(dtype: Dtype) -> Option<Conversion> {
    fn halves(bytes: &[u8], to_f32: impl Fn([u8; 2]) -> f32) -> Vec<u8> {
        bytes.chunks_exact(2).flat_map(|b| to_f32([b[0], b[1]]).to_le_bytes()).collect()
    }
    match dtype {
        Dtype::F64 => Some(|bytes| {
            let (values, _) = bytes.as_chunks();
            values.iter().flat_map(|&b| (f64::from_le_bytes(b) as f32).to_le_bytes()).collect()
        }),
        Dtype::F32 => Some(|bytes| bytes.into()),
        Dtype::F16 => Some(|bytes| halves(bytes, |b| f16::from_le_bytes(b).to_f32()).into()),
        Dtype::BF16 => Some(|bytes| halves(bytes, |b| bf16::from_le_bytes(b).to_f32()).into()),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn open_sharded(folder: &Path, index: PathBuf) -> Result<Weights, ModelError> {
    let text = fs::read_to_string(&index).map_err(ModelError::io(&index))?;
    let parsed: Index = serde_json::from_str(&text)
        .map_err(|e| ModelError::malformed(&index, format!("not a safetensors index: {e}")))?;
    let mut tensors = BTreeMap::new();
    let mut files = Vec::new();
    for shard in parsed.weight_map.values().collect::<BTreeSet<_>>() {
        // The index comes with the model: it must not reach outside its folder.
        if !is_file_name(shard) {
            return Err(ModelError::malformed(&index, format!("shard {shard:?} is not a file name")));
        }
        let path = folder.join(shard);
        if !path.is_file() {
            return Err(ModelError::malformed(&index, format!("shard {shard} is missing from the folder")));
        }
        tensors.append(&mut read_header(&path)?);
        files.push(path);
    }
    for (name, shard) in &parsed.weight_map {
        if !tensors.contains_key(plain(name)) {
            return Err(ModelError::tensor(
                &folder.join(shard),
                name,
                "is missing although the index lists it",
            ));
        }
    }
    Ok(Weights { path: index, files, tensors })
}

/// Reads a file's header and checks that the file is as long as it says.
fn read_header(path: &Path) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let bad = |problem: String| ModelError::malformed(path, problem);
    let mut file = File::open(path).map_err(ModelError::io(path))?;
    let size = file.metadata().map_err(ModelError::io(path))?.len();
    let mut length = [0; 8];
    if size < 8 {
        return Err(bad(format!("not a safetensors file: it has {size} bytes")));
    }
    file.read_exact(&mut length).map_err(ModelError::io(path))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length > size - 8 {
        return Err(bad(format!(
            "not a safetensors file, or truncated: a header of {length} bytes in {size} bytes"
        )));
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).map_err(ModelError::io(path))?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|e| bad(format!("malformed safetensors header: {e}")))?;
    let expected = 8 + length + metadata.data_len() as u64;
    if size != expected {
        return Err(bad(format!(
            "truncated or damaged: {size} bytes where its header says {expected}; copy or download it again"
        )));
    }
    let tensors = metadata.tensors().into_iter().map(|(name, info)| {
        let (start, end) = info.data_offsets;
        let tensor = Tensor {
            file: path.into(),
            dtype: info.dtype,
            shape: info.shape.clone(),
            offset: 8 + length + start as u64,
            bytes: (end - start) as u64,
        };
        (plain(&name).to_string(), tensor)
    });
    Ok(tensors.collect())
}

fn plain(name: &str) -> &str {
    ["transformer.", "model."].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::{TensorView, serialize_to_file};

    fn write(path: &Path, tensors: &[(&str, Dtype, &[usize], &[u8])]) {
        let views = tensors
            .iter()
            .map(|&(name, dtype, shape, data)| (name, TensorView::new(dtype, shape.to_vec(), data).unwrap()));
        serialize_to_file(views, None, path).unwrap();
    }

    fn read_f32(weights: &Weights, name: &str) -> Result<Vec<f32>, ModelError> {
        let mut values = Vec::new();
        weights.read_pieces(name, |bytes| {
            values.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
            Ok::<(), ModelError>(())
        })?;
        Ok(values)
    }

    const ONE_TWO: [u8; 8] = [0, 0, 0x80, 0x3f, 0, 0, 0, 0x40];

    #[test]
    fn all_types_become_f32_under_plain_names() {
        let folder = tempfile::tempdir().unwrap();
        write(
            &folder.path().join(SINGLE),
            &[
                ("transformer.a", Dtype::F32, &[2], &ONE_TWO),
                ("b", Dtype::F16, &[1, 2], &[0x00, 0x3c, 0x00, 0xc0]),
                ("transformer.c", Dtype::BF16, &[2, 1], &[0x80, 0x3f, 0x40, 0x40]),
                ("model.d", Dtype::I8, &[2], &[1, 2]),
                ("f", Dtype::F64, &[1], &[0, 0, 0, 0, 0, 0, 0xf8, 0xbf]),
            ],
        );
        let weights = Weights::open(folder.path()).unwrap();
        assert_eq!(weights.names().collect::<Vec<_>>(), ["a", "b", "c", "d", "f"]);
        assert_eq!(weights.shape("b"), Some(&[1, 2][..]));
        assert_eq!(read_f32(&weights, "a").unwrap(), [1.0, 2.0]);
        assert_eq!(read_f32(&weights, "b").unwrap(), [1.0, -2.0]);
        assert_eq!(read_f32(&weights, "c").unwrap(), [1.0, 3.0]);
        assert_eq!(read_f32(&weights, "f").unwrap(), [-1.5]);
        assert!(read_f32(&weights, "d").unwrap_err().to_string().contains("tensor d is stored as I8"));
        assert!(read_f32(&weights, "e").unwrap_err().to_string().contains("tensor e is missing"));
    }

    #[test]
    fn shards_are_one_model() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("1.safetensors"), &[("a", Dtype::F32, &[2], &ONE_TWO)]);
        write(&folder.path().join("2.safetensors"), &[("b", Dtype::F32, &[1], &ONE_TWO[4..])]);
        let index = |text: &str| {
            fs::write(folder.path().join(INDEX), text).unwrap();
            Weights::open(folder.path())
        };
        let weights = index(r#"{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}"#).unwrap();
        assert_eq!(weights.files().len(), 2);
        assert_eq!(read_f32(&weights, "b").unwrap(), [2.0]);
        for (text, expected) in [
            (r#"{"weight_map":{"a":"1.safetensors","b":"1.safetensors"}}"#, "tensor b is missing"),
            (r#"{"weight_map":{"a":"3.safetensors"}}"#, "shard 3.safetensors is missing"),
            (r#"{"weight_map":{"a":"../1.safetensors"}}"#, "not a file name"),
            (r#"{"weights":{}}"#, "not a safetensors index: missing field `weight_map`"),
        ] {
            let message = index(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = Weights::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("no weights found; expected model.safetensors"), "{message}");
        let path = folder.path().join(SINGLE);
        write(&path, &[("a", Dtype::F32, &[2], &ONE_TWO)]);
        let good = fs::read(&path).unwrap();
        for (bytes, expected) in [
            (&good[..good.len() - 1], "truncated or damaged"),
            (&good[..20], "or truncated: a header of"),
            (&good[..3], "it has 3 bytes"),
            (&[255; 40], "not a safetensors file"),
            (&[2, 0, 0, 0, 0, 0, 0, 0, b'{', b'x'], "malformed safetensors header"),
        ] {
            fs::write(&path, bytes).unwrap();
            let message = Weights::open(folder.path()).unwrap_err().to_string();
            assert!(message.contains("model.safetensors: ") && message.contains(expected), "{message}");
        }
    }
}
