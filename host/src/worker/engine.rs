//! The work of a worker: load, open, run. The clock runs around the plugin's call and nothing else.

use super::build;
use super::collected::{Collected, Streamed};
use super::computed::Computed;
use super::observations::Observations;
use super::protocol::{Failure, FromWorker, Reply, Request, RunRequest, RunResult};
use crate::record::{DegradedKind, Mode, Stage};
use crate::telemetry::Usage;
use inferhost_plugin_api::{
    Error, ErrorKind, GenerateOptions, LoadError, Logits, ModelForm, OpenSession, Plugin, RVec, Rows,
};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a worker is busy before the measured call of a short one, so that waking from the wait between two
/// runs does not show in it.
const SETTLE: Duration = Duration::from_millis(2);
const MOST_SETTLING_CALLS: u128 = 100;
/// Most bytes of a description; the longest of inferhost's own plugins takes 3 KB.
const MOST_SAID: usize = 1 << 20;

/// Takes what the host is to know while a request is worked on.
pub(super) type Say<'a> = &'a mut dyn FnMut(FromWorker);

/// At most one plugin and one open model.
#[derive(Default)]
pub(super) struct Engine {
    plugin: Option<Plugin>,
    pub(super) session: Option<OpenSession>,
    pub(super) buffers: Buffers,
    observations: Observations,
}

/// Kept from run to run, so that no run pays for growing them.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) logits: Logits,
    pub(super) logprobs: RVec<f64>,
    pub(super) tokens: Collected,
}

impl Engine {
    /// Answers `request`; `say` is given what the host is to know on the way.
    pub(super) fn handle(&mut self, request: Request, say: Say<'_>) -> Reply {
        let result = match request {
            Request::Load { plugin } => self.load(&plugin),
            Request::Describe { options } => self.describe(&options),
            Request::Identify { options } => build::identify(self.plugin, &options),
            Request::Build(order) => build::build(self.plugin, &order, say),
            Request::Open { path, form, options } => self.open(&path, form, &options),
            Request::Run(request) => self.run(&request, say).map(Reply::Ran),
            Request::Observe { rows, widths, finish } => self.observe(&rows, &widths, finish),
            Request::Evaluate(request) => self.evaluate(&request, say).map(Reply::Evaluated),
        };
        result.unwrap_or_else(Reply::Failed)
    }

    fn load(&mut self, path: &Path) -> Result<Reply, Failure> {
        let plugin = Plugin::load(path).map_err(|error| {
            let kind = match error {
                LoadError::Refused { .. } => DegradedKind::RuntimeMissing,
                _ => DegradedKind::Incompatible,
            };
            Failure { stage: Stage::Load, kind, message: error.to_string(), bad_input: true }
        })?;
        self.plugin = Some(plugin);
        Ok(Reply::Loaded { interface: plugin.interface().into() })
    }

    fn describe(&self, options: &str) -> Result<Reply, Failure> {
        let plugin = self.plugin.ok_or_else(|| misuse(Stage::Load, "no plugin is loaded"))?;
        let description = plugin.describe(&parse(options)?).map_err(|error| {
            let of_options = error.kind == ErrorKind::InvalidInput;
            Failure::from_plugin(if of_options { Stage::Open } else { Stage::Load }, &error)
        })?;
        said(Stage::Load, "its description", &description).map(Reply::Described)
    }

    fn open(&mut self, path: &Path, form: ModelForm, options: &str) -> Result<Reply, Failure> {
        let plugin = self.plugin.ok_or_else(|| misuse(Stage::Open, "no plugin is loaded"))?;
        let session = plugin
            .open(path, form, &parse(options)?)
            .map_err(|error| Failure::from_plugin(Stage::Open, &error))?;
        let info = said(Stage::Open, "what it says of its session", session.info())?;
        self.session = Some(session);
        Ok(Reply::Opened(info))
    }

