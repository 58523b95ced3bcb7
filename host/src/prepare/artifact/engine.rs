//! Engine plans: a plugin's builder makes one of a portable graph, for the profiles that a matrix needs, and what it made
//! is checked and kept as any artifact is.

use super::build::{Ensured, ensure, graph_key, place};
use super::{Artifact, ArtifactFile, ArtifactInfo, DESCRIPTION, store};
use crate::digest;
use crate::model::{ResolvedModel, cache};
use crate::prepare::{PrepareError, Tools};
use crate::record::{Degraded, DegradedKind, Stage};
use inferhost_plugin_api::build::{BuildIdentity, BuildReport, BuildSpec, ENGINE, REPORT};
use inferhost_plugin_api::shapes::{Profile, first_uncovered};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

/// Part of every engine's key: raised where the same request would be answered otherwise.
const VERSION: u32 = 1;
/// What of the graph's folder an engine's has too.
const CONFIG: &str = "config.json";

/// A plugin that builds, wherever it runs.
pub trait EngineBuilder {
    /// What of the machine, the libraries and the options decides what comes out.
    ///
    /// # Errors
    /// Why nothing can be built.
    fn identity(&mut self) -> Result<BuildIdentity, Degraded>;

    /// Builds an engine of `graph`, a folder, into the empty `folder`.
    ///
    /// # Errors
    /// Why it could not be built.
    fn build(&mut self, graph: &Path, folder: &Path, spec: &BuildSpec) -> Result<BuildReport, Degraded>;
}

/// The engine's folder and description, built first where the cache does not hold it whole.
pub(crate) fn ensure_engine(
    artifact: &Artifact,
    model: &ResolvedModel,
    tools: Tools<'_>,
) -> Result<Ensured, PrepareError> {
    let Tools { cache: cache_dir, observer, engines } = tools;
    let not_built = |degraded: Degraded| PrepareError::NotBuilt {
        spec: model.spec.clone(),
        artifact: artifact.to_string(),
        degraded: Box::new(degraded),
    };
    let (builder, profiles) = engines.ok_or_else(|| {
        let message = "engines are built by a backend's own plugin, and there is none here";
        not_built(Degraded::new(DegradedKind::Unsupported, Stage::Open, message))
    })?;
    let identity = builder.identity().map_err(not_built)?;
    let spec = BuildSpec { precision: artifact.precision.name().into(), profiles: profiles.to_vec() };
    let key = key(&graph_key(&artifact.graph(), model, cache_dir)?, &spec, &identity);
    let folder = place(cache_dir, &key)?;
    let was_there = folder.is_dir();
    let mut built = false;
    let build = |partial: &Path| {
        built = true;
        let graph = ensure(&artifact.graph(), model, cache_dir, observer)?;
        let report =
            builder.build(&graph.folder, partial, &spec).and_then(|report| sound(report, partial, profiles));
        describe(artifact, graph, report.map_err(not_built)?, partial)
    };
    let check = |folder: &Path| store::intact(folder, cache_dir);
    let mut info = cache::build_once(&folder, check, build, PrepareError::io(&folder))?;
    info.name = artifact.clone();
    let note = (was_there && built)
        .then(|| format!("{artifact} of {} was damaged in the cache and has been built again", model.spec));
    Ok(Ensured { folder, info, built, note })
}

/// Over all that decides an engine.
fn key(graph: &str, spec: &BuildSpec, identity: &BuildIdentity) -> String {
    let text = serde_json::json!([VERSION, graph, spec, identity]).to_string();
    digest::hex(&Sha256::digest(text))[..32].to_string()
}

/// `report`, where there is an engine and it runs every profile that was asked for.
fn sound(report: BuildReport, folder: &Path, asked: &[Profile]) -> Result<BuildReport, Degraded> {
    let lost = |message: String| Degraded::new(DegradedKind::InvalidOutput, Stage::Open, message);
    if fs::metadata(folder.join(ENGINE)).map_or(0, |file| file.len()) == 0 {
        return Err(lost(format!("the plugin's build left no {ENGINE}")));
    }
    let missing = asked.iter().find_map(|profile| first_uncovered(&report.profiles, &profile.shapes()));
    match missing {
        None => Ok(report),
        Some(shape) => {
            Err(lost(format!("the engine that the plugin built does not run {shape}, which was asked for")))
        }
    }
}

