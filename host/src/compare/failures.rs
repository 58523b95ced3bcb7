//! What makes the exit code 1.

use super::metric::{Basis, MetricChange, Verdict};
use super::outcome::{CellChange, Failure, GroupChange, Health, Settings};

/// A cell whose change is more than this many times that of its group has a regression of its own.
const MUCH_MORE: f64 = 2.0;

/// Groups first, then the cells that none of them explains, then what is newly degraded.
pub(super) fn failures(groups: &[GroupChange], cells: &[CellChange], settings: Settings) -> Vec<Failure> {
    let beyond = |change: f64| change > settings.fail_above;
    let failing: Vec<&GroupChange> =
        groups.iter().filter(|group| group.verdict == Verdict::Slower && beyond(group.change)).collect();
    let mut failures: Vec<Failure> = failing.iter().map(|group| of_group(group)).collect();
    let is_covered = |cell: &CellChange, change: f64| {
        failing.iter().any(|group| {
            let same = group.model == cell.cell.model && group.backend == cell.cell.backend;
            same && group.call.is_none_or(|call| call == cell.cell.call) && change <= MUCH_MORE * group.change
        })
    };
    for cell in cells {
        for metric in cell.metrics.iter().filter(|metric| metric.verdict == Verdict::Slower) {
            let size = claimed(metric);
            if beyond(size) && !is_covered(cell, size) {
                let change = metric.change.unwrap_or_default();
                failures.push(Failure::Slower { cell: cell.cell.clone(), change });
            }
        }
    }
    for cell in cells.iter().filter(|cell| cell.health == Health::NewlyDegraded) {
        let runs = cell.after.degraded.values().sum();
        failures.push(Failure::NewlyDegraded { cell: cell.cell.clone(), runs });
    }
    failures
}

fn of_group(group: &GroupChange) -> Failure {
    Failure::GroupSlower {
        model: group.model.clone(),
        backend: group.backend.clone(),
        call: group.call,
        change: group.change,
        cells: group.cells,
    }
}

/// As a share; against the other cells the smaller of both estimates.
fn claimed(of: &MetricChange) -> f64 {
    let change = of.fastest.map_or(0.0, |fastest| fastest.change);
    match of.beyond_siblings {
        Some(beyond) if of.basis == Some(Basis::Cell) => change.min(beyond.change),
        _ => change,
    }
}
