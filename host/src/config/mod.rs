//! The config file: [`file`] holds what a user writes, and [`load`] turns it into a [`Config`] in which every
//! default is filled in, every path is absolute and every name is known to be sound.

mod accuracy;
mod check;
mod difference;
mod error;
mod file;
mod report;

pub use accuracy::{AccuracySettings, Thresholds};
pub(crate) use check::check_name;
pub(crate) use difference::{first_difference, measured, without_places};
pub use error::ConfigError;
pub(crate) use error::nearest;
pub use file::{Backend, Model, Positions, RunSettings, Sampling, Scenario};
pub use report::ReportSettings;

use crate::input;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A config as resolved: what the manifest keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Names the run folder.
    pub name: String,
    /// Of prompts and order.
    pub seed: u64,
    /// The backend that others are compared with.
    pub baseline: String,
    /// How the matrix is run.
    pub run: RunSettings,
    /// What is run.
    pub models: Vec<Model>,
    /// On what.
    pub backends: Vec<Backend>,
    /// In which shapes.
    pub scenarios: Vec<Scenario>,
    /// On which corpus backends are held against the baseline; none: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<AccuracySettings>,
    /// What reports are to know beside the measurements.
    #[serde(default)]
    pub report: ReportSettings,
}

/// Reads, resolves and checks the config at `path`. Paths in it are relative to its folder.
///
/// # Errors
/// One line that names the file, the line, the key and what would be right.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = input::text(path, input::CONFIG)
        .map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
    let written = file::parse(&text, path)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let config = resolve(written, folder);
    check::check(&config).map_err(|reason| ConfigError::Unsound { path: path.into(), reason })?;
    Ok(config)
}

/// The config that a manifest keeps.
///
/// # Errors
/// One line: the first thing that is none, or that does not fit.
pub fn from_manifest(written: &serde_json::Value) -> Result<Config, String> {
    let config: Config = serde_json::from_value(written.clone()).map_err(|error| error.to_string())?;
    check::check(&config)?;
    Ok(config)
}

fn resolve(written: file::ConfigFile, folder: &Path) -> Config {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let file::ConfigFile {
        name,
        seed,
        baseline,
        mut run,
        mut models,
        mut backends,
        scenarios,
        accuracy,
        report,
    } = written;
    for model in models.iter_mut().filter(|m| !m.source.contains(':')) {
        model.source = folder.join(&model.source).display().to_string();
    }
    for backend in backends.iter_mut().filter(|b| crate::plugins::is_path(&b.plugin)) {
        backend.plugin = folder.join(&backend.plugin).display().to_string();
    }
    for pin in backends.iter_mut().filter_map(|b| b.sha256.as_mut()) {
        pin.make_ascii_lowercase();
    }
    for artifact in backends.iter_mut().filter_map(|b| b.artifact.as_mut()) {
        *artifact = with_absolute_corpus(artifact, &folder);
    }
    run.prompt_text = run.prompt_text.map(|text| folder.join(text));
    let baseline = baseline.or_else(|| backends.first().map(|b| b.name.clone())).unwrap_or_default();
    let accuracy = accuracy.map(|accuracy| accuracy.resolve(&folder));
    Config { name, seed, baseline, run, models, backends, scenarios, accuracy, report }
}

/// The corpus of a calibration is a path like the others in the file.
fn with_absolute_corpus(artifact: &str, folder: &Path) -> String {
    let setting = |setting: &str| match setting.strip_prefix("corpus=") {
        Some(path) if !path.is_empty() => format!("corpus={}", folder.join(path).display()),
        _ => setting.to_string(),
    };
    match artifact.split_once('?') {
        None => artifact.to_string(),
        Some((name, settings)) => {
            let settings: Vec<String> = settings.split('&').map(setting).collect();
            format!("{name}?{}", settings.join("&"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corpus_lies_beside_its_config() {
        let absolute = |artifact| with_absolute_corpus(artifact, Path::new("/c"));
        assert_eq!(
            absolute("onnx-int8-qdq?samples=2&corpus=a/b.txt"),
            "onnx-int8-qdq?samples=2&corpus=/c/a/b.txt"
        );
        assert_eq!(absolute("onnx-int8-qdq?corpus=/t.txt"), "onnx-int8-qdq?corpus=/t.txt");
        assert_eq!(absolute("onnx-fp32"), "onnx-fp32");
    }
}