    fn run(&mut self, request: &RunRequest, say: Say<'_>) -> Result<RunResult, Failure> {
        let session = self.session.as_mut().ok_or_else(|| misuse(Stage::Run, "no model is open"))?;
        let buffers = &mut self.buffers;
        let batch = request.rows.batch();
        buffers.tokens.reserve(batch.rows(), request.generate.max_new_tokens as usize);
        let mut expected = request.last_latency;
        for _ in 0..request.warmups {
            let (_, latency) =
                call(session, request, buffers, None).map_err(|e| Failure::from_plugin(Stage::Warmup, &e))?;
            expected = Some(latency);
        }
        // Told before the settling calls: a message wakes the host, which is not to happen next to the clock.
        say(FromWorker::Entered(Stage::Run));
        let failed = |e: Error| Failure::from_plugin(Stage::Run, &e);
        for _ in 0..settling_calls(expected) {
            call(session, request, buffers, None).map_err(failed)?;
        }
        let usage = Usage::now();
        let listener: Option<Say<'_>> = if request.stream { Some(&mut *say) } else { None };
        let (start, latency) = call(session, request, buffers, listener).map_err(failed)?;
        let telemetry = usage.until_now(latency);
        say(FromWorker::Entered(Stage::Verify));
        let computed = Computed::verify(request, buffers, session.info().vocab_size).map_err(invalid)?;
        Ok(RunResult {
            latency_ns: nanos(latency),
            step_ends_ns: buffers.tokens.step_ends_ns(start),
            tokens_processed: (batch.total_tokens() + computed.new_tokens()) as u64,
            output_digest: computed.digest(),
            telemetry: Box::new(telemetry),
            output: request.keep_output.then(|| computed.to_output(batch)),
        })
    }

    fn observe(&mut self, rows: &Rows, widths: &[u32], finish: bool) -> Result<Reply, Failure> {
        let session = self.session.as_mut().ok_or_else(|| misuse(Stage::Run, "no model is open"))?;
        let counted = self.observations.add(session, rows, widths);
        counted.map_err(|e| Failure::from_plugin(Stage::Run, &e))?;
        Ok(Reply::Observed(if finish { self.observations.take() } else { Vec::new() }))
    }
}

/// How many calls of the length `expected` keep the worker busy for [`SETTLE`]; none where one call does.
fn settling_calls(expected: Option<Duration>) -> u128 {
    match expected {
        Some(latency) if latency < SETTLE => {
            (SETTLE.as_nanos() / latency.as_nanos().max(1)).min(MOST_SETTLING_CALLS)
        }
        _ => 0,
    }
}

/// One call of the plugin: when it began, and how long it took. `listener` is sent the tokens as they come.
fn call(
    session: &mut OpenSession,
    request: &RunRequest,
    buffers: &mut Buffers,
    listener: Option<Say<'_>>,
) -> Result<(Instant, Duration), Error> {
    let batch = request.rows.batch();
    let generate = &request.generate;
    let options = GenerateOptions {
        max_new_tokens: generate.max_new_tokens,
        use_cache: generate.use_cache,
        stop_tokens: generate.stop_tokens.as_slice().into(),
        temperature: generate.sampling.temperature,
        top_k: generate.sampling.top_k,
        top_p: generate.sampling.top_p,
        seed: generate.sampling.seed,
    };
    buffers.tokens.clear();
    buffers.logprobs.clear();
    let start = Instant::now();
    match request.mode {
        Mode::Prefill => session.prefill(batch, request.positions, &mut buffers.logits)?,
        Mode::Generate => match listener {
            None => session.generate(batch, &options, &mut buffers.tokens)?,
            Some(say) => session.generate(batch, &options, &mut Streamed { to: &mut buffers.tokens, say })?,
        },
        Mode::Logprobs => session.logprobs(batch, &mut buffers.logprobs)?,
    }
    Ok((start, start.elapsed()))
}

pub(super) fn parse(options: &str) -> Result<Value, Failure> {
    serde_json::from_str(options).map_err(|e| misuse(Stage::Open, &format!("options are not JSON: {e}")))
}

/// As JSON text, which stands in the manifest and in reports.
pub(super) fn said(stage: Stage, what: &str, value: &impl Serialize) -> Result<String, Failure> {
    let json =
        serde_json::to_string(value).map_err(|e| misuse(stage, &format!("{what} is malformed: {e}")))?;
    if json.len() <= MOST_SAID {
        return Ok(json);
    }
    let message = format!("{what} takes {} bytes, and {MOST_SAID} are the most", json.len());
    Err(Failure { stage, kind: DegradedKind::Incompatible, message, bad_input: false })
}

fn invalid(message: String) -> Failure {
    Failure { stage: Stage::Verify, kind: DegradedKind::InvalidOutput, message, bad_input: false }
}

pub(super) fn misuse(stage: Stage, message: &str) -> Failure {
    Failure::from_plugin(stage, &Error::internal(message))
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
