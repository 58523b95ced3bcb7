//! `inferhost prefill|generate|logprobs`: one call, in a worker as any other.

use super::chosen::Chosen;
use crate::cli::{CallArgs, GenerateArgs};
use crate::config::Sampling;
use crate::error::AppError;
use crate::input;
use crate::interrupt;
use crate::model::{self, ResolvedModel};
use crate::output::{self, print, print_json, print_part};
use crate::record::Mode;
use crate::run::{Starter, describe, open_request};
use crate::text;
use crate::worker::protocol::{Failure, GenerateSettings, Output, Reply, Request, RunRequest, RunResult};
use crate::worker::{Listener, Lost, Told, Worker, WorkerScratch, temporary_folder};
use inferhost_plugin_api::{Positions, Rows};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub(super) fn prefill(args: &CallArgs) -> Result<(), AppError> {
    let settings = |_: &ResolvedModel| GenerateSettings::default();
    match Call::ready(args, Mode::Prefill, settings)?.output()? {
        Output::Logits(rows) if !args.json => {
            print(&rows.iter().map(|row| likeliest(row)).collect::<Vec<_>>().join("\n"))
        }
        output => print_json(&output),
    }
}

pub(super) fn logprobs(args: &CallArgs) -> Result<(), AppError> {
    let settings = |_: &ResolvedModel| GenerateSettings::default();
    match Call::ready(args, Mode::Logprobs, settings)?.output()? {
        Output::Logprobs(rows) if !args.json => {
            print(&rows.iter().map(|row| summed(row)).collect::<Vec<_>>().join("\n"))
        }
        output => print_json(&output),
    }
}

pub(super) fn generate(args: &GenerateArgs) -> Result<(), AppError> {
    let sampling =
        Sampling { temperature: args.temperature, top_k: args.top_k, top_p: args.top_p, seed: args.seed };
    let settings = |model: &ResolvedModel| GenerateSettings {
        max_new_tokens: args.max_new_tokens,
        use_cache: !args.no_cache,
        stop_tokens: if args.stop_at_eos { model.eos_token_ids.clone() } else { Vec::new() },
        sampling,
    };
    let call = Call::ready(&args.call, Mode::Generate, settings)?;
    if args.call.prompt.is_some() && !args.call.json {
        return streamed(call);
    }
    match call.output()? {
        Output::Tokens(rows) if !args.call.json => {
            let ids = |row: &Vec<u32>| row.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            print(&rows.iter().map(ids).collect::<Vec<_>>().join("\n"))
        }
        output => print_json(&output),
    }
}

/// Prints the text as its tokens come, then on standard error how many there were and how fast they came.
fn streamed(mut call: Call) -> Result<(), AppError> {
    let tokenizer = call.model.load_tokenizer().map_err(AppError::bad_input)?;
    let mut text = tokenizer.stream();
    let mut printed = Ok(());
    let prompt_tokens = call.request.rows.batch().total_tokens();
    call.request.stream = true;
    let result = call.make(&mut |told| {
        let Told::Step(step) = told else { return };
        let part: String = step.iter().map(|&(_, id)| text.push(id)).collect();
        if printed.is_ok() {
            printed = print_part(&part);
        }
    });
    // Where the call fails, what it gave ends its line all the same.
    let rest = text.finish().map_err(AppError::failed);
    printed.and_then(|()| print(&text::printable(&rest?)))?;
    output::say(&speed(prompt_tokens, &result?));
    Ok(())
}

/// `5 prompt tokens, 16 new tokens, first token after 12.3 ms, then 88.0 tokens/s`.
fn speed(prompt_tokens: usize, result: &RunResult) -> String {
    let steps = &result.step_ends_ns;
    let first = steps.first().map_or(0.0, |&ns| ns as f64 / 1e6);
    let rest = (result.latency_ns as f64 / 1e6 - first) / 1e3;
    let new = steps.len();
    let decode = if new > 1 && rest > 0.0 {
        format!(", then {:.1} tokens/s", (new - 1) as f64 / rest)
    } else {
        String::new()
    };
    format!("{prompt_tokens} prompt tokens, {new} new tokens, first token after {first:.1} ms{decode}")
}

/// A call with everything ready for it.
struct Call {
    model: ResolvedModel,
    worker: Box<dyn Worker>,
    request: RunRequest,
    deadline: Duration,
    /// Where the worker's log is, as long as it lives.
    _logs: WorkerScratch,
}

