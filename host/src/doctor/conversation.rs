//! A plugin asked what it is and put to the known answer, in a worker of its own with a deadline for every step: what it
//! does there is a line in the report.

use super::answer;
use crate::model::{self, ResolvedModel};
use crate::prepare::{Artifact, EngineBuilder, PrepareError, Prepared, Tools, prepare};
use crate::record::Mode;
use crate::run::{PluginBuilder, Starter, open_request};
use crate::worker::protocol::{GenerateSettings, Output, Reply, Request, RunRequest};
use crate::worker::{Lost, Worker};
use inferhost_plugin_api::shapes::{Shapes, profiles_for};
use inferhost_plugin_api::{Description, ModelForm, Positions, Rows, SessionInfo};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Where a conversation came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// No worker came up: the machine's trouble.
    Worker,
    Load,
    Describe,
    /// The plugin opens no form that the known model can be given.
    Prepare,
    Answer,
}

/// The known answer, given.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// What the session computed in.
    pub precision: String,
    /// Largest difference of a logit from the known one.
    pub largest_difference: f64,
    /// Opening the model and both calls, milliseconds.
    pub ms: f64,
}

/// What a plugin said.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) interface: Option<String>,
    pub(super) description: Option<Description>,
    pub(super) answer: Option<Answer>,
    /// Why there is not more.
    pub(super) trouble: Option<(Step, String)>,
}

/// Why a step failed.
enum Trouble {
    Said(String),
    Interrupted,
}

impl From<Lost> for Trouble {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Degraded(degraded) => Self::Said(degraded.message),
            Lost::Interrupted => Self::Interrupted,
        }
    }
}

/// The user asked the host to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

/// How plugins are talked to.
pub(super) struct Speaker<'a> {
    pub(super) starter: &'a Starter,
    /// An empty folder for the known model in the forms that plugins take: a cache of its own, whatever state the user's
    /// is in.
    pub(super) scratch: &'a Path,
    /// Longest time for one step.
    pub(super) deadline: Duration,
}

