//! From a corpus to the windows of tokens that a model is scored on.
//!
//! A row of tokens is cut into windows of `window` tokens, `stride` apart. Disjoint windows (a stride of a window)
//! each predict all their tokens but the first, which nothing precedes; the last, shorter window counts too. Windows
//! that overlap predict only tokens that the one before does not hold.

use super::{DatasetError, Source};
use crate::config::AccuracySettings;
use crate::digest::hex;
use crate::model::ResolvedModel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Most bytes of one window's logits where no window is asked for.
const MOST_WINDOW_BYTES: u64 = 4 << 30;

/// A model's corpus, cut into windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// What it is, for records.
    pub corpus: Corpus,
    /// Number of token ids.
    pub vocab_size: u32,
    /// Windows of one call.
    pub batch: usize,
    /// In order.
    pub windows: Vec<Window>,
    tokens: Vec<u32>,
}

/// What a backend was scored on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Corpus {
    /// The file's name.
    pub name: String,
    /// SHA-256 over the token ids.
    pub sha256: String,
    /// Token ids used.
    pub tokens: u64,
    /// Those predicted.
    pub predicted: u64,
    /// Number of windows.
    pub windows: u64,
    /// Most tokens of one.
    pub window: u32,
    /// Tokens from one's start to the next.
    pub stride: u32,
}

/// A stretch of the tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Of all tokens.
    pub tokens: Range<usize>,
    /// The first of its tokens that is predicted, from 1.
    pub first_scored: u32,
}

impl Dataset {
    /// `source`, the content of the corpus of `settings`, for `model`, which is called `name`.
    ///
    /// # Errors
    /// [`DatasetError`], before anything has run.
    pub fn new(
        source: &Source,
        settings: &AccuracySettings,
        name: &str,
        model: &ResolvedModel,
    ) -> Result<Self, DatasetError> {
        let misfit = |reason: String| DatasetError::Misfit { model: name.into(), reason };
        let vocab_size = model.config.vocab_size.filter(|&size| size > 0).ok_or_else(|| {
            misfit("its vocabulary's size is not known; add a config.json with vocab_size".into())
        })?;
        let mut rows = match source {
            Source::Text(text) => {
                let wrong = |source| DatasetError::Tokenizer { model: name.into(), source };
                vec![model.load_tokenizer().and_then(|tokenizer| tokenizer.encode(text)).map_err(wrong)?]
            }
            Source::Tokens(rows) => rows.clone(),
        };
        in_vocabulary(settings, &rows, vocab_size).map_err(misfit)?;
        cut(&mut rows, settings.max_tokens).map_err(misfit)?;
        let (window, stride) =
            sizes(settings, model.config.context_length, vocab_size, &rows).map_err(misfit)?;
        let windows = windows(&rows, window as usize, stride as usize);
        if windows.is_empty() {
            return Err(misfit("no list of the corpus has 2 tokens, so nothing is predicted".into()));
        }
        let batch = settings.windows_at_once(window, vocab_size) as usize;
        let tokens = rows.concat();
        let corpus = Corpus {
            name: settings.corpus().file_name().unwrap_or_default().to_string_lossy().into_owned(),
            sha256: sha256(&rows),
            tokens: tokens.len() as u64,
            predicted: windows.iter().map(Window::scored).sum(),
            windows: windows.len() as u64,
            window,
            stride,
        };
        Ok(Self { corpus, vocab_size, batch, windows, tokens })
    }

    /// The tokens of a window.
    pub fn tokens(&self, window: &Window) -> &[u32] {
        &self.tokens[window.tokens.clone()]
    }
}

impl Window {
    /// How many of its tokens are predicted.
    pub fn scored(&self) -> u64 {
        self.tokens.len() as u64 - u64::from(self.first_scored)
    }
}

fn in_vocabulary(settings: &AccuracySettings, rows: &[Vec<u32>], vocab_size: u32) -> Result<(), String> {
    let outside = rows.iter().flatten().position(|&id| id >= vocab_size);
    let Some(at) = outside else { return Ok(()) };
    let id = rows.iter().flatten().nth(at).copied().unwrap_or_default();
    let path = settings.corpus().display();
    Err(match settings.text {
        Some(_) => format!(
            "its tokenizer does not fit it: token {at} of {path} becomes id {id}, and the vocabulary has {vocab_size}"
        ),
        None => format!(
            "{path}: token {at} is {id}, outside the vocabulary of {vocab_size}; give ids of this model"
        ),
    })
}

/// Keeps the first `max_tokens`.
fn cut(rows: &mut Vec<Vec<u32>>, max_tokens: Option<u64>) -> Result<(), String> {
    let Some(most) = max_tokens else { return Ok(()) };
    let found: u64 = rows.iter().map(|row| row.len() as u64).sum();
    if found < most {
        return Err(format!(
            "the corpus has {found} tokens, accuracy.max_tokens asks for {most}; give a longer one"
        ));
    }
    let mut room = usize::try_from(most).unwrap_or(usize::MAX);
    for row in rows.iter_mut() {
        row.truncate(room);
        room -= row.len();
    }
    rows.retain(|row| !row.is_empty());
    Ok(())
}

