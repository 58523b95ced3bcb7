//! The result in a sentence, with its denominators, for every output alike.

use super::figure::count;
use super::{accuracy, flag};
use crate::analysis::{Agreement, Analysis, RunCounts};
use crate::manifest::{Manifest, ShardEntry};
use crate::record::{DegradedKind, DisturbanceKind};
use std::collections::BTreeMap;

/// The first sentence of every output.
pub(super) fn headline(analysis: &Analysis) -> String {
    match &analysis.accuracy {
        None => sentence(&analysis.runs),
        Some(found) if has_runs(analysis) => {
            format!("{}; accuracy: {}", sentence(&analysis.runs), accuracy::sentence(found))
        }
        Some(found) => format!("accuracy: {}", accuracy::sentence(found)),
    }
}

/// An evaluation alone has none.
fn has_runs(analysis: &Analysis) -> bool {
    analysis.runs.planned > 0 || analysis.runs.recorded > 0
}

/// `28 of 30 planned runs recorded, 27 ok, 1 degraded (timeout 1)`.
fn sentence(runs: &RunCounts) -> String {
    let Some(reasons) = kinds(&runs.degraded_by_kind) else {
        return format!("{}, 0 degraded", recorded(runs));
    };
    format!("{}, {} degraded ({reasons})", recorded(runs), count(runs.degraded))
}

fn recorded(runs: &RunCounts) -> String {
    let (recorded, planned, ok) = (count(runs.recorded), count(runs.planned), count(runs.ok));
    match runs.spared {
        0 => format!("{recorded} of {planned} planned runs recorded, {ok} ok"),
        spared => {
            format!("{recorded} of {planned} planned runs recorded, {} not needed, {ok} ok", count(spared))
        }
    }
}

/// `crashed 1, timeout 2`; none where nothing is degraded.
pub(super) fn kinds(degraded: &BTreeMap<DegradedKind, u64>) -> Option<String> {
    let reasons: Vec<String> =
        degraded.iter().map(|(kind, runs)| format!("{} {}", kind.name(), count(*runs))).collect();
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

/// What a reader must know before believing the figures, a line each.
pub(super) fn warnings(manifest: &Manifest, analysis: &Analysis) -> Vec<String> {
    let runs = &analysis.runs;
    let mut lines = manifest.notes.clone();
    lines.extend(manifest.shard.map(|shard| {
        let (part, whole) = (count(manifest.planned_runs), count(shard.plan_runs));
        let ShardEntry { index, count, .. } = shard;
        format!("This is shard {index}/{count}: {part} of the plan's {whole} runs; put the shards together by merge.")
    }));
    if runs.missing > 0 {
        lines.push(format!("{} planned runs have no record; go on by --resume.", count(runs.missing)));
    }
    if runs.surplus > 0 {
        let surplus = count(runs.surplus);
        lines.push(format!(
            "There are {surplus} more recorded runs than planned: these may be two matrices in one folder."
        ));
    }
    lines.extend(disturbed(runs));
    if runs.doubled > 0 {
        let doubled = count(runs.doubled);
        lines.push(format!(
            "{doubled} records are left out: they repeat runs recorded before, the first of which counts."
        ));
    }
    if manifest.ended_at.is_none() {
        lines.push("The manifest has no end: the matrix is running, or its host was killed.".into());
    }
    if runs.torn {
        lines.push(
            "The last line of records.jsonl is torn (the host died in it, or is writing it) and left out."
                .into(),
        );
    }
    lines.extend(accuracy_warnings(analysis));
    let is_known = |name: &String| analysis.cells.iter().any(|cell| cell.backend == *name && cell.ok > 0);
    let unknown = analysis.baseline.as_ref().filter(|name| !is_known(name));
    if let Some(baseline) = unknown.filter(|_| has_runs(analysis) || analysis.accuracy.is_none()) {
        lines.push(format!("The baseline {baseline} has no ok run, so there are no ratios."));
    }
    lines
}

/// Each run's record has the figures and the remedy.
fn disturbed(runs: &RunCounts) -> Option<String> {
    let of = |(kind, count): (&DisturbanceKind, &u64)| {
        format!("{} ({} {count})", flag::disturbance(*kind), kind.name())
    };
    let reasons: Vec<String> = runs.disturbed_by_kind.iter().map(of).collect();
    (runs.disturbed > 0).then(|| {
        format!(
            "The machine was not quiet: {} of {} ok runs were disturbed and so are not valid: {}. They stay in every figure; \
             the disturbances in their records say what to do.",
            count(runs.disturbed),
            count(runs.ok),
            reasons.join(", ")
        )
    })
}

fn accuracy_warnings(analysis: &Analysis) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(accuracy) = analysis.accuracy.as_ref().filter(|accuracy| accuracy.missing > 0) {
        let missing = count(accuracy.missing);
        lines.push(format!("{missing} planned evaluations of accuracy have no record; go on by --resume."));
    }
    if analysis.accuracy.as_ref().is_some_and(|accuracy| accuracy.torn) {
        lines.push("The last line of accuracy.jsonl is torn and left out.".into());
    }
    lines
}

/// `outputs are the same on all backends in 3 of 4 comparable scenarios`; none where nothing could be compared.
pub(super) fn outputs(agreement: &[Agreement]) -> Option<String> {
    let holding = agreement.iter().filter(|row| row.holds()).count();
    let total = agreement.len();
    (total > 0)
        .then(|| format!("outputs are the same on all backends in {holding} of {total} comparable scenarios"))
}
