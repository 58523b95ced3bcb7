//! `inferhost run`: config, plan, setup, matrix, report.

use super::ready::Ready;
use super::target::{Earlier, Target, other_backends, other_model};
use crate::cli::{PluginDirs, RunArgs};
use crate::config::{self, Config};
use crate::error::AppError;
use crate::interrupt;
use crate::manifest::{Counts, Manifest, ShardEntry};
use crate::output::{print, print_json};
use crate::plan::{Plan, Shard, plan};
use crate::progress::Progress;
use crate::report::{self, Layout};
use crate::run::{Event, Isolation, Ledger, Matrix, RunError, first_manifest};
use crate::store::{RunFolder, SeriesWriter};
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct Summary<'a> {
    run_dir: String,
    planned: u64,
    #[serde(flatten)]
    counts: &'a Counts,
    report: String,
}

/// A config to run, and where.
pub(super) struct Job<'a> {
    pub(super) config: &'a Config,
    pub(super) out: Option<&'a Path>,
    pub(super) resume: bool,
    pub(super) shard: Option<Shard>,
    pub(super) isolation: Isolation,
    pub(super) plugins: &'a PluginDirs,
    /// Of the run that is to be repeated.
    pub(super) origin: Option<&'a Manifest>,
}

/// A run folder whose matrix has been run.
pub(super) struct Done {
    pub(super) path: PathBuf,
    pub(super) planned: u64,
    ledger: Ledger,
}

pub(super) fn execute(args: &RunArgs) -> Result<(), AppError> {
    let config = config::load(&args.config).map_err(AppError::bad_input)?;
    let job = Job {
        config: &config,
        out: args.out.as_deref(),
        resume: args.resume,
        shard: args.shard,
        isolation: args.execution.isolation,
        plugins: &args.execution.plugins,
        origin: None,
    };
    let done = job.run()?;
    let text = report::report(&done.path, Layout::of_stdout()).map_err(AppError::report)?;
    let report = done.page();
    if args.execution.json {
        let run_dir = done.path.display().to_string();
        print_json(&Summary { run_dir, planned: done.planned, counts: done.ledger.counts(), report })?;
    } else {
        print(&format!("{}\nreport: {report}", text.trim_end()))?;
    }
    done.any_ok()
}

impl Done {
    pub(super) fn page(&self) -> String {
        self.path.join(report::PAGE).display().to_string()
    }

    /// # Errors
    /// Where not one run gave a valid measurement.
    pub(super) fn any_ok(&self) -> Result<(), AppError> {
        if self.ledger.counts().ok == 0 && self.planned > 0 {
            return Err(AppError::backend("no run gave a valid measurement; the report says why"));
        }
        Ok(())
    }
}

impl Job<'_> {
    /// Runs what is left of the plan in its folder.
    pub(super) fn run(&self) -> Result<Done, AppError> {
        let target = Target::choose(self.out, self.resume, &self.config.name)?;
        let (folder, earlier) = target.open(self.config)?;
        interrupt::install().map_err(AppError::failed)?;
        let mut progress = Progress::new();
        let result = run(self, folder, earlier, &mut progress);
        progress.finish();
        if result.is_err() {
            target.discard_if_unused();
        }
        let (planned, ledger) = result?;
        Ok(Done { path: target.path, planned, ledger })
    }

    /// Refuses models other than those of the run to be repeated; what else is not as it was is noted.
    fn like_origin(&self, manifest: &mut Manifest, show: &mut dyn FnMut(Event<'_>)) -> Result<(), AppError> {
        let Some(origin) = self.origin else { return Ok(()) };
        if let Some(model) = other_model(origin, manifest) {
            return Err(AppError::bad_input(format!(
                "model `{model}` is not the one that was measured (its SHA-256 differs), so the run cannot be repeated; use run for another one"
            )));
        }
        for name in other_backends(origin, manifest) {
            show(Event::Note(format!("the plugin or runtime of {name} is not the one that was measured")));
        }
        manifest.notes.push(format!("The run of {} is run again here.", origin.started_at));
        Ok(())
    }
}

/// Runs what is left of the plan; the number of runs planned, and what is on record.
fn run(
    job: &Job<'_>,
    folder: RunFolder,
    earlier: Option<Earlier>,
    progress: &mut Progress,
) -> Result<(u64, Ledger), AppError> {
    let mut show = |event: Event<'_>| progress.show(&event);
    let config = job.config;
    let ready = Ready::new(config, &folder, job.isolation, job.plugins, &mut show)?;
    let Ready { setup, starter, .. } = &ready;
    let whole = plan(config, &setup.contexts(config));
    if let (true, Some(first)) = (whole.cells.is_empty(), whole.skipped.first()) {
        return Err(AppError::bad_input(format!("nothing can be run: {}", first.reason)));
    }
    let mut manifest = first_manifest(config, &whole, setup);
    let plan = part_of(whole, job.shard, &mut manifest)?;
    job.like_origin(&mut manifest, &mut show)?;
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
            "interrupted; {} in {path}: go on with --resume --out {path}",
            ledger.counts().of_planned(planned)
        )),
        other => AppError::failed(other),
    }
}
