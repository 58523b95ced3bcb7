//! What a run folder says, for people: `report.html`, `plots/*.svg`, `report.md`, tables as CSV, `analysis.json` and a
//! text for the terminal.
//!
//! A report is made from a run folder alone, also while the matrix still runs and long after on another machine.
//! Names and messages come from configs and plugins, so each output strips or escapes what would mean something to it.

mod accuracy;
mod answer;
mod artifacts;
mod charts;
mod comparisons;
mod crossing;
mod csv;
pub(crate) mod figure;
mod flag;
mod html;
mod losses;
mod markdown;
mod plot;
mod plots;
mod resources;
mod result;
mod series;
mod terminal;

pub use terminal::Layout;

use crate::analysis::{Analysis, Observations, analyse};
use crate::config::ReportSettings;
use crate::manifest::Manifest;
use crate::stats::Test;
use crate::store::{StoreError, read_evaluations, read_manifest, stream_records, write_atomic};
use series::Tracks;
use std::path::{Path, PathBuf};

/// The page's file in a run folder.
pub const PAGE: &str = "report.html";

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The run folder could not be read, or a file of the report not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The table of cells could not be put into CSV.
    #[error("write a table as CSV: {0}")]
    Csv(#[from] ::csv::Error),
    /// What the manifest says of reports makes no sense.
    #[error("read {path}: {reason}; mend its config")]
    Settings {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The analysis could not be put into JSON.
    #[error("write the analysis as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// A run folder, read and analysed.
#[derive(Debug, Clone)]
pub struct Report {
    /// What the matrix was.
    pub manifest: Manifest,
    /// What its records say; serialise it for a machine to read.
    pub analysis: Analysis,
    /// What workers used over time.
    tracks: Tracks,
}

impl Report {
    /// Reads the run folder at `run_dir`, with `test` for differences; takes no lock and changes nothing.
    ///
    /// # Errors
    /// A folder that is no run folder, or whose files are damaged.
    pub fn read(run_dir: &Path, test: Test) -> Result<Self, ReportError> {
        let mut manifest = read_manifest(run_dir)?;
        let mut observations = Observations::default();
        let torn = stream_records(run_dir, |line, record| observations.push(line, record))?;
        observations.set_torn(torn);
        let settings = ReportSettings::of(&manifest.config)
            .map_err(|reason| ReportError::Settings { path: run_dir.join("manifest.json"), reason })?;
        let analysis = analyse(&manifest, observations, &read_evaluations(run_dir)?, test, settings);
        let tracks = Tracks::read(run_dir, &manifest, &analysis)?;
        // Told where every other note on the folder is.
        manifest.notes.extend(tracks.notes.iter().cloned());
        Ok(Self { manifest, analysis, tracks })
    }

    /// Writes `report.md`, `summary.csv`, `comparisons.csv`, `analysis.json`, where accuracy was evaluated `accuracy.csv`,
    /// `plots/*.svg` and `report.html` into `run_dir`, each whole or not at all, and returns their paths, of plots their
    /// folder's; the page comes last.
    ///
    /// # Errors
    /// What the system refused.
    pub fn write(&self, run_dir: &Path) -> Result<Vec<PathBuf>, ReportError> {
        let charts = charts::charts(&self.manifest, &self.analysis, &self.tracks);
        let text = markdown::markdown(&self.manifest, &self.analysis) + &plots::markdown(&charts);
        let mut files = vec![
            (run_dir.join("report.md"), text.into_bytes()),
            (run_dir.join("summary.csv"), csv::csv(&self.analysis.cells)?),
            (run_dir.join("comparisons.csv"), comparisons::csv(&self.analysis.comparisons)?),
            (run_dir.join("analysis.json"), json(&self.analysis)?),
        ];
        if let Some(accuracy) = &self.analysis.accuracy {
            files.push((run_dir.join("accuracy.csv"), accuracy::csv(accuracy)?));
        }
        for (path, content) in &files {
            write_atomic(path, content)?;
        }
        let mut written: Vec<PathBuf> = files.into_iter().map(|(path, _)| path).collect();
        written.extend(plots::write(run_dir, &charts)?);
        let page = run_dir.join(PAGE);
        write_atomic(&page, html::page(&self.manifest, &self.analysis, &charts).as_bytes())?;
        written.push(page);
        Ok(written)
    }

    /// The report as text.
    pub fn terminal(&self, layout: Layout) -> String {
        terminal::terminal(&self.manifest, &self.analysis, layout)
    }
}

fn json(analysis: &Analysis) -> Result<Vec<u8>, ReportError> {
    let mut text = serde_json::to_vec_pretty(analysis)?;
    text.push(b'\n');
    Ok(text)
}

/// Reads the run folder at `run_dir`, writes its report into it and returns the text for the terminal.
///
/// # Errors
/// As [`Report::read`] and [`Report::write`].
pub fn report(run_dir: &Path, layout: Layout) -> Result<String, ReportError> {
    let report = Report::read(run_dir, Test::default())?;
    report.write(run_dir)?;
    Ok(report.terminal(layout))
}

#[cfg(test)]
mod tests;
