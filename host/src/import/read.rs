//! From files to series. Which tool wrote a file is told by what is in it.

use super::series::Series;
use super::{ImportError, llama_bench, optimum};
use jiff::Timestamp;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// A file that was read.
pub(super) struct Text<'a> {
    pub(super) path: &'a Path,
    pub(super) content: String,
    /// When it was written last: the time of runs that do not say when they were.
    pub(super) written_at: String,
}

impl Text<'_> {
    pub(super) fn read(path: &Path) -> Result<Text<'_>, ImportError> {
        let unreadable = |source| ImportError::Unreadable { path: path.into(), source };
        // What some shells put before the output of a program.
        let content =
            fs::read_to_string(path).map_err(unreadable)?.trim_start_matches('\u{feff}').to_string();
        let modified = fs::metadata(path).and_then(|of| of.modified()).map_err(unreadable)?;
        let written_at = Timestamp::try_from(modified).unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(Text { path, content, written_at: format!("{written_at:.3}") })
    }

    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(super) fn malformed(&self, reason: impl Into<String>) -> ImportError {
        ImportError::Malformed { path: self.path.into(), reason: reason.into() }
    }
}

/// All that `paths` hold, and what of it was left out, a line each.
pub(super) fn read(paths: &[PathBuf]) -> Result<(Vec<Series>, Vec<String>), ImportError> {
    let (mut all, mut notes) = (Vec::new(), Vec::new());
    for path in paths {
        let text = Text::read(path)?;
        match kind(&text.content) {
            Kind::LlamaBench => all.extend(llama_bench::read(&text)?),
            Kind::Optimum => {
                let (series, left_out) = optimum::read(&text)?;
                all.extend(series);
                notes.extend(left_out);
            }
            Kind::OptimumConfig => {
                return Err(text.malformed(
                    "this is a config of optimum-benchmark, not results; give the benchmark_report.json beside it",
                ));
            }
            Kind::Unknown(reason) => return Err(text.malformed(reason)),
        }
    }
    Ok((all, notes))
}

enum Kind {
    LlamaBench,
    Optimum,
    OptimumConfig,
    /// And why.
    Unknown(String),
}

const NEITHER: &str = "these are results of neither llama-bench (-o json or jsonl) nor optimum-benchmark (benchmark_report.json)";

/// By the keys of the first object; a file that is damaged further on is still of its tool, which then says where.
fn kind(content: &str) -> Kind {
    let content = content.trim_start();
    if content.is_empty() {
        return Kind::Unknown(format!("the file is empty; {NEITHER}"));
    }
    let damaged = |error: serde_json::Error| Kind::Unknown(format!("{error}; {NEITHER}"));
    if content.starts_with('[') {
        let is_llama_bench = content.contains("\"n_prompt\"") || content.contains("\"samples_ns\"");
        return if is_llama_bench { Kind::LlamaBench } else { Kind::Unknown(NEITHER.into()) };
    }
    match serde_json::Deserializer::from_str(content).into_iter::<Value>().next() {
        Some(Ok(first)) => kind_of(&first),
        Some(Err(error)) => damaged(error),
        None => Kind::Unknown(NEITHER.into()),
    }
}

fn kind_of(first: &Value) -> Kind {
    let has = |key: &str| first.get(key).is_some();
    let is_section = |value: &Value| value.get("latency").is_some() || value.get("memory").is_some();
    if has("n_prompt") || has("samples_ns") {
        return Kind::LlamaBench;
    }
    if has("report") && has("config") {
        return Kind::Optimum;
    }
    if has("backend") && (has("scenario") || has("benchmark")) {
        return Kind::OptimumConfig;
    }
    match first.as_object() {
        Some(sections) if sections.values().any(is_section) => Kind::Optimum,
        _ => Kind::Unknown(NEITHER.into()),
    }
}
