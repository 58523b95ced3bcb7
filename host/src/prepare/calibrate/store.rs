//! Histograms in the cache, by what decides them: model, corpus and graph writer.

use super::corpus::Corpus;
use super::{FOLDER, Histogram, Observer};
use crate::digest;
use crate::model::ResolvedModel;
use crate::prepare::artifact::Calibration;
use crate::prepare::{PrepareError, onnx};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A calibration: what it ran over and saw.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::prepare) struct Seen {
    /// Of the token ids.
    pub(in crate::prepare) corpus_sha256: String,
    /// Token ids in all.
    pub(in crate::prepare) tokens: u64,
    /// By matrix: its input.
    pub(in crate::prepare) histograms: BTreeMap<String, Histogram>,
}

/// What a calibration will run over, read and hashed.
pub(in crate::prepare) struct Plan {
    corpus: Corpus,
    path: PathBuf,
}

impl Plan {
    /// Reads the corpus.
    ///
    /// # Errors
    /// A corpus that cannot be read or is shorter than asked.
    pub(in crate::prepare) fn new(
        model: &ResolvedModel,
        calibration: &Calibration,
        cache: &Path,
    ) -> Result<Self, PrepareError> {
        let unsuited = |problem| PrepareError::Unsuited { spec: model.spec.clone(), problem };
        let corpus = Corpus::read(model, calibration).map_err(unsuited)?;
        let samples = corpus.batches.len();
        let key = format!("{}\n{}\n{samples}\n{}", model.sha256, corpus.sha256, onnx::WRITER);
        let key = &digest::hex(&Sha256::digest(key))[..32];
        Ok(Self { corpus, path: cache.join(FOLDER).join(format!("{key}.json")) })
    }

    /// What decides the ranges, for the key of an artifact.
    pub(in crate::prepare) fn key(&self) -> String {
        format!("{} {}", self.corpus.sha256, self.corpus.batches.len())
    }
}

/// What `plan` sees, run first where the cache does not have it.
pub(in crate::prepare) fn histograms(
    model: &ResolvedModel,
    plan: &Plan,
    observer: &mut dyn Observer,
) -> Result<Seen, PrepareError> {
    let path = &plan.path;
    if let Some(seen) = fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
        return Ok(seen);
    }
    let unsuited = |problem| PrepareError::Unsuited { spec: model.spec.clone(), problem };
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(PrepareError::io(folder))?;
    let graph = tempfile::tempdir_in(folder).map_err(PrepareError::io(folder))?;
    let observed = onnx::write_observer(model, graph.path())?;
    let widths: Vec<u32> = observed.iter().map(|(_, width)| *width).collect();
    let batches = &plan.corpus.batches;
    let found = observer
        .observe(graph.path(), &widths, batches)
        .map_err(|e| unsuited(format!("calibration: {e}")))?;
    if found.len() != observed.len() {
        return Err(unsuited(format!("calibration saw {} activations of {}", found.len(), observed.len())));
    }
    let named = observed.into_iter().zip(found).flat_map(|((matrices, _), histogram)| {
        matrices.into_iter().map(move |matrix| (matrix, histogram.clone()))
    });
    let histograms = named.collect();
    let tokens = batches.iter().flatten().map(|row| row.len() as u64).sum();
    let seen = Seen { corpus_sha256: plan.corpus.sha256.clone(), tokens, histograms };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(PrepareError::io(folder))?;
    serde_json::to_writer(&mut file, &seen).map_err(|e| PrepareError::io(path)(e.into()))?;
    file.persist(path).map_err(|e| PrepareError::io(path)(e.error))?;
    Ok(seen)
}
