//! `inferhost prepare`: builds an artifact, says what is in it and how near it comes to its model.

use super::chosen::{Building, MOST_ROWS, context_of, not_prepared};
use super::one_off::{failed, lost};
use super::options;
use crate::cli::PrepareArgs;
use crate::error::AppError;
use crate::interrupt;
use crate::model::{self, ResolvedModel};
use crate::output::{self, print, print_json};
use crate::plugins::{FindError, PluginFile, PluginFolders};
use crate::prepare::artifact::{Artifact, ArtifactInfo, Dialect, Target};
use crate::prepare::{EngineBuilder, PrepareError, Prepared, Tools, prepare};
use crate::run::{Agreement, Checker, PluginBuilder, PluginObserver, Starter, describe};
use crate::worker::temporary_folder;
use inferhost_plugin_api::build::BuildReport;
use inferhost_plugin_api::shapes::{Shapes, profiles_for};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

#[derive(Serialize)]
struct Report<'a> {
    folder: String,
    artifact: &'a ArtifactInfo,
    /// None where it was not asked for or could not be told.
    agreement: Option<Agreement>,
}

pub(super) fn execute(args: &PrepareArgs) -> Result<(), AppError> {
    let artifact: Artifact = args.artifact.parse().map_err(AppError::bad_input)?;
    if artifact.target == Target::Onnx {
        only_for_engines(args, &artifact)?;
    }
    let folders = args.plugins.open().map_err(AppError::bad_input)?;
    let out = args.out.as_deref().map(free_place).transpose()?;
    interrupt::install().map_err(AppError::failed)?;
    let logs = temporary_folder().map_err(AppError::failed)?;
    let starter = Starter::new(logs.path()).map_err(AppError::failed)?;
    let cache = model::cache::cache_dir();
    let model = model::resolve(&args.model, &cache).map_err(AppError::bad_input)?;
    let prepared = prepared(args, &artifact, &model, &folders, &starter)?;
    let info = prepared.artifact.as_ref().ok_or_else(|| AppError::failed("nothing was built"))?;
    if let Some(note) = &prepared.note {
        output::note(note);
    }
    let check = match args.no_check {
        true => Check::NotAsked,
        false if artifact.target == Target::Plan => Check::OfEngine,
        false => Check::make(&Checker { folders: &folders, starter: &starter }, &model, &prepared, &artifact),
    };
    let verdict = check.verdict(&artifact);
    let folder = match out {
        Some(out) if verdict.is_ok() => copy(&model, &prepared, info, out).map_err(AppError::failed)?,
        _ => &prepared.path,
    };
    if args.json {
        let agreement = if let Check::Made(found) = check { Some(found) } else { None };
        print_json(&Report { folder: folder.display().to_string(), artifact: info, agreement })?;
    } else {
        print(&description(&prepared, info, folder, &check))?;
    }
    verdict
}

/// The plugin that builds engines where no other is named.
const BUILDER: &str = "tensorrt";

