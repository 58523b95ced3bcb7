//! `inferhost eval`: every backend of a config held against its baseline on a corpus.

use super::ready::Ready;
use super::target::{Earlier, Target};
use crate::accuracy::Evaluation;
use crate::cli::EvalArgs;
use crate::config::{self, Config};
use crate::error::AppError;
use crate::interrupt;
use crate::output::{print, print_json};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::report::{self, Layout};
use crate::run::{Event, Ledger, first_manifest};
use crate::store::{RunFolder, read_evaluations};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Summary<'a> {
    run_dir: String,
    passed: bool,
    evaluations: &'a [Evaluation],
    report: String,
}

pub(super) fn execute(args: &EvalArgs) -> Result<(), AppError> {
    let config = config::load(&args.config).map_err(AppError::bad_input)?;
    if config.accuracy.is_none() {
        return Err(AppError::bad_input(format!(
            "{}: there is no [accuracy] table; add one with text = \"FILE\" or tokens = \"FILE\"",
            args.config.display()
        )));
    }
    let target = Target::choose(args.out.as_deref(), args.resume, &format!("{}-eval", config.name))?;
    let (folder, earlier) = target.open(&config)?;
    interrupt::install().map_err(AppError::failed)?;
    let mut progress = Progress::new();
    let result = evaluate(args, &config, folder, earlier, &mut progress);
    progress.finish();
    if result.is_err() {
        target.discard_if_unused();
    }
    result?;
    show(args, &target.path)
}

fn evaluate(
    args: &EvalArgs,
    config: &Config,
    folder: RunFolder,
    earlier: Option<Earlier>,
    progress: &mut Progress,
) -> Result<(), AppError> {
    let mut show = |event: Event<'_>| progress.show(&event);
    let ready = Ready::new(config, &folder, args.execution.isolation, &args.execution.plugins, &mut show)?;
    let no_runs = Plan { cells: Vec::new(), skipped: Vec::new(), groups: Vec::new() };
    let mut manifest = first_manifest(config, &no_runs, &ready.setup);
    let (mut records, mut evaluations) = (Vec::new(), Vec::new());
    if let Some(earlier) = earlier {
        earlier.same_corpus(config, &ready.datasets)?;
        earlier.changes(&manifest).into_iter().for_each(|change| show(Event::Note(change)));
        manifest = earlier.continued(manifest)?;
        // The folder may be a matrix's, whose records stay what they are.
        manifest.planned_runs = earlier.manifest.planned_runs;
        (records, evaluations) = (earlier.records, earlier.evaluations);
    }
    let path = folder.path().to_path_buf();
    let mut ledger = Ledger::open(folder, manifest, &records).map_err(|error| AppError::store(&error))?;
    ready.evaluate(config, &evaluations, &mut ledger, &path, progress)
}

/// Prints the report; the exit code says whether every backend passed.
fn show(args: &EvalArgs, path: &Path) -> Result<(), AppError> {
    let text = report::report(path, Layout::of_stdout()).map_err(AppError::report)?;
    let evaluations = read_evaluations(path).map_err(|error| AppError::store(&error))?.evaluations;
    let report = path.join(report::PAGE).display().to_string();
    let short = evaluations.iter().filter(|of| !of.verdict.is_pass()).count();
    if args.execution.json {
        let (run_dir, passed) = (path.display().to_string(), short == 0);
        print_json(&Summary { run_dir, passed, evaluations: &evaluations, report })?;
    } else {
        print(&format!("{}\nreport: {report}", text.trim_end()))?;
    }
    if evaluations.iter().all(|of| of.figures.is_none()) {
        return Err(AppError::backend("no backend could be evaluated; the report says why"));
    }
    if short > 0 {
        return Err(AppError::failed(format!(
            "{short} of {} evaluations do not pass the accuracy gate; the report says why",
            evaluations.len()
        )));
    }
    Ok(())
}
