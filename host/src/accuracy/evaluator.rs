//! The loop over models: the workers of all backends of a model live side by side and score the same windows in turn,
//! the baseline first, so that each is alone at work while it is timed.

use super::participant::Participant;
use super::{Dataset, Evaluation, Event, PrecisionClass, SCHEMA, Verdict, Window, verdict};
use crate::config::{AccuracySettings, Config};
use crate::interrupt;
use crate::record::Degraded;
use crate::run::{Ledger, NotOpen, RunError, Setup, Starter, now, open_worker};
use crate::worker::Lost;
use crate::worker::protocol::{EvaluateRequest, EvaluateTask};
use inferhost_plugin_api::Rows;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Everything an evaluation is made from.
#[derive(Clone, Copy)]
pub struct Evaluator<'a> {
    /// As resolved.
    pub config: &'a Config,
    /// Its `[accuracy]`.
    pub settings: &'a AccuracySettings,
    /// Its models and plugins.
    pub setup: &'a Setup,
    /// What each model is scored on, in the config's order.
    pub datasets: &'a [Dataset],
    /// How its workers are started.
    pub starter: &'a Starter,
}

type Events<'e> = &'e mut dyn FnMut(Event<'_>);

impl Evaluator<'_> {
    /// Number of pairs, and so of lines.
    pub fn planned(&self) -> u64 {
        (self.config.models.len() * self.config.backends.len()) as u64
    }

    /// Evaluates the pairs that `recorded` does not hold yet and writes each into `ledger`.
    ///
    /// # Errors
    /// [`RunError`]; what is recorded by then is kept.
    pub fn run(
        &self,
        recorded: &[Evaluation],
        ledger: &mut Ledger,
        events: Events<'_>,
    ) -> Result<(), RunError> {
        let done: HashSet<(&str, &str)> =
            recorded.iter().map(|of| (of.model.as_str(), of.backend.as_str())).collect();
        events(Event::Started { planned: self.planned(), recorded: done.len() as u64 });
        ledger.close(None)?;
        let result = (0..self.config.models.len()).try_for_each(|model| {
            let of_model = recorded.iter().filter(|of| of.model == self.config.models[model].name);
            let earlier: Vec<&Evaluation> = of_model.collect();
            ModelRun::new(self, model, &earlier).map_or(Ok(()), |run| run.run(ledger, events))
        });
        ledger.close(result.is_ok().then(now))?;
        result
    }
}

/// The evaluation of one model.
struct ModelRun<'a> {
    of: &'a Evaluator<'a>,
    model: usize,
    dataset: &'a Dataset,
    started_at: String,
    /// The baseline's place among the backends; none where it was lost before.
    baseline: Option<usize>,
    /// Backends without a record.
    missing: Vec<usize>,
}

impl<'a> ModelRun<'a> {
    /// None where every backend has its record.
    fn new(of: &'a Evaluator<'a>, model: usize, earlier: &[&Evaluation]) -> Option<Self> {
        let backends = &of.config.backends;
        let record = |name: &str| earlier.iter().find(|found| found.backend == name);
        let missing: Vec<usize> =
            (0..backends.len()).filter(|&backend| record(&backends[backend].name).is_none()).collect();
        let lost = record(&of.config.baseline).is_some_and(|found| found.figures.is_none());
        let baseline = backends.iter().position(|backend| backend.name == of.config.baseline && !lost);
        let dataset = of.datasets.get(model)?;
        (!missing.is_empty()).then(|| Self { of, model, dataset, started_at: now(), baseline, missing })
    }

    fn run(&self, ledger: &mut Ledger, events: Events<'_>) -> Result<(), RunError> {
        let mut lead = match self.baseline {
            Some(baseline) => self.open(baseline, ledger, events)?,
            None => None,
        };
        let mut others = Vec::new();
        for &backend in self.missing.iter().filter(|backend| Some(**backend) != self.baseline) {
            others.extend(self.open(backend, ledger, events)?);
        }
        let (begun, mut done) = (Instant::now(), 0);
        for windows in self.dataset.windows.chunks(self.dataset.batch) {
            if lead.is_none() && others.is_empty() {
                return Ok(());
            }
            self.score(windows, &mut lead, &mut others, ledger, events)?;
            done += windows.iter().map(Window::scored).sum::<u64>();
            events(Event::Scored {
                model: &self.of.config.models[self.model].name,
                done,
                total: self.dataset.corpus.predicted,
                tok_s: done as f64 / begun.elapsed().as_secs_f64().max(1e-9),
            });
        }
        lead.iter().chain(&others).try_for_each(|whole| self.record_whole(whole, ledger, events))
    }