/// A graph is written by this program alone.
fn only_for_engines(args: &PrepareArgs, artifact: &Artifact) -> Result<(), AppError> {
    let given = [
        ("--plugin", args.plugin.is_some()),
        ("--option", !args.options.is_empty()),
        ("--rows", args.rows.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((name, _)) => Err(AppError::bad_input(format!(
            "{name} is for engines, and {artifact} is a graph; leave it out, or ask for --artifact plan-fp16"
        ))),
    }
}

/// Asks the plugin what it is with these options, so that a mistake in them is told as one.
fn check_options(
    starter: &Starter,
    plugin: &PluginFile,
    options: &Map<String, Value>,
) -> Result<(), AppError> {
    let worker = starter.start("options", &BTreeMap::new()).map_err(AppError::failed)?;
    let mut worker = worker.map_err(lost)?;
    let options = Value::Object(options.clone()).to_string();
    let described = describe(worker.as_mut(), plugin, &options, Duration::from_secs(120)).map_err(lost)?;
    described.map(|_| ()).map_err(failed)
}

fn prepared(
    args: &PrepareArgs,
    artifact: &Artifact,
    model: &ResolvedModel,
    folders: &PluginFolders,
    starter: &Starter,
) -> Result<Prepared, AppError> {
    let cache = model::cache::cache_dir();
    let options = options::parse(&args.options)?;
    let mut observer = PluginObserver::new(folders, starter);
    let mut told = Building::default();
    let mut progress = |step: String| told.show(&step);
    let plugin = match artifact.target {
        Target::Onnx => None,
        Target::Plan => {
            let name = args.plugin.as_deref().unwrap_or(BUILDER);
            let plugin = folders.find(name).map_err(AppError::bad_input)?;
            check_options(starter, &plugin, &options)?;
            Some(plugin)
        }
    };
    let profiles = profiles_for(&Shapes::whole(args.rows.unwrap_or(MOST_ROWS), context_of(model)));
    let mut builder = plugin.as_ref().map(|plugin| {
        PluginBuilder::new(starter, &plugin.path, "build".into(), &mut progress)
            .like(&options, &BTreeMap::new())
    });
    let engines = builder.as_mut().map(|builder| (builder as &mut dyn EngineBuilder, &profiles[..]));
    let tools = Tools { cache: &cache, observer: Some(&mut observer), engines };
    prepare(model, &[artifact.form()], Some(artifact), tools).map_err(not_prepared)
}

/// A folder that is not there yet, or is empty.
fn free_place(out: &Path) -> Result<&Path, AppError> {
    match fs::read_dir(out).map(|mut entries| entries.next().is_some()) {
        Ok(true) => Err(AppError::bad_input(format!(
            "--out {}: the folder is not empty; name a new one",
            out.display()
        ))),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(AppError::bad_input(format!("--out {}: {error}", out.display())))
        }
        _ => Ok(out),
    }
}

/// What a copy takes along from the model, where it is there: tokenizer, and where generation ends.
const BESIDE: [&str; 5] =
    ["generation_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"];

/// The artifact in a folder of the user's, whole or not at all. A hard link would let an edit of the copy damage the
/// cache.
fn copy<'a>(
    model: &ResolvedModel,
    prepared: &Prepared,
    info: &ArtifactInfo,
    out: &'a Path,
) -> Result<&'a Path, PrepareError> {
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(PrepareError::io(parent))?;
    let temporary = tempfile::tempdir_in(parent).map_err(PrepareError::io(parent))?;
    // A temporary folder is its owner's alone; the one inside it is like any other.
    let partial = temporary.path().join("artifact");
    fs::create_dir(&partial).map_err(PrepareError::io(&partial))?;
    let own = info.files.iter().map(|file| file.name.as_str()).chain(["artifact.json"]);
    let own = own.map(|name| prepared.path.join(name));
    let beside = BESIDE.iter().map(|name| model.folder.join(name)).filter(|path| path.is_file());
    for from in own.chain(beside) {
        let to = partial.join(from.file_name().unwrap_or_default());
        fs::copy(&from, &to).map_err(PrepareError::io(&to))?;
    }
    if out.is_dir() {
        fs::remove_dir(out).map_err(PrepareError::io(out))?;
    }
    fs::rename(&partial, out).map_err(PrepareError::io(out))?;
    Ok(out)
}

/// How near the artifact comes to its model.
enum Check {
    NotAsked,
    /// What builds an engine runs it: `conformance` and `eval` hold it against the model.
    OfEngine,
    /// A plugin that it takes is not there.
    NoPlugin(FindError),
    Failed(String),
    Made(Agreement),
}

impl Check {
    fn make(checker: &Checker<'_>, model: &ResolvedModel, prepared: &Prepared, artifact: &Artifact) -> Self {
        if let Err(missing) = checker.plugins() {
            return Self::NoPlugin(missing);
        }
        checker.agreement(model, prepared, artifact).map_or_else(Self::Failed, Self::Made)
    }

