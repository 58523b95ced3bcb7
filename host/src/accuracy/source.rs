//! The corpus file: a text, or token ids.

use crate::config::AccuracySettings;
use crate::input;
use crate::model::ModelError;
use std::path::{Path, PathBuf};

/// Why there is no dataset.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The corpus cannot be read.
    #[error("accuracy.{key}: cannot read {path}: {reason}")]
    Unreadable {
        /// `text` or `tokens`.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to give.
        reason: String,
    },
    /// The model has no tokenizer, or one that fails.
    #[error("model `{model}`: accuracy.text: {source}")]
    Tokenizer {
        /// Which.
        model: String,
        /// Why.
        source: ModelError,
    },
    /// The corpus and the model do not fit each other.
    #[error("model `{model}`: {reason}")]
    Misfit {
        /// Which.
        model: String,
        /// What was found, what was expected and what to do.
        reason: String,
    },
}

/// What a corpus file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A text, to be tokenised by each model's own tokenizer.
    Text(String),
    /// Token ids, the same for every model.
    Tokens(Vec<Vec<u32>>),
}

impl Source {
    /// Reads the corpus that `settings` name.
    ///
    /// # Errors
    /// A file that is not there, is not what it should be, or holds nothing.
    pub fn read(settings: &AccuracySettings) -> Result<Self, DatasetError> {
        match &settings.text {
            Some(path) => text(path).map(Self::Text),
            None => listed(settings.corpus()).map(Self::Tokens),
        }
    }
}

fn text(path: &Path) -> Result<String, DatasetError> {
    let unreadable = |reason: String| DatasetError::Unreadable { key: "text", path: path.into(), reason };
    let text =
        input::text(path, input::CORPUS).map_err(|e| unreadable(format!("{e}; give a UTF-8 text file")))?;
    if text.trim().is_empty() {
        return Err(unreadable("it is empty; give a text".into()));
    }
    Ok(text)
}

fn listed(path: &Path) -> Result<Vec<Vec<u32>>, DatasetError> {
    let unreadable = |reason: String| DatasetError::Unreadable { key: "tokens", path: path.into(), reason };
    let wanted = "give [ids] or [[ids], ...]";
    let text = input::text(path, input::TOKENS).map_err(|e| unreadable(format!("{e}; {wanted}")))?;
    let rows: Vec<Vec<u32>> =
        if text.trim_start().strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with('[')) {
            serde_json::from_str(&text)
        } else {
            serde_json::from_str(&text).map(|row| vec![row])
        }
        .map_err(|e| unreadable(format!("{e}; {wanted}")))?;
    match rows.iter().position(Vec::is_empty) {
        None if !rows.is_empty() => Ok(rows),
        None => Err(unreadable(format!("it is empty; {wanted}"))),
        Some(row) => Err(unreadable(format!("list {row} is empty; {wanted}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], is_text: bool) -> Result<Source, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = Some(file.path().to_path_buf());
        let settings = AccuracySettings::default();
        let settings = match is_text {
            true => AccuracySettings { text: path, ..settings },
            false => AccuracySettings { tokens: path, ..settings },
        };
        Source::read(&settings).map_err(|error| error.to_string())
    }

    #[test]
    fn tokens_are_a_list_or_a_list_of_lists() {
        assert_eq!(read(b" [1, 2]\n", false), Ok(Source::Tokens(vec![vec![1, 2]])));
        assert_eq!(read(b"[\n [1], [2, 3]]", false), Ok(Source::Tokens(vec![vec![1], vec![2, 3]])));
        for (bad, part) in [
            ("", "EOF"),
            ("[]", "empty"),
            ("[[]]", "list 0 is empty"),
            ("[[1], []]", "list 1 is empty"),
            ("[-1]", "-1"),
            ("[1.5]", "1.5"),
            ("{\"tokens\": [1]}", "map"),
            ("[[1], 2]", "expected a sequence"),
        ] {
            let message = read(bad.as_bytes(), false).unwrap_err();
            assert!(message.contains("accuracy.tokens") && message.contains(part), "{bad}: {message}");
            assert!(message.contains("give [ids] or [[ids], ...]"), "{message}");
        }
    }

    #[test]
    fn a_text_is_utf_8_and_not_empty() {
        assert_eq!(read("é".as_bytes(), true), Ok(Source::Text("é".into())));
        assert!(read(b"ab\xff", true).unwrap_err().contains("byte 2 is not UTF-8"));
        assert!(read(b" \n", true).unwrap_err().contains("it is empty"));
    }
}
