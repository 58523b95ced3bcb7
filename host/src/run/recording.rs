//! From the end of a run to its record.

use crate::config::Config;
use crate::plan::{Cell, Group, Run};
use crate::record::{Degraded, Mode, Record, SCHEMA, Status};
use crate::validity::disturbances;
use crate::worker::protocol::RunResult;

/// When and where a run took place.
pub(super) struct Place<'a> {
    pub(super) group: &'a Group,
    pub(super) run: Run,
    pub(super) started_at: String,
    pub(super) worker_pid: Option<u32>,
    /// Of the machine.
    pub(super) cores: u64,
}

/// The record of `cell`'s run.
pub(super) fn record(
    config: &Config,
    cell: &Cell,
    place: Place<'_>,
    outcome: Result<RunResult, Degraded>,
) -> Record {
    let scenario = &config.scenarios[cell.scenario];
    let cores = place.cores;
    let blank = Record {
        schema: SCHEMA,
        cell: cell.id.0.clone(),
        model: config.models[cell.model].name.clone(),
        backend: config.backends[cell.backend].name.clone(),
        scenario: scenario.name.clone(),
        mode: cell.mode,
        batch: scenario.batch,
        prompt_tokens: scenario.prompt_tokens,
        new_tokens: if cell.mode == Mode::Generate { scenario.new_tokens } else { 0 },
        use_cache: cell.use_cache,
        round: place.group.round,
        repetition: place.run.repetition,
        status: Status::Degraded,
        latency_ms: None,
        ttft_ms: None,
        token_ms: Vec::new(),
        tokens_processed: None,
        throughput_tok_s: None,
        degraded: None,
        telemetry: None,
        disturbances: Vec::new(),
        output_digest: None,
        started_at: place.started_at,
        worker_pid: place.worker_pid,
        imported: None,
    };
    match outcome {
        Ok(result) => {
            let disturbances = disturbances(&result.telemetry, cores, config.run.busy_above_pct);
            Record { disturbances, ..measured(blank, result) }
        }
        Err(degraded) => Record { degraded: Some(degraded), ..blank },
    }
}

fn measured(blank: Record, result: RunResult) -> Record {
    // A record that is ok has taken time, also where a clock has not moved.
    let seconds = result.latency_ns.max(1) as f64 / 1e9;
    let starts = std::iter::once(0).chain(result.step_ends_ns.iter().copied());
    let token_ms: Vec<f64> = starts
        .zip(&result.step_ends_ns)
        .map(|(start, end)| (end.saturating_sub(start)) as f64 / 1e6)
        .collect();
    Record {
        status: Status::Ok,
        latency_ms: Some(seconds * 1e3),
        ttft_ms: token_ms.first().copied(),
        token_ms,
        tokens_processed: Some(result.tokens_processed),
        throughput_tok_s: Some(result.tokens_processed as f64 / seconds.max(1e-9)),
        telemetry: Some(*result.telemetry),
        output_digest: Some(result.output_digest),
        ..blank
    }
}