    /// A portable graph may be one that ONNX Runtime has no kernels for; its own dialect must run.
    fn verdict(&self, artifact: &Artifact) -> Result<(), AppError> {
        match self {
            _ if interrupt::requested() => Err(AppError::interrupted("interrupted")),
            Self::Made(found) if !found.holds() => Err(AppError::failed(format!(
                "the artifact's logits are {:.2e} standard deviations from the model's, more than the {} that {} explains",
                found.relative_difference,
                found.tolerance,
                artifact.precision.name()
            ))),
            Self::Failed(problem) if artifact.dialect == Dialect::Ort => Err(AppError::failed(format!(
                "the artifact could not be checked: {problem}; --no-check leaves that out"
            ))),
            _ => Ok(()),
        }
    }

    fn line(&self) -> String {
        match self {
            Self::NotAsked => "no (--no-check)".into(),
            Self::OfEngine => "no: conformance and eval hold an engine against its model".into(),
            Self::NoPlugin(missing) => format!("not possible: {missing}"),
            Self::Failed(problem) => format!("not possible: {problem}"),
            Self::Made(found) => format!(
                "logits within {:.2e} of float64's, in their standard deviations (at most {}); same next token at {:.0}% of positions",
                found.relative_difference,
                found.tolerance,
                100.0 * found.same_token
            ),
        }
    }
}

fn of_engine(report: &BuildReport) -> Vec<String> {
    let layers: Vec<String> = report.layers.iter().map(|(name, n)| format!("{n} in {name}")).collect();
    let profiles: Vec<String> = report.profiles.iter().map(ToString::to_string).collect();
    vec![
        format!("  engine      {} on {}", report.identity.runtime, report.identity.device),
        format!("  layers      {}", if layers.is_empty() { "not told".into() } else { layers.join(", ") }),
        format!("  runs        {} (rows x tokens after cached positions)", profiles.join(", ")),
    ]
}

fn description(prepared: &Prepared, info: &ArtifactInfo, folder: &Path, check: &Check) -> String {
    let coverage = &info.coverage;
    let mut nodes: Vec<_> = info.nodes.iter().collect();
    nodes.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let listed = nodes.iter().map(|(op, n)| format!("{n} {op}")).collect::<Vec<_>>().join(", ");
    let weights = coverage.weight_bytes.keys();
    let weights = weights.map(|name| format!("{:.1}% {name}", 100.0 * coverage.weight_share(&[name])));
    let tables = coverage.table_bytes.iter();
    let tables = tables.map(|(name, &bytes)| format!("{:.1} MB in {name}", bytes as f64 / 1e6));
    let products = coverage.products.iter().map(|(name, n)| format!("{n} in {name}"));
    let built = if prepared.built { "now" } else { "earlier, found in the cache" };
    let mut lines = vec![
        format!("{} of {}", info.name, info.model),
        format!("  folder      {}", folder.display()),
        format!("  parameters  {}", info.parameters),
        format!("  size        {:.1} MB, sha256 {}", info.bytes as f64 / 1e6, info.sha256),
        format!("  nodes       {}, opset {}: {listed}", info.nodes.values().sum::<u32>(), info.opset),
        format!("  matrices    {} of their bytes", weights.collect::<Vec<_>>().join(", ")),
        format!("  tables      {}", tables.collect::<Vec<_>>().join(", ")),
        format!("  products    {}", products.collect::<Vec<_>>().join(", ")),
        format!("  built       {built}, in {:.2} s", info.build_seconds),
    ];
    if let Some(calibration) = &info.calibration {
        let corpus =
            calibration.corpus.as_deref().unwrap_or("random token ids (give corpus=FILE for real text)");
        lines.push(format!("  calibrated  on {} tokens of {corpus}", calibration.tokens));
    }
    lines.extend(info.engine.iter().flat_map(of_engine));
    lines.push(format!("  checked     {}", check.line()));
    lines.join("\n")
}
