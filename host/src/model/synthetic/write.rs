//! Writes a synthetic model as a Hugging Face folder, in pieces: gpt2-xl's 6 GB never lie in memory.

use super::random::Normal;
use super::spec::SyntheticSpec;
use crate::model::tensors::{TensorSpec, tensors};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Part of the cache folder's name: raise it whenever the same spec would give other bytes.
pub(super) const FORMAT: u32 = 1;
/// Values made at a time.
const PIECE: usize = 1 << 16;

pub(super) const CONFIG: &str = "config.json";

/// Fills `folder` with `config.json` and `model.safetensors`.
pub(super) fn write(spec: &SyntheticSpec, folder: &Path) -> io::Result<()> {
    fs::write(folder.join(CONFIG), config(spec)?)?;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(folder.join("model.safetensors"))?);
    write_tensors(spec, &mut out)?;
    out.flush()
}

/// The text of `config.json`.
pub(super) fn config(spec: &SyntheticSpec) -> io::Result<String> {
    Ok(spec.config_json()? + "\n")
}

/// A safetensors header; sorted by name, so that its bytes depend on nothing else.
#[derive(Serialize)]
struct Header {
    #[serde(rename = "__metadata__")]
    metadata: BTreeMap<&'static str, &'static str>,
    #[serde(flatten)]
    tensors: BTreeMap<String, HeaderEntry>,
}

#[derive(Serialize)]
struct HeaderEntry {
    dtype: &'static str,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

fn write_tensors(spec: &SyntheticSpec, out: &mut impl Write) -> io::Result<()> {
    let tensors = tensors(&spec.architecture());
    let mut header = Header { metadata: [("format", "pt")].into(), tensors: BTreeMap::new() };
    let mut offset = 0;
    for tensor in &tensors {
        let end = offset + 4 * tensor.len();
        let entry = HeaderEntry { dtype: "F32", shape: tensor.shape.clone(), data_offsets: [offset, end] };
        header.tensors.insert(stored_name(tensor, spec.decoder()), entry);
        offset = end;
    }
    let mut header = serde_json::to_string(&header)?;
    // Readers that map the file want the data aligned.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    tensors.iter().try_for_each(|tensor| write_tensor(spec.seed(), tensor, out))
}

/// The head, where it is not tied, is the only tensor outside of the decoder.
fn stored_name(tensor: &TensorSpec, decoder: &str) -> String {
    if tensor.name == "lm_head.weight" { tensor.name.clone() } else { format!("{decoder}.{}", tensor.name) }
}

/// Nothing is 0 or 1 exactly, so a backend that forgets a bias or a gain shows.
fn write_tensor(seed: u64, tensor: &TensorSpec, out: &mut impl Write) -> io::Result<()> {
    let is_norm = tensor.name.contains("ln_") || tensor.name.contains("norm");
    let is_gain = is_norm && tensor.name.ends_with(".weight");
    let (mean, deviation) = match (is_gain, tensor.name.ends_with(".bias")) {
        (true, _) => (1.0, 0.05),
        (false, true) => (0.0, 0.01),
        (false, false) => (0.0, 0.02),
    };
    let mut normal = Normal::new(seed, &tensor.name);
    let mut values = vec![0.0; PIECE];
    let mut bytes = Vec::with_capacity(4 * PIECE);
    let mut left = tensor.len();
    while left > 0 {
        let piece = &mut values[..usize::try_from(left).map_or(PIECE, |left| left.min(PIECE))];
        normal.fill(piece, mean, deviation);
        bytes.clear();
        bytes.extend(piece.iter().flat_map(|value| value.to_le_bytes()));
        out.write_all(&bytes)?;
        left -= piece.len() as u64;
    }
    Ok(())
}
