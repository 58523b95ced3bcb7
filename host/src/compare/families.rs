//! Every test of a comparison, with its p adjusted within its family.

use super::contrast;
use super::level::{Level, levels};
use super::shift::Tested;
use super::worker::Worker;
use crate::analysis::Call;
use crate::stats::holm;

/// The chances of a false claim in a comparison of two runs of the same: of a worker, of a call, of a cell. Together 5%.
pub(super) const WORKERS: f64 = 0.02;
pub(super) const CALLS: f64 = 0.01;
pub(super) const CELLS: f64 = 0.02;

/// A test and its p by Holm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adjusted {
    pub(super) tested: Tested,
    pub(super) p: f64,
}

/// What is known of one worker.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) level: Option<(Level, Adjusted)>,
    pub(super) calls: Vec<(Call, Adjusted)>,
    /// In the order of its pairs.
    pub(super) cells: Vec<Option<Adjusted>>,
}

/// In the order of the workers.
pub(super) fn findings(workers: &[Worker<'_>]) -> Vec<Findings> {
    let levels = levels(workers);
    let calls: Vec<Vec<(Call, Tested)>> = workers.iter().map(contrast::of_calls).collect();
    let cells: Vec<Vec<Option<Tested>>> = workers.iter().map(contrast::of_cells).collect();
    let mut of_workers = Family::of(levels.iter().flatten().map(|level| level.tested));
    let mut of_calls = Family::of(calls.iter().flatten().map(|(_, tested)| *tested));
    let mut of_cells = Family::of(cells.iter().flatten().flatten().copied());
    levels
        .into_iter()
        .zip(calls)
        .zip(cells)
        .map(|((level, calls), cells)| Findings {
            level: level.map(|level| (level, of_workers.next(level.tested))),
            calls: calls.into_iter().map(|(call, tested)| (call, of_calls.next(tested))).collect(),
            cells: cells.into_iter().map(|tested| tested.map(|tested| of_cells.next(tested))).collect(),
        })
        .collect()
}

/// Adjusted p-values, taken in the order in which the tests were given.
struct Family(std::vec::IntoIter<f64>);

impl Family {
    fn of(tests: impl Iterator<Item = Tested>) -> Self {
        Self(holm(&tests.map(|tested| tested.p).collect::<Vec<f64>>()).into_iter())
    }

    fn next(&mut self, tested: Tested) -> Adjusted {
        Adjusted { tested, p: self.0.next().unwrap_or(1.0) }
    }
}
