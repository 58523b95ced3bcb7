//! `inferhost prefill|generate|logprobs`: one call, in a worker as any other.

use super::chosen::Chosen;
use crate::cli::{CallArgs, GenerateArgs};
use crate::config::Sampling;
use crate::error::AppError;
use crate::interrupt;
use crate::model::{self, ResolvedModel};
use crate::output::{print, print_json};
use crate::record::Mode;
use crate::run::{Starter, describe, open_request};
use crate::worker::protocol::{Failure, GenerateSettings, Output, Reply, Request, RunRequest, RunResult};
use crate::worker::{Lost, Worker};
use inferhost_plugin_api::{Positions, Rows};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub(super) fn prefill(args: &CallArgs) -> Result<(), AppError> {
    let (_, output) = call(args, Mode::Prefill, |_| GenerateSettings::default())?;
    match output {
        Output::Logits(rows) if !args.json => {
            print(&rows.iter().map(|row| likeliest(row)).collect::<Vec<_>>().join("\n"))
        }
        output => print_json(&output),
    }
}

pub(super) fn logprobs(args: &CallArgs) -> Result<(), AppError> {
    let (_, output) = call(args, Mode::Logprobs, |_| GenerateSettings::default())?;
    match output {
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
    let (model, output) = call(&args.call, Mode::Generate, settings)?;
    match output {
        Output::Tokens(rows) if !args.call.json => {
            let tokenizer = args.call.prompt.as_ref().and_then(|_| model.load_tokenizer().ok());
            let text = |row: &Vec<u32>| match tokenizer.as_ref().map(|tokenizer| tokenizer.decode(row)) {
                Some(Ok(text)) => text,
                _ => row.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            };
            print(&rows.iter().map(text).collect::<Vec<_>>().join("\n"))
        }
        output => print_json(&output),
    }
}

/// Readies the model for the plugin and makes the call.
fn call(
    args: &CallArgs,
    mode: Mode,
    generate: impl FnOnce(&ResolvedModel) -> GenerateSettings,
) -> Result<(ResolvedModel, Output), AppError> {
    let deadline = Duration::try_from_secs_f64(args.deadline_s).map_err(|_| {
        AppError::bad_input(format!("--deadline-s {} is no number of seconds", args.deadline_s))
    })?;
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
    };
    interrupt::install().map_err(AppError::failed)?;
    let logs = tempfile::tempdir().map_err(AppError::failed)?;
    let starter = Starter::new(logs.path()).map_err(AppError::failed)?;
    let starter = Starter { isolation: args.isolation, ..starter };
    let worker = starter.start("worker", &BTreeMap::new()).map_err(AppError::failed)?;
    let mut worker = worker.map_err(lost)?;
    let described = describe(worker.as_mut(), &chosen.file, &chosen.options_text(), deadline);
    let forms = described.map_err(lost)?.map_err(failed)?.forms;
    let prepared = chosen.prepare(&model, &forms, &cache, &starter)?;
    ask(worker.as_mut(), open_request(&prepared, &chosen.options), deadline)?;
    match ask(worker.as_mut(), Request::Run(Box::new(request)), deadline)? {
        Reply::Ran(RunResult { output: Some(output), .. }) => Ok((model, output)),
        _ => Err(AppError::backend("the worker gave a reply of another kind")),
    }
}

fn ask(worker: &mut dyn Worker, request: Request, deadline: Duration) -> Result<Reply, AppError> {
    match worker.call(request, deadline).map_err(lost)? {
        Reply::Failed(failure) => Err(failed(failure)),
        reply => Ok(reply),
    }
}

fn failed(failure: Failure) -> AppError {
    let Failure { kind, message, bad_input, .. } = failure;
    if bad_input {
        AppError::bad_input(message)
    } else {
        AppError::backend(format!("{}: {message}", kind.name()))
    }
}

fn lost(lost: Lost) -> AppError {
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
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
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
