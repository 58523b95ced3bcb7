//! What a reader must know before believing the figures.

use super::cells::Folder;
use super::outcome::{CellChange, Environment};
use super::words::{percent, signed};
use super::worker::Worker;
use crate::text::one_line;

/// From this change of the share of the processor on, as a logarithm, it is said.
const SHARE_WORTH_SAYING: f64 = 0.1;
/// Workers that moved within this of each other, as logarithms, moved alike.
const ALIKE: f64 = 0.1;

/// A line each.
pub(super) fn notes(
    before: &Folder,
    after: &Folder,
    workers: &[Worker<'_>],
    cells: &[CellChange],
    environment: &Environment,
) -> Vec<String> {
    let mut lines = folder(before);
    if before.path != after.path {
        lines.extend(folder(after));
    }
    lines.extend(workers.iter().filter_map(share));
    let claims = cells.iter().flat_map(|cell| &cell.metrics).any(|metric| metric.verdict.is_change());
    if claims {
        lines.extend(alike(workers, environment));
    }
    lines
}

fn folder(of: &Folder) -> Vec<String> {
    let name = one_line(&of.path.display().to_string());
    let recorded: u64 = of.cells.iter().map(|cell| cell.recorded).sum();
    let needed = of.manifest.planned_runs.saturating_sub(of.manifest.counts.spared);
    let missing = needed.saturating_sub(recorded);
    let mut lines = Vec::new();
    if missing > 0 {
        lines.push(format!("{name}: {missing} planned runs have no record"));
    }
    if of.doubled > 0 {
        lines.push(format!("{name}: {} records are left out: they repeat runs recorded before", of.doubled));
    }
    if of.disturbed > 0 {
        let runs = of.disturbed;
        lines.push(format!(
            "{name}: {runs} of {recorded} runs were disturbed, for the machine was not quiet (the report says why); they take part"
        ));
    }
    if of.torn {
        lines.push(format!("{name}: the last line of records.jsonl is torn and left out"));
    }
    lines
}

/// A worker whose share of the processor changed.
fn share(worker: &Worker<'_>) -> Option<String> {
    let (before, after) = worker.cores?;
    let first = worker.pairs.first()?;
    if worker.cores_change().abs() < SHARE_WORTH_SAYING {
        return None;
    }
    let name = format!("{} on {}", one_line(&first.before.name.model), one_line(&first.before.name.backend));
    Some(format!(
        "{name} had {} of a core, then {}: with the same threads that is competition for the processor, and as much \
         of a change against it claims nothing",
        percent(before),
        percent(after)
    ))
}

/// Where every backend moved alike and nothing differs, a runtime is an unlikely cause.
fn alike(workers: &[Worker<'_>], environment: &Environment) -> Option<String> {
    let backends = workers.iter().filter_map(|worker| Some(&worker.pairs.first()?.before.name.backend));
    let mut backends: Vec<&String> = backends.collect();
    backends.sort();
    backends.dedup();
    let levels: Vec<f64> = workers.iter().filter_map(Worker::change).collect();
    let least = levels.iter().copied().fold(f64::INFINITY, f64::min);
    let most = levels.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let one_way = least > 0.0 || most < 0.0;
    if backends.len() < 2 || !environment.differences.is_empty() || !one_way || most - least > ALIKE {
        return None;
    }
    Some(format!(
        "all {} backends moved alike ({} to {}) and nothing known differs around them: that looks like the machine \
         rather than a runtime",
        backends.len(),
        signed(least.exp_m1()),
        signed(most.exp_m1())
    ))
}