impl Call {
    /// Readies the model for the plugin and opens it.
    fn ready(
        args: &CallArgs,
        mode: Mode,
        generate: impl FnOnce(&ResolvedModel) -> GenerateSettings,
    ) -> Result<Self, AppError> {
        let deadline = super::deadline(args.deadline_s)?;
        let chosen = Chosen::new(&args.backend)?;
        let cache = model::cache::cache_dir();
        let model = model::resolve(&args.model, &cache).map_err(AppError::bad_input)?;
        let request = RunRequest {
            mode,
            rows: rows(args, &model)?,
            positions: Positions::Last,
            generate: generate(&model),
            warmups: 0,
            last_latency: None,
            keep_output: true,
            stream: false,
        };
        interrupt::install().map_err(AppError::failed)?;
        let logs = temporary_folder().map_err(AppError::failed)?;
        let starter = Starter::new(logs.path()).map_err(AppError::failed)?;
        let starter = Starter { isolation: args.isolation, ..starter };
        let worker = starter.start("worker", &BTreeMap::new()).map_err(AppError::failed)?;
        let mut worker = worker.map_err(lost)?;
        let described = describe(worker.as_mut(), &chosen.file, &chosen.options_text(), deadline);
        let forms = described.map_err(lost)?.map_err(failed)?.forms;
        let prepared = chosen.prepare(&model, &forms, &cache, &starter)?;
        let open = open_request(&prepared, &chosen.options);
        if let Reply::Failed(failure) = worker.call(open, deadline).map_err(lost)? {
            return Err(failed(failure));
        }
        Ok(Self { model, worker, request, deadline, _logs: logs })
    }

    /// Makes the call; `listener` is told the tokens of each step where the request is streamed.
    fn make(&mut self, listener: &mut Listener<'_>) -> Result<RunResult, AppError> {
        let request = Request::Run(Box::new(self.request.clone()));
        match self.worker.call_heard(request, self.deadline, listener).map_err(lost)? {
            Reply::Ran(result) => Ok(result),
            Reply::Failed(failure) => Err(failed(failure)),
            _ => Err(AppError::backend("the worker gave a reply of another kind")),
        }
    }

    fn output(mut self) -> Result<Output, AppError> {
        let output = self.make(&mut |_| {})?.output;
        output.ok_or_else(|| AppError::backend("the worker gave no output back"))
    }
}

pub(super) fn failed(failure: Failure) -> AppError {
    let Failure { kind, message, bad_input, .. } = failure;
    if bad_input {
        AppError::bad_input(message)
    } else {
        AppError::backend(format!("{}: {message}", kind.name()))
    }
}

pub(super) fn lost(lost: Lost) -> AppError {
    match lost {
        Lost::Degraded(degraded) => {
            AppError::backend(format!("{}: {}", degraded.kind.name(), degraded.message))
        }
        Lost::Interrupted => AppError::interrupted("interrupted"),
    }
}

fn rows(args: &CallArgs, model: &ResolvedModel) -> Result<Rows, AppError> {
    if let Some(prompt) = &args.prompt {
        let ids = model
            .load_tokenizer()
            .and_then(|tokenizer| tokenizer.encode(prompt))
            .map_err(AppError::bad_input)?;
        return Ok(Rows::new(&[ids]));
    }
    let path = args.tokens.as_deref().unwrap_or(Path::new(""));
    let wrong = |reason: String| {
        AppError::bad_input(format!(
            "--tokens {}: {reason}; give [[ids], ...], one list a row",
            path.display()
        ))
    };
    let text = input::text(path, input::TOKENS).map_err(|e| wrong(e.to_string()))?;
    let rows: Vec<Vec<u32>> = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    Ok(Rows::new(&rows))
}

/// The five likeliest next tokens of a row.
fn likeliest(logits: &[f64]) -> String {
    let mut ranked: Vec<(usize, f64)> = logits.iter().copied().enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let top = ranked.iter().take(5).map(|(id, logit)| format!("{id} ({logit:.4})"));
    format!("next token by logit: {}", top.collect::<Vec<_>>().join(", "))
}

fn summed(logprobs: &[f64]) -> String {
    let (n, sum) = (logprobs.len(), logprobs.iter().sum::<f64>());
    let perplexity = (-sum / n.max(1) as f64).exp();
    format!("{n} predicted tokens, sum {sum:.6}, perplexity {perplexity:.4}")
}
