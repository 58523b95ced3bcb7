//! The TOML a user writes, key by key. `configs/reference.toml` shows each with its meaning.

use super::{AccuracySettings, ConfigError, ReportSettings};
use crate::record::Mode;
use inferhost_plugin_api::shapes::Profile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigFile {
    pub(super) name: String,
    #[serde(default)]
    pub(super) seed: u64,
    pub(super) baseline: Option<String>,
    #[serde(default)]
    pub(super) run: RunSettings,
    pub(super) models: Vec<Model>,
    pub(super) backends: Vec<Backend>,
    #[serde(default)]
    pub(super) scenarios: Vec<Scenario>,
    pub(super) accuracy: Option<AccuracySettings>,
    #[serde(default)]
    pub(super) report: ReportSettings,
}

/// How the matrix is run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSettings {
    /// What is measured.
    pub modes: Vec<Mode>,
    /// `generate` with `past_key_values`, without, or both.
    pub use_cache: Vec<bool>,
    /// Which logits `prefill` gives back.
    pub logits: Positions,
    /// Calls of a cell before its first measured one, in every worker.
    pub warmups: u32,
    /// Measured runs of a cell in every round.
    pub repetitions: u32,
    /// Times the whole matrix is run, each with fresh workers.
    pub rounds: u32,
    /// Fewest ok runs of a cell for which anything is claimed; none: 3.
    pub min_repetitions: Option<u32>,
    /// Least time that the ok runs of a cell take together, seconds, for anything to be claimed.
    pub min_measured_s: f64,
    /// Half the width of the 95% confidence interval of a cell's mean latency, as a share of the mean, at which its runs of
    /// a round end early; none: all are made.
    pub target_ci: Option<f64>,
    /// From which share of the machine's processors on, in percent, what others use makes a run not valid.
    pub busy_above_pct: f64,
    /// Order by seed instead of as written.
    pub shuffle: bool,
    /// Longest time for one run, its warm-ups included, seconds.
    pub deadline_s: f64,
    /// Longest time to load a plugin and open a model, seconds.
    pub open_deadline_s: f64,
    /// Longest time to build an engine, seconds.
    pub build_deadline_s: f64,
    /// Most memory a worker may allocate, MiB; none: no limit.
    pub memory_limit_mb: Option<u64>,
    /// End a row at the model's end-of-text token.
    pub stop_at_eos: bool,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// A text file whose tokens make the prompts; none: random token ids.
    pub prompt_text: Option<PathBuf>,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            modes: vec![Mode::Prefill, Mode::Generate],
            use_cache: vec![true],
            logits: Positions::Last,
            warmups: 1,
            repetitions: 5,
            rounds: 1,
            min_repetitions: None,
            min_measured_s: 0.0,
            target_ci: None,
            busy_above_pct: 10.0,
            shuffle: true,
            deadline_s: 180.0,
            open_deadline_s: 600.0,
            build_deadline_s: 3600.0,
            memory_limit_mb: None,
            stop_at_eos: false,
            sampling: Sampling::default(),
            prompt_text: None,
        }
    }
}

pub use inferhost_plugin_api::Positions;

/// How `generate` chooses tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// 0 is off.
    pub top_k: u32,
    /// 1 is off.
    pub top_p: f32,
    /// Of the sampler.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0 }
    }
}

/// A model and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// As records and reports call it.
    pub name: String,
    /// A folder, an `.onnx` file, `hf:<org>/<name>[@rev]` or `synthetic:…`.
    pub source: String,
    /// How many parameters it is said to have; more than 1% off stops the run before it starts.
    #[serde(default)]
    pub claimed_params: Option<u64>,
}

/// A plugin with options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// As records and reports call it.
    pub name: String,
    /// A plugin's name, or the path of its library.
    pub plugin: String,
    /// The artifact to load (`onnx-fp32`); none: what the plugin prefers.
    #[serde(default)]
    pub artifact: Option<String>,
    /// What an engine plan is to run; none: what this config submits, by [`profiles_for`](inferhost_plugin_api::shapes::profiles_for).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<Profile>,
    /// What the plugin's file must hash to, 64 hexadecimal digits; none: whatever is there.
    #[serde(default)]
    pub sha256: Option<String>,
    /// The plugin's own options.
    #[serde(default)]
    pub options: serde_json::Map<String, serde_json::Value>,
    /// Environment variables of its workers.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

impl Backend {
    /// Whether it loads an engine plan that is built for it.
    pub fn loads_engine(&self) -> bool {
        self.artifact.as_deref().is_some_and(|artifact| artifact.starts_with("plan-"))
    }
}

/// A shape of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// As records and reports call it.
    pub name: String,
    /// Rows.
    pub batch: u32,
    /// Tokens of each row's prompt.
    pub prompt_tokens: u32,
    /// Tokens asked of each row by `generate`.
    #[serde(default)]
    pub new_tokens: u32,
}

/// Parses `text`, the content of `path`.
pub(super) fn parse(text: &str, path: &Path) -> Result<ConfigFile, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::from_toml(&error, text, path))
}
