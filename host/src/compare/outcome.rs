//! What a comparison says, as `--json` prints it. Shares are fractions: 0.05 is 5%.

use super::metric::{MetricChange, Verdict};
use crate::analysis::{Call, Scenario};
use crate::record::DegradedKind;
use crate::stats::Interval;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// The version of these fields.
pub const SCHEMA: u32 = 1;

/// Every comparison of one call of `compare`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Compared {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What was asked for.
    pub settings: Settings,
    /// Whether any comparison has failures: the exit code is 1.
    pub regressed: bool,
    /// One for each folder after the first.
    pub comparisons: Vec<Comparison>,
}

/// What counts as a change, and what as a regression.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Settings {
    /// Smaller changes are never called faster or slower.
    pub threshold: f64,
    /// A cell that is slower by more than this is a failure.
    pub fail_above: f64,
}

/// The first folder against another.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Comparison {
    /// The first folder.
    pub before: Side,
    /// The other.
    pub after: Side,
    /// What differs around the cells.
    pub environment: Environment,
    /// What a reader must know before believing the figures, a line each.
    pub notes: Vec<String>,
    /// Cells of both folders, by model, call, scenario and backend.
    pub cells: Vec<CellChange>,
    /// Cells of the second folder alone.
    pub new: Vec<CellName>,
    /// Cells of the first folder alone.
    pub gone: Vec<CellName>,
    /// Backends over all their cells.
    pub backends: Vec<BackendChange>,
    /// Workers, each as a whole and by call.
    pub groups: Vec<GroupChange>,
    /// Tests made.
    pub tests: Tests,
    /// What makes the exit code 1.
    pub failures: Vec<Failure>,
}

/// One folder.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Side {
    /// As given.
    pub folder: String,
    /// The matrix's name.
    pub name: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// Runs recorded, repeats left out.
    pub recorded: u64,
    /// Those with a valid measurement.
    pub ok: u64,
}

/// What differs between the folders beside their figures.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Environment {
    /// Each known difference.
    pub differences: Vec<Difference>,
    /// Those after which the cells are not the same work: other weights, prompts or settings of generation.
    pub warnings: Vec<String>,
}

/// One fact that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// Of what: `machine`, `run`, `backend ort`, `model gpt2`.
    pub of: String,
    /// Which fact.
    pub what: String,
    /// None where the first folder does not say.
    pub before: Option<String>,
    /// None where the second does not say.
    pub after: Option<String>,
}

/// A cell, by what it measures.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub struct CellName {
    /// The model.
    pub model: String,
    /// The backend, in the first folder where the cell is in both.
    pub backend: String,
    /// The scenario.
    pub scenario: Scenario,
    /// What was called.
    pub call: Call,
}

/// A cell before and after.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CellChange {
    /// Which.
    pub cell: CellName,
    /// Its backend's name in the second folder, where that is another.
    pub backend_after: Option<String>,
    /// Its runs in the first folder.
    pub before: CellRuns,
    /// Its runs in the second.
    pub after: CellRuns,
    /// Whether degraded runs came or went.
    pub health: Health,
    /// Latency first; TTFT and TPOT of `generate`.
    pub metrics: Vec<MetricChange>,
}

/// How many runs a cell has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CellRuns {
    /// Recorded.
    pub recorded: u64,
    /// Those with a valid measurement.
    pub ok: u64,
    /// Those without, by kind.
    pub degraded: BTreeMap<DegradedKind, u64>,
    /// The first degraded run's message.
    pub message: Option<String>,
}

/// Whether a cell's runs are degraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// On neither side.
    Sound,
    /// On both.
    Degraded,
    /// There were none, and ok ones, before; now there are.
    NewlyDegraded,
    /// There were before; now there are none, and ok ones.
    NoLongerDegraded,
}

/// A backend over all its cells: pooled, so it hides what single cells show.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct BackendChange {
    /// Its name in the first folder.
    pub backend: String,
    /// Its name in the second, where that is another.
    pub backend_after: Option<String>,
    /// Cells with a mean latency on both sides.
    pub cells: usize,
    /// Geometric mean of their ratios of mean latency, after over before.
    pub latency_ratio: Option<f64>,
    /// Cells in which a metric is faster and none slower.
    pub faster: usize,
    /// Cells in which a metric is slower.
    pub slower: usize,
}

/// How many tests were made of each kind: each kind is a family over which its p-values are adjusted by Holm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tests {
    /// Workers as a whole.
    pub workers: usize,
    /// Calls of a worker against its others.
    pub calls: usize,
    /// Cells against the others of their worker.
    pub cells: usize,
}

/// The latencies of a model on a backend, or those of one of its calls.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct GroupChange {
    /// The model.
    pub model: String,
    /// The backend's name in the first folder.
    pub backend: String,
    /// Its name in the second, where that is another.
    pub backend_after: Option<String>,
    /// Which call, tested against the worker's others; none is the whole worker, tested as such.
    pub call: Option<Call>,
    /// Cells with enough runs.
    pub cells: usize,
    /// Geometric mean of the cells' ratios of fastest runs, less 1.
    pub change: f64,
    /// What is tested: for a worker the change, for a call that beyond the others.
    pub tested: f64,
    /// The 95% interval of `tested`.
    pub ci95: Option<Interval>,
    /// Two-sided.
    pub p: f64,
    /// By Holm, over all workers or all calls of the comparison.
    pub p_adjusted: f64,
    /// In a word.
    pub verdict: Verdict,
}

/// One reason for exit code 1.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Failure {
    /// The cells of a worker, or of one of its calls, are slower by more than `fail_above`.
    GroupSlower {
        /// The model.
        model: String,
        /// The backend.
        backend: String,
        /// None is the whole worker.
        call: Option<Call>,
        /// Geometric mean of the ratios, less 1.
        change: f64,
        /// Cells.
        cells: usize,
    },
    /// A cell's latency is slower by more than `fail_above`, and than a failing group explains.
    Slower {
        /// Which.
        cell: CellName,
        /// Mean after over mean before, less 1.
        change: f64,
    },
    /// Degraded runs where there were none.
    NewlyDegraded {
        /// Which.
        cell: CellName,
        /// How many.
        runs: u64,
    },
}
