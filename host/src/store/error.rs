//! Why a run folder could not be written or read.

use std::io;
use std::path::{Path, PathBuf};

/// A run folder, or a file of one, that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A new matrix would mix its records with another's.
    #[error(
        "start a run in {path}: it already holds records; go on with that run by --resume, or give another --out"
    )]
    HoldsRecords {
        /// The folder.
        path: PathBuf,
    },
    /// A place that is taken.
    #[error("make a run folder at {path}: there is something already; give another --out")]
    NotEmpty {
        /// The place.
        path: PathBuf,
    },
    /// Not a run folder.
    #[error("read {path} as a run folder: there is no {missing} in it; give a folder that a run wrote")]
    NotARunFolder {
        /// The folder.
        path: PathBuf,
        /// The file it lacks.
        missing: &'static str,
    },
    /// Another host writes to it.
    #[error("lock {path}: another inferhost is writing to it; wait until it ends, or give another --out")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// What would be written lies elsewhere.
    #[error(
        "write to {path}: it is a link, a pipe or a device, and a run folder is written to within itself alone; put a plain file or folder there"
    )]
    NotPlain {
        /// The link, or whatever it is.
        path: PathBuf,
    },
    /// A record that did not reach the disk.
    #[error(
        "append a record to {path}: {source}; the records before it are whole, so mend that and go on by --resume"
    )]
    Append {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line that no crash explains.
    #[error("read {path}: line {line} is no record ({reason}); mend or delete that line")]
    MalformedRecord {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A manifest that cannot be understood.
    #[error("read {path}: it is no manifest ({reason}); restore it, or run the matrix again")]
    MalformedManifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Written by a newer host.
    #[error("read {path}: its schema is {found}, this inferhost reads up to {known}; upgrade inferhost")]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The file's schema.
        found: u32,
        /// The latest this host reads.
        known: u32,
    },
    /// Written by no release.
    #[error(
        "read {path}: its schema is {found}, and no inferhost since the first release wrote one below {known}; run the matrix again"
    )]
    OlderSchema {
        /// The file.
        path: PathBuf,
        /// The file's schema.
        found: u32,
        /// The only one this host reads.
        known: u32,
    },
}

impl StoreError {
    /// For `map_err`: what was tried, on what.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }
}