/// Window and stride, in tokens.
fn sizes(
    settings: &AccuracySettings,
    context: Option<u32>,
    vocab_size: u32,
    rows: &[Vec<u32>],
) -> Result<(u32, u32), String> {
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
    let longest_row = u32::try_from(longest).unwrap_or(u32::MAX);
    let window = match (settings.window, context) {
        (None, None) => return Err("its context is not known; give accuracy.window".into()),
        (None, Some(context)) if logits_bytes(context.min(longest_row), vocab_size) > MOST_WINDOW_BYTES => {
            return Err(format!(
                "a window of its whole context of {context} would take {} GB of logits at once; give accuracy.window",
                logits_bytes(context.min(longest_row), vocab_size) >> 30
            ));
        }
        (None, Some(context)) => context,
        (Some(window), Some(context)) if window > context => {
            return Err(format!("accuracy.window is {window}, its context is {context}; give at most that"));
        }
        (Some(window), _) if longest < window as usize => {
            return Err(format!(
                "the corpus has {longest} tokens in its longest list, accuracy.window asks for {window}; give a \
                 longer one or a smaller window"
            ));
        }
        (Some(window), _) => window,
    };
    match settings.stride {
        Some(stride) if stride > window => {
            Err(format!("accuracy.stride is {stride}; it must be at most the window of {window}"))
        }
        stride => Ok((window, stride.unwrap_or(window))),
    }
}

fn windows(rows: &[Vec<u32>], window: usize, stride: usize) -> Vec<Window> {
    let mut all = Vec::new();
    let mut row_start = 0;
    for row in rows {
        let mut scored_to = 0;
        for start in (0..row.len()).step_by(stride) {
            let end = row.len().min(start + window);
            let first_scored = (scored_to.max(start + 1)) - start;
            if start + first_scored < end {
                let first_scored = u32::try_from(first_scored).unwrap_or(u32::MAX);
                all.push(Window { tokens: row_start + start..row_start + end, first_scored });
            }
            scored_to = end;
            if end == row.len() {
                break;
            }
        }
        row_start += row.len();
    }
    all
}

fn logits_bytes(window: u32, vocab_size: u32) -> u64 {
    u64::from(window) * u64::from(vocab_size) * 4
}

fn sha256(rows: &[Vec<u32>]) -> String {
    let mut hasher = Sha256::new();
    for row in rows {
        hasher.update((row.len() as u64).to_le_bytes());
        row.iter().for_each(|id| hasher.update(id.to_le_bytes()));
    }
    hex(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(lengths: &[usize], window: usize, stride: usize) -> Vec<(usize, usize, u32)> {
        let rows: Vec<Vec<u32>> = lengths.iter().map(|&length| vec![0; length]).collect();
        let windows = windows(&rows, window, stride);
        windows.iter().map(|w| (w.tokens.start, w.tokens.end, w.first_scored)).collect()
    }

    #[test]
    fn disjoint_windows_do_not_predict_their_first_token() {
        assert_eq!(cuts(&[10], 4, 4), [(0, 4, 1), (4, 8, 1), (8, 10, 1)]);
        assert_eq!(cuts(&[9], 4, 4), [(0, 4, 1), (4, 8, 1)], "one token alone predicts nothing");
        assert_eq!(cuts(&[3, 1, 5], 4, 4), [(0, 3, 1), (4, 8, 1)]);
    }

    #[test]
    fn overlapping_windows_predict_each_token_once() {
        assert_eq!(cuts(&[10], 4, 2), [(0, 4, 1), (2, 6, 2), (4, 8, 2), (6, 10, 2)]);
        assert_eq!(cuts(&[5], 4, 1), [(0, 4, 1), (1, 5, 3)]);
        for (length, window, stride) in [(100, 16, 5), (31, 8, 7), (8, 8, 3), (5, 8, 2)] {
            let rows = vec![vec![0; length]];
            let scored: u64 = windows(&rows, window, stride).iter().map(Window::scored).sum();
            assert_eq!(scored, length as u64 - 1, "{length} {window} {stride}");
        }
    }

    #[test]
    fn what_is_asked_for_must_be_there() {
        let mut rows = vec![vec![1; 6], vec![2; 6]];
        assert!(
            cut(&mut rows.clone(), Some(13))
                .unwrap_err()
                .contains("has 12 tokens, accuracy.max_tokens asks for 13")
        );
        cut(&mut rows, Some(8)).unwrap();
        assert_eq!(rows, [vec![1; 6], vec![2; 2]]);
        let of = |window, stride| {
            sizes(&AccuracySettings { window, stride, ..AccuracySettings::default() }, Some(8), 100, &rows)
        };
        assert_eq!(of(None, None), Ok((8, 8)));
        assert_eq!(of(Some(4), Some(3)), Ok((4, 3)));
        assert!(of(Some(9), None).unwrap_err().contains("is 9, its context is 8"));
        assert!(of(Some(7), None).unwrap_err().contains("has 6 tokens"));
        assert!(of(None, Some(9)).unwrap_err().contains("stride is 9"));
    }
}
