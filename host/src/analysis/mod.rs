//! From a run folder's manifest and records to what they say. Pure.
//!
//! Runs of one cell are put together first; backends are then compared within one model, scenario and call, never
//! across. Every figure keeps its denominator: planned, recorded, ok and degraded runs are counted for the matrix and
//! for each cell, and a run that is missing is said to be missing.

mod accuracy;
mod agreement;
mod cell;
mod comparison;
mod flag;
mod group;
mod observations;
mod order;
mod payback;
mod rate;
mod recommendation;
mod resources;
mod run;
mod size_crossover;
mod standing;
mod table;
mod token_times;
mod tradeoff;

pub use accuracy::Accuracy;
pub use agreement::{Agreement, Difference};
pub use cell::{CellSummary, OUTLIER_SHARE, Point};
pub use comparison::{ALPHA, Comparison, Metric, Outcome};
pub use flag::{DRIFT, DRIFT_P, Flag, SLOW_FIRST, UNSTABLE_CV};
pub use group::{Call, Scenario};
pub use observations::Observations;
pub(crate) use order::distinct;
pub use payback::Payback;
pub use rate::Rate;
pub use recommendation::{Candidate, PassedOver, Recommendation, Use};
pub use resources::Resources;
pub(crate) use run::tpot_ms;
pub use size_crossover::{SizeCrossover, SizePoint};
pub use standing::{Pooled, Standing};
pub use table::{Table, TableRow};
pub use token_times::TokenTimes;
pub use tradeoff::{Tradeoff, TradeoffPoint};

use crate::config::ReportSettings;
use crate::manifest::Manifest;
use crate::record::{DegradedKind, DisturbanceKind, Stage};
use crate::stats::Test;
use crate::store::Evaluations;
use crate::validity::Least;
use group::{Group, Key, Lost};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// The version of the analysis's fields.
pub const SCHEMA: u32 = 2;

/// Of the bootstrap: the same folder gives the same report.
const SEED: u64 = 0;
const SECONDS_PER_HOUR: f64 = 3600.0;

/// What the records of one run folder say.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Analysis {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The matrix's name.
    pub name: String,
    /// The backend the others are compared with; none where there is no backend.
    pub baseline: Option<String>,
    /// All runs counted.
    pub runs: RunCounts,
    /// Every cell that has a record, by model, call, scenario and backend.
    pub cells: Vec<CellSummary>,
    /// Every backend against the baseline, cell by cell.
    pub comparisons: Vec<Comparison>,
    /// Backends over all scenarios of one model and call.
    pub standings: Vec<Standing>,
    /// Where the faster of two backends changes with the size of the model.
    pub crossovers: Vec<SizeCrossover>,
    /// When builds have paid for themselves.
    pub paybacks: Vec<Payback>,
    /// Speed against perplexity.
    pub tradeoffs: Vec<Tradeoff>,
    /// Which backend to use.
    pub recommendations: Vec<Recommendation>,
    /// Runs without a valid measurement, those of one cause together.
    pub degraded: Vec<DegradedGroup>,
    /// Whether backends gave the same output.
    pub agreement: Vec<Agreement>,
    /// How near backends came to the baseline's accuracy; none where that was not evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Accuracy>,
    /// What a cell must have before anything is claimed of it.
    pub least: Least,
    /// Names the test behind every p.
    pub test: Test,
    /// What the report was told beside the measurements.
    pub settings: ReportSettings,
}

/// The denominators of a matrix.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunCounts {
    /// Runs the matrix makes.
    pub planned: u64,
    /// Runs that have a record.
    pub recorded: u64,
    /// Planned runs without a record.
    pub missing: u64,
    /// Recorded runs beyond the plan: a manifest of another matrix.
    pub surplus: u64,
    /// Records of a run that has an earlier one; they are left out of everything else.
    pub doubled: u64,
    /// Recorded runs with a valid measurement.
    pub ok: u64,
    /// Planned runs that were not made, for the interval asked for was reached before them.
    pub spared: u64,
    /// Runs with a valid measurement in whose time the machine was not their own: they are marked, and in every figure.
    pub disturbed: u64,
    /// Those by kind; a run may have several.
    pub disturbed_by_kind: BTreeMap<DisturbanceKind, u64>,
    /// Recorded runs without.
    pub degraded: u64,
    /// Those by kind.
    pub degraded_by_kind: BTreeMap<DegradedKind, u64>,
    /// Whether a torn last line of the records was left out.
    pub torn: bool,
}