fn describe(
    artifact: &Artifact,
    graph: Ensured,
    report: BuildReport,
    folder: &Path,
) -> Result<(), PrepareError> {
    write_json(&folder.join(REPORT), &report)?;
    let config = folder.join(CONFIG);
    fs::copy(graph.folder.join(CONFIG), &config).map_err(PrepareError::io(&config))?;
    let mut files = Vec::new();
    for name in [ENGINE, REPORT, CONFIG] {
        let path = folder.join(name);
        let sha256 = digest::of_file(&path).map_err(PrepareError::io(&path))?;
        let bytes = fs::metadata(&path).map_err(PrepareError::io(&path))?.len();
        files.push(ArtifactFile { name: name.into(), bytes, sha256 });
    }
    let info = ArtifactInfo {
        name: artifact.clone(),
        bytes: files[0].bytes,
        sha256: files[0].sha256.clone(),
        build_seconds: report.build_seconds,
        engine: Some(report),
        files,
        ..graph.info
    };
    write_json(&folder.join(DESCRIPTION), &info)
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), PrepareError> {
    let text = serde_json::to_string_pretty(value).map_err(|e| PrepareError::io(path)(e.into()))?;
    fs::write(path, text + "\n").map_err(PrepareError::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;
    use inferhost_plugin_api::shapes::{Shapes, profiles_for};
    use std::collections::BTreeMap;

    const SPEC: &str = "synthetic:gpt2?layers=1&embd=16&heads=2&vocab=31&ctx=16";

    /// Builds files that name what they were made of.
    #[derive(Default)]
    struct Paper {
        runtime: String,
        builds: u32,
        loses: Option<Degraded>,
        skips_profiles: bool,
    }

    impl EngineBuilder for Paper {
        fn identity(&mut self) -> Result<BuildIdentity, Degraded> {
            Ok(BuildIdentity { runtime: self.runtime.clone(), ..BuildIdentity::default() })
        }

        fn build(&mut self, graph: &Path, folder: &Path, spec: &BuildSpec) -> Result<BuildReport, Degraded> {
            assert!(graph.join("model.onnx").is_file(), "the graph is there first");
            self.builds += 1;
            if let Some(degraded) = &self.loses {
                return Err(degraded.clone());
            }
            fs::write(folder.join(ENGINE), format!("{} {}", self.runtime, spec.precision)).unwrap();
            let profiles = if self.skips_profiles { Vec::new() } else { spec.profiles.clone() };
            let layers = BTreeMap::from([("FP16".to_string(), 7)]);
            Ok(BuildReport {
                precision: spec.precision.clone(),
                profiles,
                layers,
                build_seconds: 1.5,
                ..BuildReport::default()
            })
        }
    }

    #[test]
    fn an_engine_is_built_once_for_all_that_decides_it() {
        let cache = tempfile::tempdir().unwrap();
        let model = model::resolve(SPEC, cache.path()).unwrap();
        let mut builder = Paper { runtime: "one".into(), ..Paper::default() };
        let whole = profiles_for(&Shapes::whole(2, 16));
        let ensure = |builder: &mut Paper, name: &str, profiles: &[Profile]| {
            let tools = Tools { cache: cache.path(), observer: None, engines: Some((builder, profiles)) };
            ensure_engine(&name.parse().unwrap(), &model, tools)
        };
        let first = ensure(&mut builder, "plan-fp16", &whole).unwrap();
        assert_eq!((first.info.name.to_string().as_str(), first.info.build_seconds), ("plan-fp16", 1.5));
        assert_eq!(first.info.engine.as_ref().unwrap().layers["FP16"], 7);
        assert_eq!((first.info.parameters, first.info.bytes), (model.parameters.unwrap(), 8));
        let again = ensure(&mut builder, "plan-fp16", &whole).unwrap();
        assert_eq!((builder.builds, again.built, &again.folder), (1, false, &first.folder));
        ensure(&mut builder, "plan-fp32", &whole).unwrap();
        ensure(&mut builder, "plan-fp16", &whole[..1]).unwrap();
        builder.runtime = "two".into();
        let other = ensure(&mut builder, "plan-fp16", &whole).unwrap();
        assert_eq!(builder.builds, 4);
        assert_ne!(other.folder, first.folder);
        assert_eq!(
            store::list(cache.path()).unwrap().iter().filter(|one| one.info.is_some()).count(),
            6,
            "and two graphs"
        );
        fs::remove_file(other.folder.join(ENGINE)).unwrap();
        let mended = ensure(&mut builder, "plan-fp16", &whole).unwrap();
        assert!(builder.builds == 5 && mended.note.unwrap().contains("has been built again"));
    }

    #[test]
    fn what_a_builder_says_or_leaves_out_is_the_reason() {
        let cache = tempfile::tempdir().unwrap();
        let model = model::resolve(SPEC, cache.path()).unwrap();
        let whole = profiles_for(&Shapes::whole(2, 16));
        let lost = |mut builder: Paper| {
            let tools = Tools { cache: cache.path(), observer: None, engines: Some((&mut builder, &whole)) };
            let error = ensure_engine(&"plan-fp16".parse().unwrap(), &model, tools).err().unwrap();
            (error.degraded_kind(), error.to_string())
        };
        let missing = Degraded::new(DegradedKind::RuntimeMissing, Stage::Open, "no libnvinfer");
        let (kind, text) = lost(Paper { loses: Some(missing), ..Paper::default() });
        assert_eq!(kind, Some(DegradedKind::RuntimeMissing));
        assert!(text.ends_with("plan-fp16 was not built: no libnvinfer"), "{text}");
        let (kind, text) = lost(Paper { skips_profiles: true, ..Paper::default() });
        assert_eq!(kind, Some(DegradedKind::InvalidOutput));
        assert!(text.contains("does not run 1 x 1, which was asked for"), "{text}");
        let plans = fs::read_dir(cache.path().join("artifacts")).unwrap().flatten();
        assert!(
            plans.filter(|entry| entry.path().join(ENGINE).exists()).count() == 0,
            "nothing half-written"
        );
    }
}
