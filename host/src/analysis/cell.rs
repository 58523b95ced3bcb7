//! One cell's runs in figures. The definitions are those of the table of metrics in the README.

use super::flag::{Flag, flags};
use super::group::{Call, Group, Scenario};
use super::rate::Rate;
use super::resources::Resources;
use super::run::{Figure, Run};
use super::token_times::TokenTimes;
use crate::accuracy::Verdict;
use crate::manifest::Manifest;
use crate::record::{DegradedKind, Imported};
use crate::stats::{Summary, outliers, quantile, summary};
use crate::validity::Least;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Share of the median that a run must be away from it to be called an outlier.
pub const OUTLIER_SHARE: f64 = 0.05;
/// Most runs of a cell that are kept one by one, for plots and for tracing a figure to its records.
const POINTS: usize = 200;

/// What the runs of one cell say. Figures are over the ok runs alone.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CellSummary {
    /// As in its records.
    pub cell: String,
    /// The model.
    pub model: String,
    /// The backend.
    pub backend: String,
    /// The scenario.
    pub scenario: Scenario,
    /// What was called.
    pub call: Call,
    /// Records of the cell.
    pub recorded: u64,
    /// Those with a valid measurement.
    pub ok: u64,
    /// Those without, by kind.
    pub degraded: BTreeMap<DegradedKind, u64>,
    /// Those without, of all.
    pub degraded_rate: Rate,
    /// Milliseconds around the plugin's call.
    pub latency_ms: Summary,
    /// Tokens processed over latency, per second.
    pub throughput_tok_s: Summary,
    /// Mean throughput over the baseline's, above 1 where this backend is faster; none without both.
    pub throughput_ratio: Option<f64>,
    /// Milliseconds to the first token in host memory.
    pub ttft_ms: Summary,
    /// Milliseconds per token after the first, for 2 new tokens and more.
    pub tpot_ms: Summary,
    /// Tokens per second after each row's first, for 2 new tokens and more.
    pub decode_tok_s: Summary,
    /// Times between tokens; none without two tokens.
    pub inter_token: Option<TokenTimes>,
    /// Joules over tokens processed; no runs where no counter was read.
    pub energy_j_per_token: Summary,
    /// At the backend's hourly price and its mean throughput; none without a price.
    pub cost_per_million_tokens: Option<f64>,
    /// The worker's largest resident set, MB (10^6 bytes).
    pub rss_peak_mb: Option<f64>,
    /// What the runs used.
    pub resources: Resources,
    /// What a reader should know before believing the figures.
    pub flags: Vec<Flag>,
    /// Lines of `records.jsonl` of the ok runs whose latency is an outlier; they are in all figures.
    pub outlier_lines: Vec<usize>,
    /// What the accuracy gate says of the backend on this model; none where it was not evaluated.
    pub accuracy: Option<Verdict>,
    /// Where its records come from, if another program measured them.
    pub imported: Option<Imported>,
    /// The runs one by one, evenly thinned where there are more than 200.
    #[serde(skip)]
    pub points: Vec<Point>,
}

/// One run as a plot shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Of `records.jsonl`, from 1.
    pub line: usize,
    /// From 0.
    pub round: u32,
    /// From 0.
    pub repetition: u32,
    /// When the run began, milliseconds since 1970.
    pub at_ms: Option<f64>,
    /// Milliseconds; none where the run is degraded.
    pub latency_ms: Option<f64>,
    /// Tokens per second.
    pub throughput_tok_s: Option<f64>,
    /// The worker's largest resident set so far, MB.
    pub rss_peak_mb: Option<f64>,
    /// Mean power of the run, watts: joules per token times tokens per second; none where no counter was read.
    pub power_w: Option<f64>,
}

