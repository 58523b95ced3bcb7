//! Models made on the spot, for measurements that need a size and not a signal.
//!
//! The spec says everything: the same spec gives the same bytes on every machine, so two machines can compare
//! results without copying weights. A model is written once into the cache as a Hugging Face folder that
//! transformers loads too.

mod gpt2;
mod llama;
mod random;
mod spec;
mod write;

pub use spec::SyntheticSpec;

use super::{ModelError, cache, file_digest};
use crate::digest;
use std::path::{Path, PathBuf};

const WEIGHTS: &str = "model.safetensors";
/// SHA-256 of the weights as they were written, to tell later that they still are.
const DIGEST: &str = "model.safetensors.sha256";

/// The folder of this model in the cache, written first where it is not there yet.
///
/// # Errors
/// What the file system refused, as on a full disk.
pub fn ensure(spec: &SyntheticSpec, cache_dir: &Path) -> Result<PathBuf, ModelError> {
    let folder = cache_dir.join("synthetic").join(spec.folder_name());
    let check = |folder: &Path| {
        let written = std::fs::read_to_string(folder.join(DIGEST)).ok()?;
        let found = file_digest::of_file(&folder.join(WEIGHTS), cache_dir).ok()?;
        let config = std::fs::read_to_string(folder.join(write::CONFIG)).ok()?;
        (config == write::config(spec).ok()? && found == written).then_some(())
    };
    let build = |partial: &Path| {
        write::write(spec, partial)?;
        std::fs::write(partial.join(DIGEST), digest::of_file(&partial.join(WEIGHTS))?)
    };
    cache::build_once(&folder, check, build, |e| e).map_err(ModelError::io(&folder))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// Changes only together with [`write::FORMAT`]: results on synthetic models are compared across machines
    /// and versions.
    #[test]
    fn the_bytes_of_a_model_are_pinned() {
        let cache = tempfile::tempdir().unwrap();
        let spec: SyntheticSpec =
            "gpt2?layers=2&embd=6&heads=3&vocab=11&ctx=5&inner=7&seed=1".parse().unwrap();
        let folder = ensure(&spec, cache.path()).unwrap();
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        let digest = digest::hex(&Sha256::digest(&bytes));
        assert_eq!(digest, "25b05f01cda8ec886305ce762574c6a01f388ca7515546aeccca396663104016");
        let modified = || folder.join("model.safetensors").metadata().unwrap().modified().unwrap();
        let before = modified();
        assert_eq!(ensure(&spec, cache.path()).unwrap(), folder);
        assert_eq!(modified(), before);
        std::fs::write(folder.join("model.safetensors"), &bytes[1..]).unwrap();
        ensure(&spec, cache.path()).unwrap();
        assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), bytes);
    }

    #[test]
    fn llama_is_pinned_too() {
        let cache = tempfile::tempdir().unwrap();
        let spec: SyntheticSpec =
            "llama?layers=2&embd=12&heads=3&vocab=11&ctx=5&inner=7&tied=false".parse().unwrap();
        let folder = ensure(&spec, cache.path()).unwrap();
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        let digest = digest::hex(&Sha256::digest(&bytes));
        assert_eq!(digest, "be557e55bc0373979105094b85716fc309a86e3b1dfa1a12d733445f6b91ed57");
    }
}
