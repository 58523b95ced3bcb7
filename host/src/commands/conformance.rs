//! `inferhost conformance`: the suite of the interface on one plugin. It runs in this very process, which is
//! there for nothing else: a plugin that crashes takes the command along, and the last line says where.

use super::chosen::Chosen;
use crate::cli::ConformanceArgs;
use crate::error::AppError;
use crate::model;
use crate::output::print;
use crate::run::Starter;
use inferhost_plugin_api::{ModelForm, Plugin, conformance};
use std::path::{Path, PathBuf};

pub(super) fn execute(args: &ConformanceArgs) -> Result<(), AppError> {
    let cases = cases(&args.golden)?;
    let chosen = Chosen::new(&args.backend)?;
    let cache = model::cache::cache_dir();
    let plugin = Plugin::load(&chosen.file.path).map_err(AppError::bad_input)?;
    let options = serde_json::Value::Object(chosen.options.clone());
    let forms = plugin.describe(&options).map_err(AppError::bad_input)?.forms;
    let logs = tempfile::tempdir().map_err(AppError::failed)?;
    let starter = Starter::new(logs.path()).map_err(AppError::failed)?;
    let suite = conformance::Suite {
        plugin,
        options,
        tolerance: conformance::Tolerance { logits: args.tolerance, logprobs: args.tolerance },
        prepare: &|folder| prepared(folder, &chosen, &forms, &cache, &starter),
    };
    let report = suite.run(&cases);
    print(report.to_string().trim_end())?;
    if report.passed() {
        Ok(())
    } else {
        Err(AppError::backend("the plugin does not conform; the table says where"))
    }
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
