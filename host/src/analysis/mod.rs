//! From a run folder's manifest and records to what they say. Pure.
//!
//! Runs of one cell are put together first; backends are then compared within one model, scenario and call, never
//! across. Every figure keeps its denominator: planned, recorded, ok and degraded runs are counted for the matrix and
//! for each cell, and a run that is missing is said to be missing.

mod accuracy;
mod agreement;
mod cell;
mod group;
mod order;
mod resources;
mod table;

pub use accuracy::Accuracy;
pub use agreement::{Agreement, Difference};
pub use cell::CellSummary;
pub use group::{Call, Scenario};
pub use resources::Resources;
pub use table::{Table, TableRow};

use crate::manifest::Manifest;
use crate::record::{Degraded, DegradedKind, Record, Stage};
use crate::store::Records;
use group::{Group, Key};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

/// The version of the analysis's fields.
pub const SCHEMA: u32 = 1;

/// What the records of one run folder say.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// Runs without a valid measurement, those of one cause together.
    pub degraded: Vec<DegradedGroup>,
    /// Whether backends gave the same output.
    pub agreement: Vec<Agreement>,
    /// How near backends came to the baseline's accuracy; none where that was not evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Accuracy>,
}

/// The denominators of a matrix.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
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
    /// Recorded runs without.
    pub degraded: u64,
    /// Those by kind.
    pub degraded_by_kind: BTreeMap<DegradedKind, u64>,
    /// Whether a torn last line of the records was left out.
    pub torn: bool,
}

/// Runs of one cell that were lost in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

/// Puts together what `records` say of the matrix that `manifest` describes.
pub fn analyse(manifest: &Manifest, records: &Records) -> Analysis {
    let runs = first_of_each_run(&records.records);
    let groups = group::groups(manifest, &runs);
    let baseline = baseline(manifest, &groups);
    let mut cells: Vec<CellSummary> = groups.iter().map(|group| CellSummary::of(group, manifest)).collect();
    if let Some(baseline) = &baseline {
        table::compare(&mut cells, baseline);
    }
    Analysis {
        schema: SCHEMA,
        name: manifest.name.clone(),
        runs: count(manifest.planned_runs, &runs, records),
        degraded: groups.iter().flat_map(degraded_groups).collect(),
        agreement: agreement::agreement(&groups, baseline.as_deref()),
        cells,
        baseline,
        accuracy: None,
    }
}

fn baseline(manifest: &Manifest, groups: &[Group<'_>]) -> Option<String> {
    let first_listed = || manifest.backends.first().map(|backend| backend.name.clone());
    let first_recorded = || groups.first().map(|group| group.key.backend.to_string());
    manifest.baseline.clone().or_else(first_listed).or_else(first_recorded)
}

/// A run is a repetition of a cell in a round. A record that repeats one says nothing new, and must not stand in for
/// a run that has none.
fn first_of_each_run(records: &[Record]) -> Vec<&Record> {
    let mut seen = HashSet::with_capacity(records.len());
    records.iter().filter(|run| seen.insert((run.cell.as_str(), run.round, run.repetition))).collect()
}

fn count(planned: u64, runs: &[&Record], records: &Records) -> RunCounts {
    let mut degraded_by_kind = BTreeMap::new();
    for reason in runs.iter().filter_map(|record| record.degraded.as_ref()) {
        *degraded_by_kind.entry(reason.kind).or_default() += 1;
    }
    let recorded = runs.len() as u64;
    let degraded = degraded_by_kind.values().sum();
    RunCounts {
        planned,
        recorded,
        missing: planned.saturating_sub(recorded),
        surplus: recorded.saturating_sub(planned),
        doubled: records.records.len() as u64 - recorded,
        ok: recorded - degraded,
        degraded,
        degraded_by_kind,
        torn: records.torn,
    }
}

fn degraded_groups(group: &Group<'_>) -> Vec<DegradedGroup> {
    let mut found: Vec<DegradedGroup> = Vec::new();
    for reason in group.records.iter().filter_map(|record| record.degraded.as_ref()) {
        match found.iter_mut().find(|seen| seen.kind == reason.kind && seen.stage == reason.stage) {
            Some(seen) => seen.count += 1,
            None => found.push(DegradedGroup::first(&group.key, reason)),
        }
    }
    found
}

impl DegradedGroup {
    fn first(key: &Key<'_>, reason: &Degraded) -> Self {
        Self {
            model: key.model.into(),
            backend: key.backend.into(),
            scenario: key.scenario.to_owned(),
            call: key.call,
            kind: reason.kind,
            stage: reason.stage,
            count: 1,
            message: reason.message.clone(),
            signal: reason.signal,
            exit_code: reason.exit_code,
        }
    }
}

/// Whether the run's measurement holds; [`crate::store`] refuses records whose `status` says otherwise.
fn is_ok(record: &Record) -> bool {
    record.degraded.is_none()
}

#[cfg(test)]
mod tests;
