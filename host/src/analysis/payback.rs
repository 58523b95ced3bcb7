//! When the time that a backend's artifact took to build has paid for itself.

use super::cell::CellSummary;
use super::group::Call;
use crate::config::ReportSettings;
use crate::manifest::Manifest;
use crate::stats::{Amortisation, Load, amortisation, geometric_mean};
use schemars::JsonSchema;
use serde::Serialize;

/// One backend that opens an artifact, against the baseline, on one model and call.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Payback {
    /// The model.
    pub model: String,
    /// What was called.
    pub call: Call,
    /// The backend.
    pub backend: String,
    /// What was built.
    pub artifact: String,
    /// Seconds that the build took.
    pub build_seconds: f64,
    /// Scenarios that both have.
    pub scenarios: usize,
    /// Geometric mean over these of the baseline's throughput, tokens per second.
    pub baseline_tok_s: f64,
    /// The backend's.
    pub tok_s: f64,
    /// Tokens of a run, geometric mean.
    pub tokens_per_run: f64,
    /// The load that `recovered` tells hours at, tokens per hour; none: full load alone.
    pub tokens_per_hour: Option<f64>,
    /// Until the build is recovered; none where the backend is no faster than the baseline.
    pub recovered: Option<Amortisation>,
}

/// One for every artifact whose build time is known, and every call.
pub(super) fn paybacks(
    manifest: &Manifest,
    settings: &ReportSettings,
    cells: &[CellSummary],
    baseline: &str,
) -> Vec<Payback> {
    let tables = cells.chunk_by(CellSummary::same_table);
    tables.flat_map(|table| of_table(manifest, settings, table, baseline)).collect()
}

fn of_table(
    manifest: &Manifest,
    settings: &ReportSettings,
    table: &[CellSummary],
    baseline: &str,
) -> Vec<Payback> {
    let Some(first) = table.first() else { return Vec::new() };
    let built = manifest.artifacts.iter().filter(|of| of.model == first.model && of.backend != baseline);
    let payback = |artifact: &crate::manifest::ArtifactEntry| {
        let build_seconds = artifact.build_seconds?;
        let shared = shared(table, &artifact.backend, baseline);
        let over = |value: fn(&(&CellSummary, &CellSummary)) -> f64| {
            geometric_mean(&shared.iter().map(value).collect::<Vec<_>>())
        };
        let (tok_s, baseline_tok_s) = (
            over(|(own, _)| own.throughput_tok_s.mean.unwrap_or_default())?,
            over(|(_, base)| base.throughput_tok_s.mean.unwrap_or_default())?,
        );
        let tokens_per_run = over(|(own, _)| own.scenario.tokens(own.call) as f64)?;
        let load = Load { tokens_per_run: Some(tokens_per_run), tokens_per_hour: settings.tokens_per_hour };
        Some(Payback {
            model: first.model.clone(),
            call: first.call,
            backend: artifact.backend.clone(),
            artifact: artifact.name.clone(),
            build_seconds,
            scenarios: shared.len(),
            baseline_tok_s,
            tok_s,
            tokens_per_run,
            tokens_per_hour: settings.tokens_per_hour,
            recovered: amortisation(build_seconds, baseline_tok_s, tok_s, load),
        })
    };
    built.filter_map(payback).collect()
}

/// The cells of the scenarios that both backends have, the backend's first.
fn shared<'a>(
    table: &'a [CellSummary],
    backend: &str,
    baseline: &str,
) -> Vec<(&'a CellSummary, &'a CellSummary)> {
    let of = |name: &str| table.iter().filter(move |cell| cell.backend == name).collect::<Vec<_>>();
    let (own, base) = (of(backend), of(baseline));
    let pair = |cell: &&'a CellSummary| {
        let other = base.iter().find(|other| other.scenario == cell.scenario)?;
        Some((*cell, *other))
    };
    let measured = |(a, b): &(&CellSummary, &CellSummary)| a.ok > 0 && b.ok > 0;
    own.iter().filter_map(pair).filter(measured).collect()
}
