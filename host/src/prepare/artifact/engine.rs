//! Engine plans: a plugin's builder makes one of a portable graph, for the profiles that a matrix needs, and what it made
//! is checked and kept as any artifact is.

use super::build::{Ensured, ensure, graph_key, place};
use super::{Artifact, ArtifactFile, ArtifactInfo, DESCRIPTION, store};
use crate::digest;
use crate::model::{ResolvedModel, cache};
use crate::prepare::{PrepareError, Tools};
use crate::record::{Degraded, DegradedKind, Stage};
use inferhost_plugin_api::build::{BuildIdentity, BuildReport, BuildSpec, ENGINE, REPORT};
use inferhost_plugin_api::shapes::first_uncovered;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

/// Part of every engine's key: raised where the same request would be answered otherwise.
const VERSION: u32 = 1;
/// Layers that compute nothing.
const OTHER: &str = "other";
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
    let identity = builder.identity().and_then(whole).map_err(not_built)?;
    let spec = BuildSpec { precision: artifact.precision.name().into(), profiles: profiles.to_vec() };
    let key = key(&graph_key(&artifact.graph(), model, cache_dir)?, &spec, &identity);
    let folder = place(cache_dir, &key)?;
    let was_there = folder.is_dir();
    let mut built = false;
    let build = |partial: &Path| {
        built = true;
        let graph = ensure(&artifact.graph(), model, cache_dir, observer)?;
        let report =
            builder.build(&graph.folder, partial, &spec).and_then(|report| sound(report, partial, &spec));
        describe(artifact, graph, report.map_err(not_built)?, partial)
    };
    let check = |folder: &Path| store::intact(folder, cache_dir);
    let mut info = cache::build_once(&folder, check, build, PrepareError::io(&folder))?;
    info.name = artifact.clone();
    let note = (was_there && built)
        .then(|| format!("{artifact} of {} was damaged in the cache and has been built again", model.spec));
    Ok(Ensured { folder, info, built, note })
}

/// `identity`, where it says what an engine depends on.
fn whole(identity: BuildIdentity) -> Result<BuildIdentity, Degraded> {
    if identity.runtime.is_empty() || identity.device.is_empty() {
        let message = "the plugin does not say which runtime and which device its engines are for";
        return Err(Degraded::new(DegradedKind::Incompatible, Stage::Open, message));
    }
    Ok(identity)
}

/// Over all that decides an engine.
fn key(graph: &str, spec: &BuildSpec, identity: &BuildIdentity) -> String {
    let text = serde_json::json!([VERSION, graph, spec, identity]).to_string();
    digest::hex(&Sha256::digest(text))[..32].to_string()
}

/// `report`, where there is an engine, it runs every profile that was asked for, and it computes in what it claims.
fn sound(report: BuildReport, folder: &Path, spec: &BuildSpec) -> Result<BuildReport, Degraded> {
    let lost = |kind, message: String| Err(Degraded::new(kind, Stage::Open, message));
    if fs::metadata(folder.join(ENGINE)).map_or(0, |file| file.len()) == 0 {
        return lost(DegradedKind::InvalidOutput, format!("the plugin's build left no {ENGINE}"));
    }
    let missing = spec.profiles.iter().find_map(|asked| first_uncovered(&report.profiles, &asked.shapes()));
    if let Some(shape) = missing {
        let message = format!("the engine that the plugin built does not run {shape}, which was asked for");
        return lost(DegradedKind::InvalidOutput, message);
    }
    let claimed = spec.precision.split('-').next().unwrap_or_default();
    let told: Vec<String> = report.layers.iter().map(|(name, n)| format!("{n} in {name}")).collect();
    let computes = report.layers.keys().any(|name| name != OTHER);
    if computes && !report.layers.contains_key(claimed) {
        let message =
            format!("no layer of the engine computes in {claimed}, which it claims ({})", told.join(", "));
        return lost(DegradedKind::Unsupported, message);
    }
    Ok(report)
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
    let files = files_of(folder)?;
    let mut all = Sha256::new();
    files.iter().for_each(|file| all.update(format!("{}\0{}\n", file.name, file.sha256)));
    let own = files.iter().filter(|file| file.name != REPORT && file.name != CONFIG);
    let info = ArtifactInfo {
        name: artifact.clone(),
        bytes: own.map(|file| file.bytes).sum(),
        sha256: digest::hex(&all.finalize()),
        build_seconds: report.build_seconds,
        engine: Some(report),
        files,
        ..graph.info
    };
    write_json(&folder.join(DESCRIPTION), &info)
}

