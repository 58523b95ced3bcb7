//! The same cells before and after: another runtime version, another machine, another build.
//!
//! Cells of two run folders are paired by what they measure; what differs around them is listed first; each pair's change
//! is tested, and what is new, gone, newly degraded or no longer so is named. A change is told from noise by latency, in
//! three steps that share one family-wise rate: workers as a whole (`level`), then calls and single cells against the
//! rest of their worker (`contrast`). Degraded runs take part in no figure.

mod cells;
mod contrast;
mod environment;
mod failures;
mod families;
mod judge;
mod level;
mod markdown;
mod metric;
mod notes;
mod outcome;
mod pairing;
mod sample;
mod shift;
mod terminal;
mod verdicts;
mod words;
mod worker;

#[cfg(test)]
mod tests;

pub use markdown::markdown;
pub use metric::{Basis, FastestChange, Metric, MetricChange, SiblingChange, Verdict};
pub use outcome::{
    BackendChange, CellChange, CellName, CellRuns, Compared, Comparison, Difference, Environment, Failure,
    GroupChange, Health, SCHEMA, Settings, Side, Tests,
};
pub use pairing::BackendPair;
pub use terminal::{Listed, terminal};

use crate::store::StoreError;
use cells::Folder;
use std::path::{Path, PathBuf};

/// Why run folders cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A folder could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `--backend` names what is not there.
    #[error(
        "pair backend {name} of --backend: {folder} has no such backend; it has {known}; name one of them, as BEFORE=AFTER"
    )]
    UnknownBackend {
        /// As given.
        name: String,
        /// The folder that was searched.
        folder: PathBuf,
        /// Its backends.
        known: String,
    },
    /// Two pairs claim one backend.
    #[error("pair backend {name} of --backend: it is in two pairs; give each backend once")]
    PairedTwice {
        /// The backend.
        name: String,
    },
    /// A folder against itself, without other backends to hold against each other.
    #[error(
        "compare {folder} with itself: every cell would equal itself; name two of its backends, as --backend BEFORE=AFTER, \
         or give another run folder"
    )]
    SameFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// Nothing to compare.
    #[error(
        "compare {before} with {after}: no cell is in both ({before_cells} against {after_cells} cells); cells match by \
         model, backend, scenario, mode and cache; where a backend has another name, give --backend BEFORE=AFTER"
    )]
    NothingInCommon {
        /// The first folder.
        before: PathBuf,
        /// The other.
        after: PathBuf,
        /// Cells in the first.
        before_cells: usize,
        /// Cells in the other.
        after_cells: usize,
    },
}

/// Compares the run folder `before` with each of `afters`, one folder in memory beside the first at a time.
///
/// # Errors
/// [`CompareError`].
pub fn compare(
    before: &Path,
    afters: &[PathBuf],
    pairs: &[BackendPair],
    settings: Settings,
) -> Result<Compared, CompareError> {
    let first = Folder::read(before)?;
    let mut comparisons = Vec::with_capacity(afters.len());
    for after in afters {
        let same = is_same(before, after);
        if same && pairs.is_empty() {
            return Err(CompareError::SameFolder { folder: after.clone() });
        }
        let second = if same { None } else { Some(Folder::read(after)?) };
        comparisons.push(Comparison::of(&first, second.as_ref(), pairs, settings)?);
    }
    let regressed = comparisons.iter().any(|comparison| !comparison.failures.is_empty());
    Ok(Compared { schema: SCHEMA, settings, regressed, comparisons })
}

fn is_same(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}
