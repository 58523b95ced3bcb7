//! Whether a worker as a whole changed: the mean over its cells.
//!
//! The runs of one worker share its level: its memory layout, its minute, its neighbours. Averaging over cells and
//! repetitions leaves that, so two runs of the same differ by more than their scatter allows. How much, `scripts/bench/aa.py`
//! measured; the constants here are its result.

use super::shift::{Tested, competition, mean};
use super::worker::Worker;
use crate::stats::{quantile, summary};

/// A level varies by this share of the standard deviation of the worker's single runs.
const OF_A_RUN: f64 = 0.5;
/// And by this, as a logarithm, where no other worker shows what the machine did between the runs.
const ALONE: f64 = 0.05;
/// And by this at least where others do.
const QUIET: f64 = 0.04;
/// How many times what the others show.
const OF_OTHERS: f64 = 2.0;
/// How well that is known.
const DF: f64 = 12.0;

/// A worker's change with what its level's error is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    pub(super) tested: Tested,
    /// The squared error of the level, the cells' own errors left out.
    squared_error: f64,
}

impl Level {
    /// What a single cell changed by, the level's error included; not to be tested.
    pub(super) fn of_cell(&self, change: f64, error: f64) -> Tested {
        Tested::new(change, 0.0, self.squared_error + error, DF)
    }
}

/// In the order of the workers; none where none of a worker's cells has two ok runs on both sides.
pub(super) fn levels(workers: &[Worker<'_>]) -> Vec<Option<Level>> {
    let changes: Vec<Option<f64>> = workers.iter().map(Worker::change).collect();
    let known: Vec<f64> = changes.iter().flatten().copied().collect();
    let apart = summary(&known).sd;
    let level = |(index, worker): (usize, &Worker<'_>)| {
        let others = changes.iter().enumerate().filter(|(other, _)| *other != index);
        let moved: Vec<f64> = others.filter_map(|(_, change)| Some(change.as_ref()?.abs())).collect();
        // Where all moved alike, or most did not move, the machine was the same.
        let noise = quantile(&moved, 0.5).zip(apart).map(|(moved, apart)| OF_OTHERS * moved.min(apart));
        Some(of(worker, changes[index]?, noise.map_or(ALONE, |noise| noise.max(QUIET))))
    };
    workers.iter().enumerate().map(level).collect()
}

fn of(worker: &Worker<'_>, change: f64, floor: f64) -> Level {
    let shifts = || worker.shifts().map(|(_, shift)| shift);
    let side = |side: usize| (OF_A_RUN * mean(shifts().map(|shift| shift.spread[side]))).powi(2);
    let cores = [mean(shifts().map(|shift| shift.cores)), worker.cores_change()];
    let competing = cores.map(|cores| competition(change, cores)).into_iter().fold(0.0, f64::max);
    let squared_error = side(0) + side(1) + floor * floor + competing * competing;
    let cells = shifts().count() as f64;
    let error = mean(shifts().map(|shift| shift.error));
    let spread = if cells > 1.0 {
        shifts().map(|shift| (shift.change - change).powi(2)).sum::<f64>() / (cells - 1.0)
    } else {
        0.0
    };
    let tested = Tested::new(change, change, squared_error + error.max(spread) / cells, DF);
    Level { tested, squared_error }
}