/// Everything that the plugin and this host have written, by name.
fn files_of(folder: &Path) -> Result<Vec<ArtifactFile>, PrepareError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(PrepareError::io(folder))? {
        let path = entry.map_err(PrepareError::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sha256 = digest::of_file(&path).map_err(PrepareError::io(&path))?;
        let bytes = fs::metadata(&path).map_err(PrepareError::io(&path))?.len();
        files.push(ArtifactFile { name, bytes, sha256 });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), PrepareError> {
    let text = serde_json::to_string_pretty(value).map_err(|e| PrepareError::io(path)(e.into()))?;
    fs::write(path, text + "\n").map_err(PrepareError::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;
    use inferhost_plugin_api::shapes::{Profile, Shapes, profiles_for};
    use std::collections::BTreeMap;

    const SPEC: &str = "synthetic:gpt2?layers=1&embd=16&heads=2&vocab=31&ctx=16";

    /// Builds files that name what they were made of.
    #[derive(Default)]
    struct Paper {
        runtime: String,
        builds: u32,
        loses: Option<Degraded>,
        skips_profiles: bool,
        computes_in: Option<&'static str>,
    }

    impl EngineBuilder for Paper {
        fn identity(&mut self) -> Result<BuildIdentity, Degraded> {
            Ok(BuildIdentity {
                runtime: self.runtime.clone(),
                device: "paper".into(),
                ..BuildIdentity::default()
            })
        }

        fn build(&mut self, graph: &Path, folder: &Path, spec: &BuildSpec) -> Result<BuildReport, Degraded> {
            assert!(graph.join("model.onnx").is_file(), "the graph is there first");
            self.builds += 1;
            if let Some(degraded) = &self.loses {
                return Err(degraded.clone());
            }
            fs::write(folder.join(ENGINE), format!("{} {}", self.runtime, spec.precision)).unwrap();
            let profiles = if self.skips_profiles { Vec::new() } else { spec.profiles.clone() };
            let layers =
                BTreeMap::from([(self.computes_in.unwrap_or(spec.precision.as_str()).to_string(), 7)]);
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
        assert_eq!(first.info.engine.as_ref().unwrap().layers["fp16"], 7);
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
        let (kind, text) = lost(Paper { loses: Some(missing), runtime: "one".into(), ..Paper::default() });
        assert_eq!(kind, Some(DegradedKind::RuntimeMissing));
        assert!(text.ends_with("plan-fp16 was not built: no libnvinfer"), "{text}");
        let (kind, text) = lost(Paper { skips_profiles: true, runtime: "one".into(), ..Paper::default() });
        assert_eq!(kind, Some(DegradedKind::InvalidOutput));
        assert!(text.contains("does not run 1 x 1, which was asked for"), "{text}");
        let (kind, text) =
            lost(Paper { computes_in: Some("fp32"), runtime: "one".into(), ..Paper::default() });
        assert_eq!(kind, Some(DegradedKind::Unsupported));
        assert!(
            text.contains("no layer of the engine computes in fp16, which it claims (7 in fp32)"),
            "{text}"
        );
        let (kind, text) = lost(Paper::default());
        assert!(kind == Some(DegradedKind::Incompatible) && text.contains("which runtime"), "{text}");
        let plans = fs::read_dir(cache.path().join("artifacts")).unwrap().flatten();
        assert!(
            plans.filter(|entry| entry.path().join(ENGINE).exists()).count() == 0,
            "nothing half-written"
        );
    }
}