impl CellSummary {
    pub(super) fn of(group: &Group, manifest: &Manifest, least: Least) -> Self {
        let ok: Vec<&Run> = group.ok().collect();
        let over = |metric: fn(&Run) -> Figure| -> Summary {
            summary(&ok.iter().filter_map(|run| metric(run).get()).collect::<Vec<_>>())
        };
        let key = &group.key;
        let resources = Resources::of(&ok).sized(manifest, &key.model, &key.backend);
        let latency_ms = over(|run| run.latency_ms);
        Self {
            cell: group.cell.clone(),
            model: key.model.clone(),
            backend: key.backend.clone(),
            scenario: key.scenario.clone(),
            call: key.call,
            recorded: group.runs.len() as u64,
            ok: ok.len() as u64,
            degraded: degraded(group),
            degraded_rate: Rate::of((group.runs.len() - ok.len()) as u64, group.runs.len() as u64),
            flags: flags(&ok, &latency_ms, least),
            outlier_lines: outlier_lines(&ok),
            latency_ms,
            throughput_tok_s: over(|run| run.throughput_tok_s),
            throughput_ratio: None,
            ttft_ms: over(|run| run.ttft_ms),
            tpot_ms: over(|run| run.tpot_ms),
            decode_tok_s: over(|run| run.decode_tok_s),
            inter_token: group.token_times.times(),
            energy_j_per_token: over(|run| run.energy_j_per_token),
            cost_per_million_tokens: None,
            rss_peak_mb: resources.rss_peak_mb.max,
            resources,
            accuracy: None,
            imported: group.imported.clone(),
            points: points(&group.runs),
        }
    }

    /// Ok runs in whose time the machine was not their own.
    pub fn disturbed_runs(&self) -> u64 {
        let runs = |flag: &Flag| if let Flag::Disturbed { runs, .. } = flag { Some(*runs) } else { None };
        self.flags.iter().find_map(runs).unwrap_or(0)
    }

    /// Whether both are of one table's row: all but the backend.
    pub(super) fn same_row(&self, other: &Self) -> bool {
        (&self.model, self.call, &self.scenario) == (&other.model, other.call, &other.scenario)
    }

    /// Whether one program measured both.
    pub(super) fn same_tool(&self, other: &Self) -> bool {
        let tool = |of: &Self| of.imported.as_ref().map(|imported| imported.tool.clone());
        tool(self) == tool(other)
    }

    /// Whether its ok runs are as many, and took as long, as is asked for.
    pub(super) fn has_enough_runs(&self) -> bool {
        let is_short = |flag: &Flag| matches!(flag, Flag::TooFewRuns { .. } | Flag::TooLittleTime { .. });
        !self.flags.iter().any(is_short)
    }

    /// Whether its figures are enough for a claim.
    pub(super) fn is_enough(&self) -> bool {
        self.imported.is_none() && self.has_enough_runs()
    }

    /// Whether both are of one table.
    pub(super) fn same_table(&self, other: &Self) -> bool {
        (&self.model, self.call) == (&other.model, other.call)
    }
}

fn degraded(group: &Group) -> BTreeMap<DegradedKind, u64> {
    let mut kinds = BTreeMap::new();
    for lost in &group.lost {
        *kinds.entry(lost.reason.kind).or_default() += lost.count;
    }
    kinds
}

fn outlier_lines(ok: &[&Run]) -> Vec<usize> {
    let measured: Vec<(usize, f64)> =
        ok.iter().filter_map(|run| Some((run.line, run.latency_ms.get()?))).collect();
    let latencies: Vec<f64> = measured.iter().map(|(_, latency)| *latency).collect();
    let median = quantile(&latencies, 0.5).unwrap_or_default();
    // Where a few runs are all but equal, the score alone would single out what matters to nobody.
    let far = |latency: f64| (latency - median).abs() >= OUTLIER_SHARE * median;
    let found = outliers(&latencies).into_iter().filter(|&index| far(latencies[index]));
    found.map(|index| measured[index].0).collect()
}

fn points(runs: &[Run]) -> Vec<Point> {
    let step = runs.len().div_ceil(POINTS).max(1);
    let point = |run: &Run| Point {
        line: run.line,
        round: run.round,
        repetition: run.repetition,
        at_ms: run.at.get(),
        latency_ms: run.latency_ms.get().filter(|_| run.ok),
        throughput_tok_s: run.throughput_tok_s.get().filter(|_| run.ok),
        rss_peak_mb: run.used.rss_peak_mb.get(),
        power_w: run
            .energy_j_per_token
            .get()
            .zip(run.throughput_tok_s.get())
            .map(|(joules, rate)| joules * rate),
    };
    runs.iter().step_by(step).map(point).collect()
}
