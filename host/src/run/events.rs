//! What a run tells whoever watches.

use crate::record::Record;

/// Something happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A slow step before the first run.
    Preparing(String),
    /// How far a slow step is.
    Building {
        /// Which.
        what: String,
        /// What is being done, and how far it is.
        step: String,
    },
    /// Something the user should know, once.
    Note(String),
    /// The matrix begins.
    Started {
        /// All runs of the plan.
        planned: u64,
        /// Those an earlier part recorded.
        recorded: u64,
    },
    /// A run is recorded.
    Recorded(&'a Record),
    /// A run need not be made.
    Spared,
}
