//! When the time that a backend's artifact took to build has paid for itself.

use super::cell::CellSummary;
use super::comparison::ALPHA;
use super::group::Call;
use super::table::enough_of_both;
use crate::config::ReportSettings;
use crate::manifest::{ArtifactEntry, Manifest};
use crate::stats::{Amortisation, Load, Summary, TTest, amortisation, difference_of_sums};
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
    /// Scenarios of which both have 3 ok runs and more. A round of work is one run of each.
    pub scenarios: usize,
    /// Ok runs of both in these.
    pub n: usize,
    /// The baseline's tokens per second over such rounds: all their tokens over all their time.
    pub baseline_tok_s: f64,
    /// The backend's.
    pub tok_s: f64,
    /// Tokens of a run, mean over the scenarios.
    pub tokens_per_run: f64,
    /// Whether the backend is faster over such a round: the baseline's time less the backend's, in milliseconds.
    pub test: Option<TTest>,
    /// The load that `recovered` tells hours at, tokens per hour; none: full load alone.
    pub tokens_per_hour: Option<f64>,
    /// Until the build is recovered; none where the backend is not shown to be faster.
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
    built.filter_map(|artifact| payback(artifact, settings, table, baseline)).collect()
}

fn payback(
    artifact: &ArtifactEntry,
    settings: &ReportSettings,
    table: &[CellSummary],
    baseline: &str,
) -> Option<Payback> {
    let build_seconds = artifact.build_seconds?;
    let shared = enough_of_both(table, &artifact.backend, baseline);
    let (first, _) = *shared.first()?;
    let seconds = |of: &Summary| of.mean.map(|mean| mean / 1e3);
    let own: Option<f64> = shared.iter().map(|(own, _)| seconds(&own.latency_ms)).sum();
    let base: Option<f64> = shared.iter().map(|(_, base)| seconds(&base.latency_ms)).sum();
    let tokens = shared.iter().map(|(own, _)| own.scenario.tokens(own.call) as f64).sum::<f64>();
    let latencies: Vec<(&Summary, &Summary)> =
        shared.iter().map(|(own, base)| (&base.latency_ms, &own.latency_ms)).collect();
    let test = difference_of_sums(&latencies);
    let (tok_s, baseline_tok_s) = (tokens / own?, tokens / base?);
    let tokens_per_run = tokens / shared.len() as f64;
    let load = Load { tokens_per_run: Some(tokens_per_run), tokens_per_hour: settings.tokens_per_hour };
    let faster = test.is_none_or(|test| test.p < ALPHA);
    Some(Payback {
        model: first.model.clone(),
        call: first.call,
        backend: artifact.backend.clone(),
        artifact: artifact.name.clone(),
        build_seconds,
        scenarios: shared.len(),
        n: shared.iter().map(|(own, base)| own.latency_ms.n + base.latency_ms.n).sum(),
        baseline_tok_s,
        tok_s,
        tokens_per_run,
        test,
        tokens_per_hour: settings.tokens_per_hour,
        recovered: amortisation(build_seconds, baseline_tok_s, tok_s, load).filter(|_| faster),
    })
}
