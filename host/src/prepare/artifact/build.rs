//! Builds an artifact into the cache, and checks what came out before anybody loads it.

use super::{Artifact, ArtifactInfo, CalibrationInfo, DESCRIPTION, FOLDER, Precision, store};
use crate::digest;
use crate::model::{ResolvedModel, cache, onnx as reader};
use crate::prepare::calibrate::{self, Observer, Plan, Ranges, Seen};
use crate::prepare::{PrepareError, onnx};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What a graph may have besides weights and tables: nodes, names, padding to pages.
const OVERHEAD: u64 = 16 << 20;

/// An artifact in the cache.
pub(crate) struct Ensured {
    pub(crate) folder: PathBuf,
    pub(crate) info: ArtifactInfo,
    /// Now, and not found in the cache.
    pub(crate) built: bool,
    /// What the user should know of how it came about.
    pub(crate) note: Option<String>,
}

/// The artifact's folder and description, built first where the cache does not hold it whole.
pub(crate) fn ensure(
    artifact: &Artifact,
    model: &ResolvedModel,
    cache_dir: &Path,
    observer: Option<&mut dyn Observer>,
) -> Result<Ensured, PrepareError> {
    let plan = calibration_plan(artifact, model, cache_dir)?;
    let folder = place(cache_dir, &key(artifact, model, plan.as_ref()))?;
    let was_there = folder.is_dir();
    let mut built = false;
    let build = |partial: &Path| {
        built = true;
        let seen = match &plan {
            None => None,
            Some(plan) => Some(calibrate::histograms(
                model,
                plan,
                observer.ok_or_else(|| no_observer(artifact, model))?,
            )?),
        };
        build(artifact, model, seen.as_ref(), partial)
    };
    let check = |folder: &Path| store::intact(folder, cache_dir);
    let mut info = cache::build_once(&folder, check, build, PrepareError::io(&folder))?;
    // The corpus may lie elsewhere today.
    info.name = artifact.clone();
    let note = (was_there && built)
        .then(|| format!("{artifact} of {} was damaged in the cache and has been built again", model.spec));
    Ok(Ensured { folder, info, built, note })
}

/// Where the artifact of that key lies, absolute.
pub(super) fn place(cache_dir: &Path, key: &str) -> Result<PathBuf, PrepareError> {
    let folder = cache_dir.join(FOLDER).join(key);
    std::path::absolute(&folder).map_err(PrepareError::io(&folder))
}

fn calibration_plan(
    artifact: &Artifact,
    model: &ResolvedModel,
    cache_dir: &Path,
) -> Result<Option<Plan>, PrepareError> {
    let calibration = artifact.precision.calibration();
    calibration.map(|calibration| Plan::new(model, calibration, cache_dir)).transpose()
}

/// What a graph lies under in the cache, without building it.
pub(super) fn graph_key(
    graph: &Artifact,
    model: &ResolvedModel,
    cache_dir: &Path,
) -> Result<String, PrepareError> {
    Ok(key(graph, model, calibration_plan(graph, model, cache_dir)?.as_ref()))
}

fn no_observer(artifact: &Artifact, model: &ResolvedModel) -> PrepareError {
    let problem = format!(
        "{} is calibrated by running the model, and there is no plugin for that; build the ort plugin",
        artifact.precision.name()
    );
    PrepareError::Unsuited { spec: model.spec.clone(), problem }
}

/// Over all that decides an artifact's content. A corpus counts by what it says, not by where it lies.
fn key(artifact: &Artifact, model: &ResolvedModel, plan: Option<&Plan>) -> String {
    let mut settings = artifact.clone();
    if let Some(calibration) = settings.precision.calibration_mut() {
        calibration.corpus = None;
        calibration.samples = None;
    }
    let corpus = plan.map(Plan::key).unwrap_or_default();
    let text = format!("{}\n{settings}\n{corpus}\n{}", model.sha256, onnx::WRITER);
    digest::hex(&Sha256::digest(text))[..32].to_string()
}

fn build(
    artifact: &Artifact,
    model: &ResolvedModel,
    seen: Option<&Seen>,
    folder: &Path,
) -> Result<(), PrepareError> {
    let start = Instant::now();
    let calibrated = artifact.precision.calibration().zip(seen);
    let ranges = calibrated.map(|(calibration, seen)| Ranges::new(&seen.histograms, calibration.method));
    let written = onnx::write(model, artifact, ranges.as_ref(), folder)?;
    let read_back = reader::inspect(&folder.join(onnx::FILE))?;
    let mut all = Sha256::new();
    for file in &written.files {
        all.update(format!("{}\0{}\n", file.name, file.sha256));
    }
    let info = ArtifactInfo {
        name: artifact.clone(),
        writer: onnx::WRITER,
        model: model.spec.clone(),
        model_sha256: model.sha256.clone(),
        parameters: written.parameters,
        bytes: written.files.iter().map(|file| file.bytes).sum(),
        sha256: digest::hex(&all.finalize()),
        opset: read_back.opset,
        nodes: read_back.nodes,
        coverage: read_back.coverage,
        calibration: seen.map(|seen| calibration_info(artifact, seen)),
        engine: None,
        build_seconds: start.elapsed().as_secs_f64(),
        files: written.files,
    };
    check(&info, model, written.constant_bytes).map_err(|problem| PrepareError::Unsuited {
        spec: model.spec.clone(),
        problem: format!("{artifact} {problem}; this is a mistake in inferhost"),
    })?;
    let path = folder.join(DESCRIPTION);
    let text = serde_json::to_string_pretty(&info).map_err(|e| PrepareError::io(&path)(e.into()))?;
    fs::write(&path, text + "\n").map_err(PrepareError::io(&path))
}

