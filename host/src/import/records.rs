//! From series to records, each series a round of its cell.

use super::ImportError;
use super::names::{Scenarios, identity};
use super::series::{Run, Series, Shape};
use crate::digest::hex;
use crate::record::{Imported, Record, SCHEMA, Status};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The imported runs that a folder holds: of each cell and round, how long each run took.
#[derive(Debug, Default)]
pub(super) struct Held(HashMap<String, HashMap<u32, Vec<u64>>>);

impl Held {
    /// Takes note of a record.
    pub(super) fn add(&mut self, record: &Record) {
        if record.imported.is_some() {
            let rounds = self.0.entry(record.cell.clone()).or_default();
            rounds.entry(record.round).or_default().extend(record.latency_ms.map(f64::to_bits));
        }
    }

    /// The round after the last one of `cell`; none where one of them took just as long run by run.
    fn next_round(&self, cell: &str, runs: &[Run]) -> Option<u32> {
        let Some(rounds) = self.0.get(cell) else { return Some(0) };
        let latencies = runs.iter().map(|run| run.latency_ms.to_bits());
        let is_known = rounds.values().any(|known| latencies.clone().eq(known.iter().copied()));
        let next = rounds.keys().max().map_or(0, |last| last.saturating_add(1));
        (!is_known).then_some(next)
    }
}

/// The records of `all`, for a folder that calls its shapes by `scenarios` and holds `held`.
///
/// # Errors
/// Runs that are there already.
pub(super) fn records(
    all: &[Series],
    scenarios: &Scenarios,
    mut held: Held,
    folder: &str,
) -> Result<Vec<Record>, ImportError> {
    let mut records = Vec::new();
    for series in all {
        let cell = cell_id(series);
        let scenario = scenarios.name(series.shape);
        let Some(round) = held.next_round(&cell, &series.runs) else {
            let Series { model, backend, source, runs, shape, .. } = series;
            return Err(ImportError::Doubled {
                file: source.file.clone(),
                folder: folder.into(),
                runs: runs.len(),
                cell: format!("{} on {}, {scenario}, {}", model.name, backend.name, shape.mode.name()),
            });
        };
        for (repetition, run) in (0..).zip(&series.runs) {
            let record = record(series, &cell, &scenario, (round, repetition), run);
            held.add(&record);
            records.push(record);
        }
    }
    Ok(records)
}

/// The first 16 hex digits of a SHA-256 over what was measured: model, settings, version, machine and shape by the
/// tool's own words, whatever a folder calls them.
fn cell_id(series: &Series) -> String {
    let Shape { mode, use_cache, batch, prompt_tokens, new_tokens, context } = series.shape;
    let model = series.model.spec.rsplit(['/', '\\']).next();
    let what = serde_json::json!([
        [series.source.tool, model, series.backend.runtime, series.backend.device, identity(series)],
        [mode, use_cache, batch, prompt_tokens, new_tokens, context],
    ]);
    hex(&Sha256::digest(what.to_string())[..8])
}

fn record(series: &Series, cell: &str, scenario: &str, place: (u32, u32), run: &Run) -> Record {
    let Series { source, model, backend, shape, .. } = series;
    let tokens = shape.tokens();
    Record {
        schema: SCHEMA,
        cell: cell.into(),
        model: model.name.clone(),
        backend: backend.name.clone(),
        scenario: scenario.into(),
        mode: shape.mode,
        batch: shape.batch,
        prompt_tokens: shape.prompt_tokens,
        new_tokens: shape.new_tokens,
        use_cache: shape.use_cache,
        round: place.0,
        repetition: place.1,
        status: Status::Ok,
        latency_ms: Some(run.latency_ms),
        ttft_ms: run.ttft_ms,
        token_ms: run.token_ms.clone(),
        tokens_processed: Some(tokens),
        throughput_tok_s: Some(tokens as f64 / run.latency_ms * 1e3),
        degraded: None,
        telemetry: series.telemetry.clone(),
        disturbances: Vec::new(),
        output_digest: None,
        started_at: series.started_at.clone(),
        worker_pid: None,
        imported: Some(Imported {
            tool: source.tool.into(),
            tool_version: source.tool_version.clone(),
            file: source.file.clone(),
            note: series.note.clone(),
        }),
    }
}