impl Speaker<'_> {
    /// Whether a worker comes up at all, and how long it took.
    pub(super) fn try_worker(&self) -> Result<Result<Duration, String>, Interrupted> {
        let start = Instant::now();
        match self.worker("none") {
            Ok(_) => Ok(Ok(start.elapsed())),
            Err(Trouble::Said(reason)) => Ok(Err(reason)),
            Err(Trouble::Interrupted) => Err(Interrupted),
        }
    }

    /// Loads the plugin, asks what it is, and puts it to the known answer.
    pub(super) fn talk(&self, name: &str, plugin: &Path) -> Result<Heard, Interrupted> {
        let mut heard = Heard::default();
        let mut step = Step::Worker;
        match self.steps(name, plugin, &mut heard, &mut step) {
            Ok(()) => Ok(heard),
            Err(Trouble::Said(reason)) => Ok(Heard { trouble: Some((step, reason)), ..heard }),
            Err(Trouble::Interrupted) => Err(Interrupted),
        }
    }

    fn worker(&self, name: &str) -> Result<Box<dyn Worker>, Trouble> {
        let started = self.starter.start(name, &BTreeMap::new());
        Ok(started.map_err(|error| Trouble::Said(error.to_string()))??)
    }

    fn steps(&self, name: &str, plugin: &Path, heard: &mut Heard, step: &mut Step) -> Result<(), Trouble> {
        let mut worker = self.worker(name)?;
        *step = Step::Load;
        match self.ask(worker.as_mut(), Request::Load { plugin: plugin.into() })? {
            Reply::Loaded { interface } => heard.interface = Some(interface),
            _ => return Err(misplaced()),
        }
        *step = Step::Describe;
        let Reply::Described(text) = self.ask(worker.as_mut(), Request::Describe { options: "{}".into() })?
        else {
            return Err(misplaced());
        };
        let description: Description = serde_json::from_str(&text)
            .map_err(|error| Trouble::Said(format!("its description is malformed: {error}")))?;
        let (forms, problem) = (description.forms.clone(), description.runtime.problem.is_some());
        heard.description = Some(description);
        if problem {
            return Ok(());
        }
        *step = Step::Prepare;
        let said = |error: &dyn std::fmt::Display| Trouble::Said(error.to_string());
        let model = model::resolve(answer::MODEL, self.scratch).map_err(|e| said(&e))?;
        let prepared = self.prepared(&model, &forms, plugin).map_err(|e| said(&e))?;
        *step = Step::Answer;
        let start = Instant::now();
        let open = open_request(&prepared, &serde_json::Map::new());
        let (precision, largest_difference) = self.answer(worker.as_mut(), open)?;
        heard.answer =
            Some(Answer { precision, largest_difference, ms: start.elapsed().as_secs_f64() * 1e3 });
        Ok(())
    }

    /// The known model in a form that the plugin opens; where that is an engine alone, one that the plugin builds.
    fn prepared(
        &self,
        model: &ResolvedModel,
        forms: &[ModelForm],
        plugin: &Path,
    ) -> Result<Prepared, PrepareError> {
        let artifact = (*forms == [ModelForm::EnginePlan]).then_some(Artifact::PLAN_FP32);
        let mut unheard = |_| {};
        let mut builder = PluginBuilder::new(self.starter, plugin, "build".into(), &mut unheard)
            .within(self.deadline, self.deadline);
        let context = model.config.context_length.unwrap_or(1);
        let rows = u32::try_from(answer::PROMPTS.len()).unwrap_or(1);
        let profiles = profiles_for(&Shapes::whole(rows, context));
        let engines: Option<(&mut dyn EngineBuilder, _)> = Some((&mut builder, &profiles[..]));
        prepare(model, forms, artifact.as_ref(), Tools { cache: self.scratch, observer: None, engines })
    }

    /// The session's precision, and how far its logits are off.
    fn answer(&self, worker: &mut dyn Worker, open: Request) -> Result<(String, f64), Trouble> {
        let Reply::Opened(info) = self.ask(worker, open)? else { return Err(misplaced()) };
        let session: SessionInfo = serde_json::from_str(&info).unwrap_or_default();
        let Output::Logits(logits) = self.output(worker, Mode::Prefill)? else { return Err(misplaced()) };
        let tolerance = answer::tolerance(&session.precision);
        let off = answer::compare_logits(&logits, tolerance).map_err(Trouble::Said)?;
        let Output::Tokens(tokens) = self.output(worker, Mode::Generate)? else { return Err(misplaced()) };
        answer::compare_tokens(&tokens).map_err(Trouble::Said)?;
        Ok((session.precision, off))
    }

    fn output(&self, worker: &mut dyn Worker, mode: Mode) -> Result<Output, Trouble> {
        let max_new_tokens = u32::try_from(answer::TOKENS[0].len()).unwrap_or(u32::MAX);
        let request = RunRequest {
            mode,
            rows: Rows::new(&answer::PROMPTS),
            positions: Positions::Last,
            generate: GenerateSettings { max_new_tokens, use_cache: true, ..GenerateSettings::default() },
            warmups: 0,
            last_latency: None,
            keep_output: true,
            stream: false,
        };
        match self.ask(worker, Request::Run(Box::new(request)))? {
            Reply::Ran(result) => result.output.ok_or_else(misplaced),
            _ => Err(misplaced()),
        }
    }

    fn ask(&self, worker: &mut dyn Worker, request: Request) -> Result<Reply, Trouble> {
        match worker.call(request, self.deadline)? {
            Reply::Failed(failure) => Err(Trouble::Said(failure.message)),
            reply => Ok(reply),
        }
    }
}

fn misplaced() -> Trouble {
    Trouble::Said("the worker gave a reply of another kind".into())
}
