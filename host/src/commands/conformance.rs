//! `inferhost conformance`: the suite of the interface on one plugin, in a process of its own, which is this command once
//! more: a plugin that crashes, hangs or shouts is a line, as in a matrix.

use super::chosen::Chosen;
use crate::cli::ConformanceArgs;
use crate::error::{AppError, exit_code};
use crate::interrupt;
use crate::model;
use crate::output::print;
use crate::run::Starter;
use crate::worker::{Ended, Lost, run_apart, temporary_folder};
use inferhost_plugin_api::{ModelForm, Plugin, conformance};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const NOT_CONFORMING: &str = "the plugin does not conform; the table says where";

pub(super) fn execute(args: &ConformanceArgs) -> Result<(), AppError> {
    match &args.report_to {
        Some(file) => suite(args, file),
        None => apart(args),
    }
}

fn apart(args: &ConformanceArgs) -> Result<(), AppError> {
    let deadline = super::deadline(args.deadline_s)?;
    interrupt::install().map_err(AppError::failed)?;
    let folder = temporary_folder().map_err(AppError::failed)?;
    let file = folder.path().join("report");
    let mut again: Vec<OsString> = std::env::args_os().skip(1).collect();
    again.extend(["--report-to".into(), file.clone().into()]);
    let ended = run_apart(&again, &folder.path().join("log"), deadline).map_err(AppError::failed)?;
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    if !found.is_empty() {
        print(found.trim_end())?;
    }
    match ended {
        Ok(Ended { exit_code: exit_code::DONE, .. }) if !found.is_empty() => Ok(()),
        Ok(Ended { exit_code: exit_code::BACKEND_FAILED, .. }) if !found.is_empty() => {
            Err(AppError::backend(NOT_CONFORMING))
        }
        Ok(Ended { exit_code, last_lines }) => Err(AppError::again(exit_code, &last_lines)),
        Err(Lost::Degraded(degraded)) => Err(AppError::backend(degraded.message)),
        Err(Lost::Interrupted) => Err(AppError::interrupted("interrupted")),
    }
}

/// In this process.
fn suite(args: &ConformanceArgs, file: &Path) -> Result<(), AppError> {
    let cases = cases(&args.golden)?;
    let chosen = Chosen::new(&args.backend)?;
    let cache = model::cache::cache_dir();
    let plugin = Plugin::load(&chosen.file.path).map_err(AppError::bad_input)?;
    let options = serde_json::Value::Object(chosen.options.clone());
    let forms = plugin.describe(&options).map_err(AppError::bad_input)?.forms;
    let logs = temporary_folder().map_err(AppError::failed)?;
    let starter = Starter::new(logs.path()).map_err(AppError::failed)?;
    let suite = conformance::Suite {
        plugin,
        options,
        tolerance: conformance::Tolerance { logits: args.tolerance, logprobs: args.tolerance },
        prepare: &|folder| prepared(folder, &chosen, &forms, &cache, &starter),
    };
    let report = suite.run(&cases);
    std::fs::write(file, report.to_string()).map_err(AppError::failed)?;
    if report.passed() { Ok(()) } else { Err(AppError::backend(NOT_CONFORMING)) }
}

fn prepared(
    folder: &Path,
    chosen: &Chosen,
    forms: &[ModelForm],
    cache: &Path,
    starter: &Starter,
) -> Result<(PathBuf, ModelForm), String> {
    let spec = folder.to_str().ok_or("its path is not UTF-8")?;
    let model = model::resolve(spec, cache).map_err(|e| e.to_string())?;
    let prepared = chosen.prepare(&model, forms, cache, starter).map_err(|e| e.message)?;
    Ok((prepared.path, prepared.form))
}

/// The folders given that are golden cases, and those inside the folders given.
fn cases(given: &[PathBuf]) -> Result<Vec<PathBuf>, AppError> {
    let is_case = |path: &PathBuf| path.join("expected.json").is_file();
    let mut cases = Vec::new();
    for folder in given {
        let inside = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut found: Vec<_> = std::iter::once(folder.clone()).chain(inside).filter(is_case).collect();
        if found.is_empty() {
            let what = "holds no golden case (a folder with expected.json); make some with scripts/golden.py";
            return Err(AppError::bad_input(format!("--golden {} {what}", folder.display())));
        }
        found.sort();
        cases.extend(found);
    }
    Ok(cases)
}
