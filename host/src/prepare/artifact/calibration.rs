//! How an artifact with fixed ranges is calibrated, as its name says.

use super::spec::{BOOLS, name_of, one_of};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How the ranges of activations are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calibration {
    /// A scale for each output of a matrix instead of one for all.
    pub per_channel: bool,
    /// From what was seen to the range.
    pub method: Method,
    /// Batches of 8 x 128 tokens; none: 512, or as many as the corpus has.
    pub samples: Option<u32>,
    /// A text, or token ids as JSON; none: random token ids.
    pub corpus: Option<PathBuf>,
}

/// From the values seen to the range that 8 bits are spread over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// All of them.
    MinMax,
    /// All but the outermost 0.01%.
    Percentile,
    /// The range whose quantised distribution is nearest to the true one.
    Entropy,
}

const METHODS: [(&str, Method); 3] =
    [("minmax", Method::MinMax), ("percentile", Method::Percentile), ("entropy", Method::Entropy)];

impl Default for Calibration {
    fn default() -> Self {
        Self { per_channel: true, method: Method::Percentile, samples: None, corpus: None }
    }
}

impl Calibration {
    pub(super) const KEYS: [&str; 4] = ["per_channel", "calibration", "samples", "corpus"];

    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "per_channel" => self.per_channel = one_of(key, value, &BOOLS)?,
            "calibration" => self.method = one_of(key, value, &METHODS)?,
            "samples" => {
                self.samples = match value.parse() {
                    Ok(samples @ 1..=100_000) => Some(samples),
                    _ => return Err(format!("samples={value} is not a whole number from 1 to 100,000")),
                };
            }
            _ if value.is_empty() => return Err("corpus= names no file".into()),
            _ => self.corpus = Some(value.into()),
        }
        Ok(())
    }

    pub(super) fn settings(&self) -> Vec<String> {
        let default = Self::default();
        let mut list = Vec::new();
        if self.per_channel != default.per_channel {
            list.push(format!("per_channel={}", self.per_channel));
        }
        if self.method != default.method {
            list.push(format!("calibration={}", name_of(self.method, &METHODS)));
        }
        list.extend(self.samples.map(|samples| format!("samples={samples}")));
        list.extend(self.corpus.as_ref().map(|corpus| format!("corpus={}", corpus.display())));
        list
    }
}
