//! Why results cannot be imported, in one line each.

use crate::store::StoreError;
use std::path::PathBuf;

/// What is wrong with a file, a name or the folder.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A folder that cannot be read or written.
    #[error("failed to {0}")]
    Store(#[from] StoreError),
    /// A file that is not there, or no text.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is of neither tool, or damaged.
    #[error("{path}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in it and what is wrong.
        reason: String,
    },
    /// A name that cannot be used, or does not fit what is in the files.
    #[error("{0}")]
    Name(String),
    /// The same results again.
    #[error("{file} is imported already: {folder} holds the same {runs} runs of {cell}; leave it out")]
    Doubled {
        /// The file.
        file: String,
        /// Where they are.
        folder: String,
        /// How many.
        runs: usize,
        /// Of what.
        cell: String,
    },
    /// A run that may still add records.
    #[error("{path} has not ended, so nothing is added to it; finish it by `run --resume` first")]
    Unfinished {
        /// The folder.
        path: PathBuf,
    },
}