    /// Has everyone score `windows`; who is lost is recorded and gone.
    fn score(
        &self,
        windows: &[Window],
        lead: &mut Option<Participant>,
        others: &mut Vec<Participant>,
        ledger: &mut Ledger,
        events: Events<'_>,
    ) -> Result<(), RunError> {
        let share = self.of.settings.distributions && !others.is_empty();
        let task = if share { EvaluateTask::Share } else { EvaluateTask::Logprobs };
        let mut reference = None;
        if let Some(baseline) = lead {
            match self.ask(baseline, windows, task)? {
                Ok(result) => {
                    baseline.tally.add(&result, None);
                    reference = Some(result);
                }
                Err(lost) => {
                    self.record_lost(baseline.backend, Some(baseline.pid), lost, ledger, events)?;
                    *lead = None;
                }
            }
        }
        let mut left = Vec::with_capacity(others.len());
        for mut other in others.drain(..) {
            let shared = reference.as_ref().and_then(|reference| reference.shared.clone());
            let task = shared.map_or(EvaluateTask::Logprobs, EvaluateTask::Compare);
            match self.ask(&mut other, windows, task)? {
                Ok(result) => {
                    other.tally.add(&result, reference.as_ref().map(|base| base.logprobs.as_slice()));
                    left.push(other);
                }
                Err(lost) => self.record_lost(other.backend, Some(other.pid), lost, ledger, events)?,
            }
        }
        *others = left;
        Ok(())
    }

    fn ask(
        &self,
        participant: &mut Participant,
        windows: &[Window],
        task: EvaluateTask,
    ) -> Result<Result<crate::worker::protocol::EvaluateResult, Degraded>, RunError> {
        if interrupt::requested() {
            return Err(RunError::Interrupted);
        }
        let rows: Vec<&[u32]> = windows.iter().map(|window| self.dataset.tokens(window)).collect();
        let first_scored = windows.iter().map(|window| window.first_scored).collect();
        let deadline = Duration::from_secs_f64(self.of.config.run.deadline_s);
        participant.score(EvaluateRequest { rows: Rows::new(&rows), first_scored, task }, deadline)
    }

    /// Opens the model on a backend; none, and recorded, where that fails.
    fn open(
        &self,
        backend: usize,
        ledger: &mut Ledger,
        events: Events<'_>,
    ) -> Result<Option<Participant>, RunError> {
        let Evaluator { config, setup, starter, .. } = *self.of;
        if interrupt::requested() {
            return Err(RunError::Interrupted);
        }
        let (model, name) = (&config.models[self.model].name, &config.backends[backend].name);
        let mut pid = None;
        let log = format!("eval-{model}-{name}");
        let lost = match open_worker(config, setup, starter, (self.model, backend), &log, &mut pid) {
            Ok(opened) => {
                ledger.note_session(backend, model, opened.session.clone())?;
                return Ok(Some(Participant::new(backend, opened)));
            }
            Err(NotOpen::Reported(degraded) | NotOpen::Lost(Lost::Degraded(degraded))) => degraded,
            Err(NotOpen::Lost(Lost::Interrupted)) => return Err(RunError::Interrupted),
            Err(NotOpen::Host(error)) => return Err(RunError::Worker(error)),
        };
        self.record_lost(backend, pid, lost, ledger, events)?;
        Ok(None)
    }

    fn record_whole(
        &self,
        whole: &Participant,
        ledger: &mut Ledger,
        events: Events<'_>,
    ) -> Result<(), RunError> {
        let Evaluator { config, settings, setup, .. } = *self.of;
        let artifact = setup.pairs.get(&(self.model, whole.backend)).and_then(|pair| pair.as_ref().ok());
        let artifact = artifact.and_then(|prepared| prepared.artifact.as_ref()).map(|a| a.name.to_string());
        let precision = PrecisionClass::of(artifact.as_deref(), &whole.session.precision);
        let threshold = precision.threshold(&settings.thresholds);
        let figures = whole.tally.figures();
        let is_baseline = config.backends[whole.backend].name == config.baseline;
        let evaluation = Evaluation {
            precision: Some(precision),
            threshold: Some(threshold),
            verdict: verdict(&figures, threshold, self.dataset.vocab_size, is_baseline),
            figures: Some(figures),
            ..self.blank(whole.backend, Some(whole.pid))
        };
        self.append(whole.backend, &evaluation, ledger, events)
    }

    fn record_lost(
        &self,
        backend: usize,
        worker_pid: Option<u32>,
        lost: Degraded,
        ledger: &mut Ledger,
        events: Events<'_>,
    ) -> Result<(), RunError> {
        let evaluation = Evaluation { degraded: Some(lost), ..self.blank(backend, worker_pid) };
        self.append(backend, &evaluation, ledger, events)
    }

    /// A baseline that only stands by for others has its record already.
    fn append(
        &self,
        backend: usize,
        evaluation: &Evaluation,
        ledger: &mut Ledger,
        events: Events<'_>,
    ) -> Result<(), RunError> {
        if self.missing.contains(&backend) {
            ledger.append_evaluation(evaluation)?;
            events(Event::Evaluated(evaluation));
        }
        Ok(())
    }

    fn blank(&self, backend: usize, worker_pid: Option<u32>) -> Evaluation {
        let config = self.of.config;
        Evaluation {
            schema: SCHEMA,
            model: config.models[self.model].name.clone(),
            backend: config.backends[backend].name.clone(),
            baseline: config.baseline.clone(),
            corpus: self.dataset.corpus.clone(),
            vocab_size: self.dataset.vocab_size,
            precision: None,
            threshold: None,
            verdict: Verdict::Degraded,
            figures: None,
            degraded: None,
            started_at: self.started_at.clone(),
            worker_pid,
        }
    }
}