fn calibration_info(artifact: &Artifact, seen: &Seen) -> CalibrationInfo {
    let corpus = artifact.precision.calibration().and_then(|calibration| calibration.corpus.as_ref());
    CalibrationInfo {
        corpus: corpus.map(|path| path.display().to_string()),
        corpus_sha256: seen.corpus_sha256.clone(),
        tokens: seen.tokens,
    }
}

/// Holds what was written against what was to be written; the error fits after the artifact's name.
fn check(info: &ArtifactInfo, model: &ResolvedModel, constant_bytes: u64) -> Result<(), String> {
    if let Some(expected) = model.parameters.filter(|&expected| expected != info.parameters) {
        return Err(format!("came out with {} parameters instead of {expected}", info.parameters));
    }
    let (stored, least, most) = info.name.precision.expected_storage();
    let bytes = |bits: f64| (info.parameters as f64 * bits / 8.0) as u64;
    let band = bytes(least)..=bytes(most) + constant_bytes + OVERHEAD;
    if !band.contains(&info.bytes) {
        return Err(format!("has {} bytes, expected {} to {}", info.bytes, band.start(), band.end()));
    }
    let share = info.coverage.weight_share(stored);
    if share < 1.0 {
        return Err(format!("has {:.1}% of its matrices' bytes in {}", 100.0 * share, stored.join(" or ")));
    }
    Ok(())
}

impl Precision {
    /// What matrices are stored in, and the least and most bits a parameter can come to.
    const fn expected_storage(&self) -> (&'static [&'static str], f64, f64) {
        match self {
            Self::Fp32 => (&["fp32"], 31.9, 33.0),
            Self::Fp16 => (&["fp16"], 15.9, 17.0),
            Self::Bf16 => (&["bf16"], 15.9, 17.0),
            // An embedding that is looked up by row and multiplied by column is there twice.
            Self::Int8Dynamic { .. } | Self::Int8Weight { .. } | Self::Int8Qdq(_) => (&["int8"], 7.9, 18.0),
            Self::Int4Weight { .. } => (&["int4", "int8"], 3.9, 18.0),
            // Once more for the embedding, in fp16.
            Self::Fp8Qdq(_) => (&["fp8"], 7.9, 26.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    const SPEC: &str = "synthetic:gpt2?layers=2&embd=48&heads=3&vocab=101&ctx=16";

    #[test]
    fn an_artifact_is_built_once_and_again_when_damaged() {
        let cache = tempfile::tempdir().unwrap();
        let model = model::resolve(SPEC, cache.path()).unwrap();
        let ensure = || ensure(&Artifact::FP32, &model, cache.path(), None).unwrap();
        let Ensured { folder, info, note, .. } = ensure();
        assert_eq!((Some(info.parameters), info.model.as_str(), note), (model.parameters, SPEC, None));
        assert_eq!(info.nodes["GroupQueryAttention"], 2);
        assert_eq!(ensure().info, info);

        let graph = folder.join("model.onnx");
        let good = fs::read(&graph).unwrap();
        for damage in ["model.onnx", "config.json", DESCRIPTION] {
            fs::remove_file(folder.join(damage)).unwrap();
            let again = ensure();
            assert_eq!(again.info.sha256, info.sha256, "{damage}");
            assert!(again.note.unwrap().contains("has been built again"));
            assert_eq!(fs::read(&graph).unwrap(), good, "the bytes are the same each time");
        }
        fs::write(&graph, &good[1..]).unwrap();
        ensure();
        assert_eq!(fs::read(&graph).unwrap(), good);
    }

    #[test]
    fn settings_have_artifacts_of_their_own() {
        let cache = tempfile::tempdir().unwrap();
        let model = model::resolve(SPEC, cache.path()).unwrap();
        let names = [
            "onnx-fp32",
            "onnx-fp32?dialect=portable",
            "onnx-fp32?dialect=portable&ids=int32",
            "onnx-fp16",
            "onnx-bf16",
            "onnx-int8-dynamic",
            "onnx-int8-dynamic?per_channel=true",
            "onnx-int8-weight",
            "onnx-int4-weight",
            "onnx-int4-weight?block=16",
        ];
        let folders: std::collections::BTreeSet<PathBuf> = names
            .iter()
            .map(|name| ensure(&name.parse().unwrap(), &model, cache.path(), None).unwrap().folder)
            .collect();
        assert_eq!(folders.len(), names.len());
        for name in ["int8-qdq", "fp8-qdq"] {
            let artifact = format!("onnx-{name}").parse().unwrap();
            let error = ensure(&artifact, &model, cache.path(), None).err().unwrap().to_string();
            assert!(error.contains(&format!("{name} is calibrated by running the model")), "{error}");
        }
    }
}
