//! `[accuracy]`: what a corpus each backend is held to, and how far from the baseline it may be.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How accuracy is evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccuracySettings {
    /// A text file, tokenised by each model's own tokenizer.
    pub text: Option<PathBuf>,
    /// A JSON file of token ids: a list, or a list of lists.
    pub tokens: Option<PathBuf>,
    /// Tokens of a window; none: the model's context.
    pub window: Option<u32>,
    /// Tokens from one window's start to the next; none: a window.
    pub stride: Option<u32>,
    /// So many tokens of the corpus only; none: all.
    pub max_tokens: Option<u64>,
    /// Windows of one call; none: as many as keep a call's logits small.
    pub batch: Option<u32>,
    /// Compare whole distributions, not only the log-probabilities of the tokens that followed.
    pub distributions: bool,
    /// Largest relative difference of perplexity that passes, by precision.
    pub thresholds: Thresholds,
}

impl Default for AccuracySettings {
    fn default() -> Self {
        Self {
            text: None,
            tokens: None,
            window: None,
            stride: None,
            max_tokens: None,
            batch: None,
            distributions: true,
            thresholds: Thresholds::default(),
        }
    }
}

/// Largest |perplexity / the baseline's - 1| that passes, by what a backend computes in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// 32-bit floats and wider.
    pub fp32: f64,
    /// 16-bit floats.
    pub fp16: f64,
    /// bfloat16.
    pub bf16: f64,
    /// 8-bit integers.
    pub int8: f64,
    /// 8-bit floats.
    pub fp8: f64,
    /// 4-bit integers.
    pub int4: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { fp32: 0.001, fp16: 0.005, bf16: 0.005, int8: 0.02, fp8: 0.02, int4: 0.1 }
    }
}

/// Logits of one call are kept to about so many bytes, as f32.
const LOGITS_BYTES: u64 = 256 << 20;
/// Small windows are put together up to this many.
const MOST_WINDOWS: u64 = 64;

impl AccuracySettings {
    /// Windows of one call: as asked, else as many as keep the logits of one call small, and at least one.
    pub fn windows_at_once(&self, window: u32, vocab_size: u32) -> u32 {
        let bytes = u64::from(window) * u64::from(vocab_size) * 4;
        let usual = (LOGITS_BYTES / bytes.max(1)).clamp(1, MOST_WINDOWS);
        self.batch.unwrap_or_else(|| u32::try_from(usual).unwrap_or(1))
    }

    /// The file that holds the corpus.
    pub fn corpus(&self) -> &Path {
        self.text.as_deref().or(self.tokens.as_deref()).unwrap_or(Path::new(""))
    }

    /// Makes paths relative to `folder` absolute.
    pub(super) fn resolve(mut self, folder: &Path) -> Self {
        self.text = self.text.map(|text| folder.join(text));
        self.tokens = self.tokens.map(|tokens| folder.join(tokens));
        self
    }

    /// The first thing that does not fit, in one line.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.text.is_some() == self.tokens.is_some() {
            let found =
                if self.text.is_some() { "both text and tokens are" } else { "neither text nor tokens is" };
            return Err(format!("accuracy: {found} given; give one of them"));
        }
        if let Some(window) = self.window.filter(|window| *window < 2) {
            return Err(format!(
                "accuracy.window is {window}; the first token is not predicted, so give 2 or more"
            ));
        }
        let below_window = |stride: u32| self.window.is_none_or(|window| stride <= window);
        if let Some(stride) = self.stride.filter(|&stride| stride == 0 || !below_window(stride)) {
            let window = self.window.map_or("the window".into(), |window| format!("the window of {window}"));
            return Err(format!("accuracy.stride is {stride}; it must be at least 1 and at most {window}"));
        }
        if let Some(most) = self.max_tokens.filter(|most| *most < 2) {
            return Err(format!("accuracy.max_tokens is {most}; it must be at least 2"));
        }
        if let Some(batch) = self.batch.filter(|batch| !(1..=65_536).contains(batch)) {
            return Err(format!("accuracy.batch is {batch}; it must be 1 to 65536 windows"));
        }
        let Thresholds { fp32, fp16, bf16, int8, fp8, int4 } = self.thresholds;
        let thresholds =
            [("fp32", fp32), ("fp16", fp16), ("bf16", bf16), ("int8", int8), ("fp8", fp8), ("int4", int4)];
        match thresholds.into_iter().find(|(_, value)| !(*value >= 0.0 && value.is_finite())) {
            None => Ok(()),
            Some((key, value)) => Err(format!(
                "accuracy.thresholds.{key} is {value}; it must be 0 or more, such as 0.001 for 0.1%"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_holds_windows_up_to_a_size() {
        let usual = |window, vocab_size| AccuracySettings::default().windows_at_once(window, vocab_size);
        assert_eq!(
            (usual(1024, 50_257), usual(128, 50_257), usual(32, 16), usual(8192, 256_000)),
            (1, 10, 64, 1)
        );
        let settings = AccuracySettings { batch: Some(3), ..AccuracySettings::default() };
        assert_eq!(settings.windows_at_once(1024, 50_257), 3);
    }
}
