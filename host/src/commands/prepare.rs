//! `inferhost prepare`: builds an artifact, says what is in it and how near it comes to its model.

use super::chosen::not_prepared;
use crate::cli::PrepareArgs;
use crate::error::AppError;
use crate::interrupt;
use crate::model;
use crate::output::{print, print_json};
use crate::plugins::PluginFolders;
use crate::prepare::artifact::{Artifact, ArtifactInfo, Dialect};
use crate::prepare::{PrepareError, Prepared, prepare};
use crate::run::{Agreement, Checker, PluginObserver, Starter};
use inferhost_plugin_api::ModelForm;
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

#[derive(Serialize)]
struct Report<'a> {
    folder: String,
    artifact: &'a ArtifactInfo,
    /// None where it was not asked for or could not be told.
    agreement: Option<Agreement>,
}

pub(super) fn execute(args: &PrepareArgs) -> Result<(), AppError> {
    let artifact: Artifact = args.artifact.parse().map_err(AppError::bad_input)?;
    let folders = PluginFolders::new(&args.plugins.folders).map_err(AppError::bad_input)?;
    let out = args.out.as_deref().map(free_place).transpose()?;
    interrupt::install().map_err(AppError::failed)?;
    let logs = tempfile::tempdir().map_err(AppError::failed)?;
    let starter = Starter::new(logs.path()).map_err(AppError::failed)?;
    let cache = model::cache::cache_dir();
    let model = model::resolve(&args.model, &cache).map_err(AppError::bad_input)?;
    let start = Instant::now();
    let mut observer = PluginObserver::new(&folders, &starter);
    let prepared = prepare(&model, &[ModelForm::Onnx], Some(&artifact), &cache, Some(&mut observer));
    let prepared = prepared.map_err(not_prepared)?;
    let took = start.elapsed();
    let info = prepared.artifact.as_ref().ok_or_else(|| AppError::failed("nothing was built"))?;
    if let Some(note) = &prepared.note {
        eprintln!("note: {note}");
    }
    let checker = Checker { folders: &folders, starter: &starter };
    let checked = (!args.no_check).then(|| checker.agreement(&model, &prepared, &artifact.precision));
    let folder = match out {
        Some(out) => copy(&prepared, info, out).map_err(AppError::failed)?,
        None => &prepared.path,
    };
    if args.json {
        let agreement = checked.as_ref().and_then(|checked| checked.as_ref().ok().copied());
        print_json(&Report { folder: folder.display().to_string(), artifact: info, agreement })?;
    } else {
        print(&description(info, folder, took, checked.as_ref()))?;
    }
    verdict(checked, &artifact)
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

/// The artifact's files in a folder of the user's, whole or not at all. A hard link would let an edit of the copy
/// damage the cache.
fn copy<'a>(prepared: &Prepared, info: &ArtifactInfo, out: &'a Path) -> Result<&'a Path, PrepareError> {
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(PrepareError::io(parent))?;
    let partial = tempfile::tempdir_in(parent).map_err(PrepareError::io(parent))?;
    for name in info.files.iter().map(|file| file.name.as_str()).chain(["artifact.json"]) {
        let to = partial.path().join(name);
        fs::copy(prepared.path.join(name), &to).map_err(PrepareError::io(&to))?;
    }
    if out.is_dir() {
        fs::remove_dir(out).map_err(PrepareError::io(out))?;
    }
    fs::rename(partial.path(), out).map_err(PrepareError::io(out))?;
    Ok(out)
}

fn description(
    info: &ArtifactInfo,
    folder: &Path,
    took: Duration,
    checked: Option<&Result<Agreement, String>>,
) -> String {
    let coverage = &info.coverage;
    let mut nodes: Vec<_> = info.nodes.iter().collect();
    nodes.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let listed = nodes.iter().map(|(op, n)| format!("{n} {op}")).collect::<Vec<_>>().join(", ");
    let weights = coverage.weight_bytes.keys();
    let weights = weights.map(|name| format!("{:.1}% {name}", 100.0 * coverage.weight_share(&[name])));
    let products = coverage.products.iter().map(|(name, n)| format!("{n} in {name}"));
    let built = if info.build_seconds <= took.as_secs_f64() { "now, in" } else { "earlier, in" };
    let mut lines = vec![
        format!("{} of {}", info.name, info.model),
        format!("  folder      {}", folder.display()),
        format!("  parameters  {}", info.parameters),
        format!("  size        {:.1} MB, sha256 {}", info.bytes as f64 / 1e6, info.sha256),
        format!("  nodes       {}, opset {}: {listed}", info.nodes.values().sum::<u32>(), info.opset),
        format!("  matrices    {} of their bytes", weights.collect::<Vec<_>>().join(", ")),
        format!("  products    {}", products.collect::<Vec<_>>().join(", ")),
        format!("  built       {built} {:.2} s", info.build_seconds),
    ];
    if let Some(calibration) = &info.calibration {
        let corpus =
            calibration.corpus.as_deref().unwrap_or("random token ids (give corpus=FILE for real text)");
        lines.push(format!("  calibrated  on {} tokens of {corpus}", calibration.tokens));
    }
    lines.push(match checked {
        None => "  checked     no (--no-check)".into(),
        Some(Ok(found)) => format!(
            "  checked     logits within {:.2e} of float64's, in their standard deviations (at most {}); same next token at {:.0}% of positions",
            found.relative_difference,
            found.tolerance,
            100.0 * found.same_token
        ),
        Some(Err(problem)) => format!("  checked     not possible: {problem}"),
    });
    lines.join("\n")
}

/// A portable graph may be one that ONNX Runtime has no kernels for; its own dialect must run.
fn verdict(checked: Option<Result<Agreement, String>>, artifact: &Artifact) -> Result<(), AppError> {
    match checked {
        Some(Ok(found)) if !found.holds() => Err(AppError::failed(format!(
            "the artifact's logits are {:.2e} standard deviations from the model's, more than the {} that {} explains",
            found.relative_difference,
            found.tolerance,
            artifact.precision.name()
        ))),
        Some(Err(problem)) if artifact.dialect == Dialect::Ort && !problem.contains("no plugin") => {
            Err(AppError::failed(format!(
                "the artifact could not be checked: {problem}; --no-check leaves that out"
            )))
        }
        _ => Ok(()),
    }
}