/// Runs of one cell that were lost in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DegradedGroup {
    /// The model.
    pub model: String,
    /// The backend.
    pub backend: String,
    /// The scenario.
    pub scenario: Scenario,
    /// What was called.
    pub call: Call,
    /// The class of reason.
    pub kind: DegradedKind,
    /// Where in the worker's life.
    pub stage: Stage,
    /// How many runs.
    pub count: u64,
    /// The first one's message.
    pub message: String,
    /// The signal that ended the first one's worker.
    pub signal: Option<i32>,
    /// The code the first one's worker exited with.
    pub exit_code: Option<i32>,
}

/// Puts together what `observations` and `found` say of the matrix that `manifest` describes, with `test` for differences.
pub fn analyse(
    manifest: &Manifest,
    observations: Observations,
    found: &Evaluations,
    test: Test,
    settings: ReportSettings,
) -> Analysis {
    let (groups, runs) = observations.sorted(manifest);
    let least = Least::of(&manifest.config);
    let baseline = baseline(manifest, &groups);
    let accuracy = Accuracy::of(manifest, found);
    let mut cells: Vec<CellSummary> =
        groups.iter().map(|group| CellSummary::of(group, manifest, least)).collect();
    accuracy::mark(&mut cells, accuracy.as_ref());
    price(&mut cells, &settings);
    if let Some(baseline) = &baseline {
        table::compare(&mut cells, baseline);
    }
    let name = baseline.as_deref();
    let standings = standing::standings(&cells, &groups, name, test);
    let evaluations = accuracy.as_ref().map_or(&[][..], |accuracy| &accuracy.evaluations);
    let mut analysis = Analysis {
        schema: SCHEMA,
        name: manifest.name.clone(),
        runs,
        comparisons: name
            .map_or(Vec::new(), |name| comparison::comparisons(&cells, name, test, settings.threshold)),
        crossovers: size_crossover::size_crossovers(manifest, &cells, SEED),
        paybacks: name.map_or(Vec::new(), |name| payback::paybacks(manifest, &settings, &cells, name)),
        tradeoffs: tradeoff::tradeoffs(&standings, evaluations),
        recommendations: Vec::new(),
        degraded: groups.iter().flat_map(degraded_groups).collect(),
        agreement: agreement::agreement(&groups, name),
        standings,
        cells,
        baseline,
        accuracy,
        least,
        test,
        settings,
    };
    analysis.recommendations = recommendation::recommendations(&analysis, analysis.settings.threshold);
    analysis
}

fn price(cells: &mut [CellSummary], settings: &ReportSettings) {
    for cell in cells {
        let rate = cell.throughput_tok_s.mean.filter(|rate| *rate > 0.0);
        let cost = |(price, rate): (f64, f64)| price / (rate * SECONDS_PER_HOUR) * 1e6;
        cell.cost_per_million_tokens = settings.price(&cell.backend).zip(rate).map(cost);
    }
}

fn baseline(manifest: &Manifest, groups: &[Group]) -> Option<String> {
    let first_listed = || manifest.backends.first().map(|backend| backend.name.clone());
    let first_recorded = || groups.first().map(|group| group.key.backend.clone());
    manifest.baseline.clone().or_else(first_listed).or_else(first_recorded)
}

fn degraded_groups(group: &Group) -> impl Iterator<Item = DegradedGroup> {
    group.lost.iter().map(|lost| DegradedGroup::of(&group.key, lost))
}

impl DegradedGroup {
    fn of(key: &Key, lost: &Lost) -> Self {
        let reason = &lost.reason;
        Self {
            model: key.model.clone(),
            backend: key.backend.clone(),
            scenario: key.scenario.clone(),
            call: key.call,
            kind: reason.kind,
            stage: reason.stage,
            count: lost.count,
            message: reason.message.clone(),
            signal: reason.signal,
            exit_code: reason.exit_code,
        }
    }
}

#[cfg(test)]
mod claims;
#[cfg(test)]
mod tests;
