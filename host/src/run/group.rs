//! The runs of one model on one backend: a worker is started when a run needs one, and again after it was lost.

use super::matrix::{Matrix, RunError};
use super::open::{NotOpen, misplaced_reply, open_worker};
use crate::plan::{Group, Run};
use crate::prompts;
use crate::record::{Degraded, DegradedKind, Mode, Stage};
use crate::worker::protocol::{GenerateSettings, Reply, Request, RunRequest, RunResult};
use crate::worker::{Lost, Worker};
use inferhost_plugin_api::SessionInfo;
use std::collections::HashMap;
use std::time::Duration;

/// Losing a worker this often before its model is open ends the group: the next try would end the same way, and
/// each may cost a whole deadline.
const OPEN_ATTEMPTS: u32 = 2;

/// One group's worker and what it has been through.
pub(super) struct GroupRunner<'a> {
    matrix: &'a Matrix<'a>,
    group: &'a Group,
    worker: Option<Box<dyn Worker>>,
    /// By cell: the latency of its last run in this worker.
    warmed: HashMap<usize, Duration>,
    lost_before_open: u32,
    given_up: Option<Degraded>,
    /// The process of the last run's worker; none where none came to life.
    pub(super) pid: Option<u32>,
    /// What the session last opened really uses.
    pub(super) session: Option<SessionInfo>,
}

impl<'a> GroupRunner<'a> {
    pub(super) fn new(matrix: &'a Matrix<'a>, group: &'a Group) -> Self {
        let pair = matrix.setup.pairs.get(&(group.model, group.backend));
        Self {
            matrix,
            group,
            worker: None,
            warmed: HashMap::new(),
            lost_before_open: 0,
            given_up: pair.and_then(|pair| pair.as_ref().err().cloned()),
            pid: None,
            session: None,
        }
    }

    /// Makes one run: its result, or why there is none.
    pub(super) fn attempt(&mut self, run: Run) -> Result<Result<RunResult, Degraded>, RunError> {
        match self.try_run(run) {
            Ok(result) => Ok(Ok(result)),
            Err(Stop::Degraded(degraded)) => Ok(Err(degraded)),
            Err(Stop::Run(error)) => Err(error),
        }
    }

    fn try_run(&mut self, run: Run) -> Result<RunResult, Stop> {
        if let Some(problem) = self.matrix.setup.coverage.problem(run.cell) {
            self.pid = None;
            return Err(Stop::Degraded(Degraded::new(DegradedKind::ShapeNotCovered, Stage::Open, problem)));
        }
        if let Some(degraded) = &self.given_up {
            self.pid = None;
            return Err(Stop::Degraded(degraded.clone()));
        }
        let request = self.request(run);
        let deadline = Duration::from_secs_f64(self.matrix.config.run.deadline_s);
        match self.open_worker()?.call(Request::Run(Box::new(request)), deadline) {
            Ok(Reply::Ran(result)) => {
                self.warmed.insert(run.cell, Duration::from_nanos(result.latency_ns));
                Ok(result)
            }
            Ok(Reply::Failed(failure)) => Err(Stop::Degraded(failure.into())),
            Ok(_) => Err(Stop::Degraded(misplaced_reply(Stage::Run))),
            Err(lost) => {
                self.worker = None;
                self.warmed.clear();
                Err(lost.into())
            }
        }
    }

    fn request(&self, run: Run) -> RunRequest {
        let Matrix { config, plan, setup, .. } = *self.matrix;
        let cell = &plan.cells[run.cell];
        let (model, settings) = (&setup.models[cell.model], &config.run);
        let scenario = &config.scenarios[cell.scenario];
        let last_latency = self.warmed.get(&run.cell).copied();
        let stop_tokens =
            if settings.stop_at_eos { model.resolved.eos_token_ids.clone() } else { Vec::new() };
        RunRequest {
            mode: cell.mode,
            rows: prompts::rows(&model.prompts, scenario, config.seed),
            positions: settings.logits,
            generate: GenerateSettings {
                max_new_tokens: if cell.mode == Mode::Generate { scenario.new_tokens } else { 0 },
                use_cache: cell.use_cache.unwrap_or(false),
                stop_tokens,
                sampling: settings.sampling.clone(),
            },
            warmups: if last_latency.is_some() { 0 } else { settings.warmups },
            last_latency: last_latency.filter(|_| settings.warmups > 0),
            keep_output: false,
            stream: false,
        }
    }

    /// The worker with the model open in it, started if there is none.
    fn open_worker(&mut self) -> Result<&mut dyn Worker, Stop> {
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => self.start().map_err(|why| self.not_open(why))?,
        };
        self.lost_before_open = 0;
        Ok(self.worker.insert(worker).as_mut())
    }

    /// What a failed start means for this run, and whether it ends the group.
    fn not_open(&mut self, why: NotOpen) -> Stop {
        match why {
            NotOpen::Reported(degraded) => {
                self.given_up = Some(degraded.clone());
                Stop::Degraded(degraded)
            }
            NotOpen::Lost(lost) => {
                self.lost_before_open += 1;
                if let (Lost::Degraded(degraded), OPEN_ATTEMPTS..) = (&lost, self.lost_before_open) {
                    self.given_up = Some(degraded.clone());
                }
                lost.into()
            }
            NotOpen::Host(error) => Stop::Run(RunError::Worker(error)),
        }
    }

    fn start(&mut self) -> Result<Box<dyn Worker>, NotOpen> {
        let Group { round, model, backend, .. } = *self.group;
        let Matrix { config, setup, starter, .. } = *self.matrix;
        let log = format!("{}-{}-round{round}", config.models[model].name, config.backends[backend].name);
        self.pid = None;
        let opened = open_worker(config, setup, starter, (model, backend), &log, &mut self.pid)?;
        self.session = Some(opened.session);
        Ok(opened.worker)
    }
}

/// Why a run has no result.
enum Stop {
    Degraded(Degraded),
    Run(RunError),
}

impl From<Lost> for Stop {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Degraded(degraded) => Self::Degraded(degraded),
            Lost::Interrupted => Self::Run(RunError::Interrupted),
        }
    }
}
