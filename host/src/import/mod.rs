//! Results that other programs measured become records, marked as imported, beside ours: llama.cpp's `llama-bench` and
//! Hugging Face's `optimum-benchmark`.
//!
//! Each repetition in a file is a record. Figures are by inferhost's definitions; what a file does not say is null, and
//! where a tool measures something else than inferhost does, the record's note says so. All files are read and checked
//! before anything is written.

mod error;
mod llama_bench;
mod manifest;
mod names;
mod optimum;
mod read;
mod records;
mod series;

pub use error::ImportError;

use crate::record::Record;
use crate::store::{NewFolder, RecordLines, RunFolder, StoreError, read_manifest};
use names::Scenarios;
use records::Held;
use series::Series;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Names that the user gives.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Of the one model that the files are of.
    pub model: Option<String>,
    /// Of the backend.
    pub backend: Option<String>,
}

/// Where records go.
#[derive(Debug, Clone)]
pub enum Place {
    /// A folder that is not there yet.
    New(PathBuf),
    /// A run folder.
    Into(PathBuf),
}

/// What was imported.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The folder.
    pub folder: PathBuf,
    /// How many records.
    pub records: usize,
    /// Of which models.
    pub models: BTreeSet<String>,
    /// Of which backends.
    pub backends: BTreeSet<String>,
    /// In which scenarios.
    pub scenarios: BTreeSet<String>,
    /// What the user should know, a line each.
    pub notes: Vec<String>,
}

/// Reads `files` and adds their runs to `place`.
///
/// # Errors
/// Files that are damaged or of another kind, names that do not fit, runs that are there already, a folder that cannot
/// be written. Nothing is then written.
pub fn import(files: &[PathBuf], place: &Place, names: &Names) -> Result<Outcome, ImportError> {
    let (mut all, mut notes) = read::read(files)?;
    names::settle(&mut all, names)?;
    let (folder, records, found) = match place {
        Place::New(path) => write_new(path, &all)?,
        Place::Into(path) => add_to(path, &all)?,
    };
    notes.extend(found);
    let named = |name: fn(&Record) -> &String| records.iter().map(|record| name(record).clone()).collect();
    Ok(Outcome {
        folder,
        records: records.len(),
        models: named(|record| &record.model),
        backends: named(|record| &record.backend),
        scenarios: named(|record| &record.scenario),
        notes,
    })
}

type Written = (PathBuf, Vec<Record>, Vec<String>);

fn write_new(path: &Path, all: &[Series]) -> Result<Written, ImportError> {
    let records = records::records(all, &Scenarios::default(), Held::default(), "another of the files")?;
    let mut manifest = manifest::new(path, all);
    let notes = manifest::add(&mut manifest, all, &records);
    let folder = NewFolder::create(path)?;
    let mut lines = folder.records()?;
    for record in &records {
        let line = serde_json::to_vec(record).map_err(|error| StoreError::Io {
            action: "write",
            path: path.into(),
            source: error.into(),
        })?;
        lines.append(&line)?;
    }
    lines.finish()?;
    folder.commit(&manifest, &[])?;
    Ok((path.into(), records, notes))
}

fn add_to(path: &Path, all: &[Series]) -> Result<Written, ImportError> {
    let mut folder = RunFolder::open(path)?;
    let mut manifest = read_manifest(path)?;
    if manifest.ended_at.is_none() {
        return Err(ImportError::Unfinished { path: path.into() });
    }
    names::check_backends(all, &manifest)?;
    let (mut scenarios, mut held) = (Scenarios::of(&manifest), Held::default());
    let mut lines = RecordLines::open(path)?;
    while let Some(record) = lines.read()? {
        scenarios.add(&record);
        held.add(&record);
    }
    let records = records::records(all, &scenarios, held, &path.display().to_string())?;
    let notes = manifest::add(&mut manifest, all, &records);
    folder.append_all(&records, &manifest)?;
    Ok((path.into(), records, notes))
}
