//! What `inferhost run` and `eval` have in common: everything ready before the first run, and the evaluation itself.

use crate::accuracy::{Dataset, Evaluation, Evaluator, Source};
use crate::cli::PluginDirs;
use crate::config::Config;
use crate::error::AppError;
use crate::interrupt;
use crate::model::cache::cache_dir;
use crate::progress::Progress;
use crate::run::{Event, Isolation, Ledger, RunError, Setup, SetupError, Starter, setup};
use crate::store::{RunFolder, read_evaluations};
use std::path::Path;

/// Plugins found, models prepared, corpora cut into windows.
pub(super) struct Ready {
    pub(super) starter: Starter,
    pub(super) setup: Setup,
    /// One a model; none where the config has no `[accuracy]`.
    pub(super) datasets: Vec<Dataset>,
}

impl Ready {
    pub(super) fn new(
        config: &Config,
        folder: &RunFolder,
        isolation: Isolation,
        plugins: &PluginDirs,
        show: &mut dyn FnMut(Event<'_>),
    ) -> Result<Self, AppError> {
        // Read before anything slow begins: a mistyped path is told at once.
        let source = config.accuracy.as_ref().map(Source::read).transpose().map_err(AppError::bad_input)?;
        if isolation == Isolation::None {
            show(Event::Note("without isolation deadlines, memory_limit_mb and env do not hold".into()));
        }
        let starter = Starter {
            isolation,
            memory_limit_mb: config.run.memory_limit_mb,
            series: Some(folder.series()),
            ..Starter::new(&folder.logs_dir()).map_err(AppError::failed)?
        };
        let folders = plugins.open().map_err(AppError::bad_input)?;
        let setup = setup(config, &folders, &starter, &cache_dir(), show).map_err(setup_error)?;
        let mut datasets = Vec::new();
        if let (Some(settings), Some(source)) = (&config.accuracy, &source) {
            for (model, ready) in config.models.iter().zip(&setup.models) {
                show(Event::Preparing(format!("corpus for {}", model.name)));
                let dataset = Dataset::new(source, settings, &model.name, &ready.resolved);
                datasets.push(dataset.map_err(AppError::bad_input)?);
            }
        }
        Ok(Self { starter, setup, datasets })
    }

    /// Evaluates what `earlier` does not hold, where the config asks for it.
    pub(super) fn evaluate(
        &self,
        config: &Config,
        earlier: &[Evaluation],
        ledger: &mut Ledger,
        path: &Path,
        progress: &mut Progress,
    ) -> Result<(), AppError> {
        let Some(settings) = &config.accuracy else { return Ok(()) };
        let Self { starter, setup, datasets } = self;
        let evaluator = Evaluator { config, settings, setup, datasets, starter };
        let mut show = |event: crate::accuracy::Event<'_>| progress.show_evaluation(&event);
        evaluator.run(earlier, ledger, &mut show).map_err(|error| match error {
            RunError::Interrupted => {
                let recorded = read_evaluations(path).map_or(0, |found| found.evaluations.len());
                let (planned, path) = (evaluator.planned(), path.display());
                AppError::interrupted(format!(
                    "interrupted; {recorded} of {planned} evaluations are recorded in {path}: go on with --resume --out {path}"
                ))
            }
            other => AppError::failed(other),
        })
    }
}

fn setup_error(error: SetupError) -> AppError {
    match error {
        _ if interrupt::requested() => AppError::interrupted("interrupted before the first run"),
        SetupError::Interrupted => AppError::interrupted("interrupted before the first run"),
        SetupError::Io(_) | SetupError::Prepare { .. } => AppError::failed(error),
        other => AppError::bad_input(other),
    }
}
