//! Several run folders of one config become one: shards, resumed parts, runs on other machines.
//!
//! What must not differ is compared first, and the first difference stops the merge. Records are then read as one
//! stream in the order of time and written as they are, each run once; what may differ is told in notes, which the
//! manifest keeps. The new folder appears whole or not at all, and the old ones stay as they are.

mod compare;
mod error;
mod evaluations;
mod manifest;
mod part;
mod records;
#[cfg(test)]
mod tests;

pub use error::MergeError;

use crate::manifest::Manifest;
use crate::store::{NewFolder, StoreError};
use part::Part;
use records::{Rounds, Written};
use std::fs;
use std::path::{Path, PathBuf};

/// What may be merged that otherwise is refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The runs of each further folder count as further rounds.
    pub as_rounds: bool,
    /// Plugins and runtimes may differ.
    pub allow_versions: bool,
}

/// A folder that was made of others.
#[derive(Debug, Clone)]
pub struct Merged {
    /// Its manifest.
    pub manifest: Manifest,
    /// What was seen on the way, beside the manifest's notes.
    pub notes: Vec<String>,
}

/// Makes the run folder `out` of those at `paths`.
///
/// # Errors
/// Folders that do not belong together, cannot be read, or are being written to; an `out` that is taken. `out` is then
/// as it was.
pub fn merge(paths: &[PathBuf], out: &Path, options: Options) -> Result<Merged, MergeError> {
    let parts = part::open(paths, out)?;
    let kept = compare::compare(&parts, options)?;
    let evaluations = evaluations::read(&parts)?;
    let folder = NewFolder::create(out)?;
    let mut records = folder.records()?;
    let rounds = if options.as_rounds { Rounds::Further } else { Rounds::Same };
    let written = records::write(&parts, rounds, &mut records)?;
    records.finish()?;
    let (mut series, mut other_columns) = (folder.series(), Vec::new());
    for part in &parts {
        copy_logs(&part.path.join("logs"), &folder.logs_dir().join(&part.name))?;
        other_columns.extend(series.add(&part.path)?);
    }
    series.finish()?;
    let mut notes = seen_on_the_way(&parts, &written);
    notes.extend(other_columns.iter().map(|path| {
        format!("{} is left out: another inferhost wrote it, with other columns.", path.display())
    }));
    let manifest = manifest::unite(&parts, options, &written, &kept);
    folder.commit(&manifest, &evaluations)?;
    Ok(Merged { manifest, notes })
}

fn seen_on_the_way(parts: &[Part], written: &Written) -> Vec<String> {
    let mut notes: Vec<String> = compare::missing_shards(parts).into_iter().collect();
    if written.repeated > 0 {
        notes.push(format!("{} records are in more than one folder and count once.", written.repeated));
    }
    let torn = written.torn.iter().map(|&part| {
        format!("The last line of records.jsonl in {} is torn and left out.", parts[part].path.display())
    });
    notes.extend(torn);
    notes
}

/// Copies what is below `from`, where that is there.
fn copy_logs(from: &Path, to: &Path) -> Result<(), StoreError> {
    let io = |action, path: &Path| {
        let path = path.to_path_buf();
        move |source| StoreError::Io { action, path, source }
    };
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io("read", from))?,
    };
    for entry in entries {
        let entry = entry.map_err(io("read", from))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(io("read", &from))?;
        if kind.is_dir() {
            copy_logs(&from, &to)?;
        } else if kind.is_file() {
            // Neither a link to elsewhere nor a pipe, whose end never comes.
            let folder = to.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder).map_err(io("create", folder))?;
            fs::copy(&from, &to).map_err(io("copy", &from))?;
        }
    }
    Ok(())
}
