//! What can be wrong with a config, in one line each.

use std::path::{Path, PathBuf};

/// Why a config cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read config {path}: {source}; give the path of a TOML file, such as configs/quickstart.toml"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not TOML, or not of the right keys and types.
    #[error("{path}:{line}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What was found and what is right.
        reason: String,
    },
    /// Every key is right, but together they make no sense.
    #[error("{path}: {reason}")]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What does not fit and what to do.
        reason: String,
    },
}

impl ConfigError {
    pub(super) fn from_toml(error: &toml::de::Error, text: &str, path: &Path) -> Self {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|&b| b == b'\n').count() + 1;
        let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        let reason = unknown_name(&message).unwrap_or(message);
        Self::Malformed { path: path.into(), line, reason }
    }
}

/// serde's "unknown field `x`, expected one of `a`, `b`" with the nearest right name first.
fn unknown_name(message: &str) -> Option<String> {
    let what = if message.starts_with("unknown field") {
        "key"
    } else if message.starts_with("unknown variant") {
        "value"
    } else {
        return None;
    };
    let mut quoted = message.split('`').skip(1).step_by(2);
    let found = quoted.next()?;
    let known: Vec<&str> = quoted.collect();
    let nearest = nearest(found, known.iter().copied());
    let hint = nearest.map_or(String::new(), |name| format!("; did you mean `{name}`?"));
    Some(format!("unknown {what} `{found}`{hint} (known: {})", known.join(", ")))
}

/// The name most like `found`, where one is like enough to be meant.
pub(crate) fn nearest<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::jaro_winkler(found, name), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
