//! Why run folders cannot be merged, in one line each.

use crate::store::StoreError;
use std::path::PathBuf;

/// What does not belong together.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A folder that cannot be read or written.
    #[error("failed to {0}")]
    Store(#[from] StoreError),
    /// Nothing to put together.
    #[error("{path} alone cannot be merged; give two run folders or more")]
    Alone {
        /// The folder.
        path: PathBuf,
    },
    /// The same folder again.
    #[error("{path} is given twice; name each run folder once")]
    Twice {
        /// The folder.
        path: PathBuf,
    },
    /// A result on top of what it is made from.
    #[error("--out {path} is one of the folders to merge; give a new folder")]
    OutIsPart {
        /// The folder.
        path: PathBuf,
    },
    /// A fact of the whole run that is not the same in both.
    #[error(transparent)]
    Differs(Box<Difference>),
    /// A run that was made twice.
    #[error("{a} and {b} hold different records of the same run ({run}); {remedy}")]
    Records {
        /// The first folder.
        a: PathBuf,
        /// The other.
        b: PathBuf,
        /// Which run.
        run: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A copy that is to count as a further round.
    #[error(
        "{a} and {b} hold the very same record ({run}), which is one run and no further round; leave one folder out"
    )]
    Copied {
        /// The first folder.
        a: PathBuf,
        /// The other.
        b: PathBuf,
        /// Which run.
        run: String,
    },
    /// A backend that was evaluated twice.
    #[error(
        "{a} and {b} hold different evaluations of {backend} on {model}; delete the line of one from its accuracy.jsonl"
    )]
    Evaluations {
        /// The first folder.
        a: PathBuf,
        /// The other.
        b: PathBuf,
        /// Of which model.
        model: String,
        /// Of which backend.
        backend: String,
    },
    /// Rounds beyond what a number holds.
    #[error(
        "the rounds of {path} cannot be counted on: its record of {run} is of the last round there can be"
    )]
    Rounds {
        /// The folder.
        path: PathBuf,
        /// Which run.
        run: String,
    },
}

/// A fact that must be the same in two folders, and is not.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} and {} do not belong together: {what} is {} in the first and {} in the second; {remedy}",
    folders[0].display(), folders[1].display(), values[0], values[1]
)]
pub struct Difference {
    /// The folders.
    pub folders: [PathBuf; 2],
    /// Which fact.
    pub what: String,
    /// What it is in each.
    pub values: [String; 2],
    /// What to do.
    pub remedy: &'static str,
}
