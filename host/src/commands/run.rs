//! `inferhost run`: config, plan, setup, matrix, report.

use super::ready::Ready;
use super::target::{Earlier, Target};
use crate::cli::RunArgs;
use crate::config::{self, Config};
use crate::error::AppError;
use crate::interrupt;
use crate::manifest::{Counts, Manifest, ShardEntry};
use crate::output::{print, print_json};
use crate::plan::{Plan, Shard, plan};
use crate::progress::Progress;
use crate::report::{self, Layout};
use crate::run::{Event, Ledger, Matrix, RunError, first_manifest};
use crate::store::{RunFolder, SeriesWriter};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Summary<'a> {
    run_dir: String,
    planned: u64,
    #[serde(flatten)]
    counts: &'a Counts,
    report: String,
}

pub(super) fn execute(args: &RunArgs) -> Result<(), AppError> {
    let config = config::load(&args.config).map_err(AppError::bad_input)?;
    let target = Target::choose(args.out.as_deref(), args.resume, &config.name)?;
    let (folder, earlier) = target.open(&config)?;
    interrupt::install().map_err(AppError::failed)?;
    let mut progress = Progress::new();
    let result = run(args, &config, folder, earlier, &mut progress);
    progress.finish();
    if result.is_err() {
        target.discard_if_unused();
    }
    let (planned, ledger) = result?;
    show(args, &target.path, planned, ledger.counts())?;
    if ledger.counts().ok == 0 && planned > 0 {
        return Err(AppError::backend("no run gave a valid measurement; the report says why"));
    }
    Ok(())
}

fn show(args: &RunArgs, path: &Path, planned: u64, counts: &Counts) -> Result<(), AppError> {
    let text = report::report(path, Layout::of_stdout()).map_err(AppError::report)?;
    let report = path.join(report::PAGE).display().to_string();
    if args.json {
        return print_json(&Summary { run_dir: path.display().to_string(), planned, counts, report });
    }
    print(&format!("{}\nreport: {report}", text.trim_end()))
}

/// Runs what is left of the plan; the number of runs planned, and what is on record.
fn run(
    args: &RunArgs,
    config: &Config,
    folder: RunFolder,
    earlier: Option<Earlier>,
    progress: &mut Progress,
) -> Result<(u64, Ledger), AppError> {
    let mut show = |event: Event<'_>| progress.show(&event);
    let ready = Ready::new(config, &folder, args.isolation, &args.plugins, &mut show)?;
    let Ready { setup, starter, .. } = &ready;
    let whole = plan(config, &setup.contexts(config));
    if let (true, Some(first)) = (whole.cells.is_empty(), whole.skipped.first()) {
        return Err(AppError::bad_input(format!("nothing can be run: {}", first.reason)));
    }
    let mut manifest = first_manifest(config, &whole, setup);
    let plan = part_of(whole, args.shard, &mut manifest)?;
    for skipped in &plan.skipped {
        show(Event::Note(format!("skipped: {} ({})", skipped.reason, skipped.cell.mode.name())));
    }
    let (mut records, mut evaluations) = (Vec::new(), Vec::new());
    if let Some(earlier) = earlier {
        earlier.same_shard(manifest.shard, folder.path())?;
        earlier.same_corpus(config, &ready.datasets)?;
        earlier.changes(&manifest).into_iter().for_each(|change| show(Event::Note(change)));
        manifest = earlier.continued(manifest)?;
        (records, evaluations) = (earlier.records, earlier.evaluations);
    }
    let (path, evaluates) = (folder.path().to_path_buf(), manifest.planned_evaluations > 0);
    let planned = manifest.planned_runs;
    let mut ledger = Ledger::open(folder, manifest, &records).map_err(|error| AppError::store(&error))?;
    let matrix = Matrix { config, plan: &plan, setup, starter };
    let ended = matrix.run(&records, &mut ledger, &mut show);
    if let Some(note) = starter.series.as_ref().and_then(SeriesWriter::note) {
        show(Event::Note(note));
    }
    ended.map_err(|error| run_error(&error, &ledger, plan.runs(), &path))?;
    if evaluates {
        ready.evaluate(config, &evaluations, &mut ledger, &path, progress)?;
    }
    Ok((planned, ledger))
}

/// The part of `whole` that `shard` names, and all of it for none. Only the first shard evaluates accuracy: it is of
/// models and backends, which the others have too.
fn part_of(whole: Plan, shard: Option<Shard>, manifest: &mut Manifest) -> Result<Plan, AppError> {
    let Some(shard) = shard else { return Ok(whole) };
    let groups = whole.groups.len();
    let part = whole.shard(shard);
    if part.groups.is_empty() && groups > 0 {
        return Err(AppError::bad_input(format!(
            "nothing is left for --shard {shard}: the plan has {groups} groups (a model on a backend in a round); \
             give at most {groups} shards"
        )));
    }
    manifest.shard = Some(ShardEntry {
        index: shard.index(),
        count: shard.count(),
        plan_runs: manifest.planned_runs,
        plan_evaluations: manifest.planned_evaluations,
    });
    manifest.planned_runs = part.runs();
    if shard.index() > 1 {
        manifest.planned_evaluations = 0;
    }
    Ok(part)
}

fn run_error(error: &RunError, ledger: &Ledger, planned: u64, path: &Path) -> AppError {
    let path = path.display();
    match error {
        RunError::Interrupted => AppError::interrupted(format!(
            "interrupted; {} of {planned} runs are recorded in {path}: go on with --resume --out {path}",
            ledger.counts().recorded
        )),
        other => AppError::failed(other),
    }
}
