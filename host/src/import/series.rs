//! What every tool's results are turned into: runs of one shape, with all that the file says of how they were made.

use crate::environment::Machine;
use crate::record::{Mode, Telemetry};
use std::collections::BTreeMap;

/// The repetitions of one measurement.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) source: Source,
    pub(super) model: Model,
    pub(super) backend: Backend,
    pub(super) machine: Machine,
    pub(super) shape: Shape,
    /// One at least.
    pub(super) runs: Vec<Run>,
    /// Of each run alike.
    pub(super) telemetry: Option<Telemetry>,
    /// RFC 3339 in UTC.
    pub(super) started_at: String,
    /// How it differs from a measurement of inferhost's.
    pub(super) note: Option<String>,
}

/// Where it was read.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) tool: &'static str,
    pub(super) tool_version: Option<String>,
    pub(super) file: String,
}

/// The model as the tool names it.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) spec: String,
    pub(super) parameters: Option<u64>,
    pub(super) bytes: Option<u64>,
}

/// What ran it.
#[derive(Debug, Clone)]
pub(super) struct Backend {
    /// To be told apart where settings differ.
    pub(super) name: String,
    pub(super) runtime: String,
    pub(super) runtime_version: Option<String>,
    pub(super) device: String,
    pub(super) precision: String,
    pub(super) threads: Option<u32>,
    /// All that decides how fast it is, by the tool's own words.
    pub(super) settings: BTreeMap<String, String>,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) mode: Mode,
    pub(super) use_cache: Option<bool>,
    pub(super) batch: u32,
    /// 0 where nothing but decode steps was measured.
    pub(super) prompt_tokens: u32,
    /// 0 for prefill.
    pub(super) new_tokens: u32,
    /// Tokens that were in the cache before the time began.
    pub(super) context: u32,
}

impl Shape {
    /// Its name where no scenario has it: `p512`, `p16-n8`, `b4-p16-n8`, `n128-d512`.
    pub(super) fn name(self) -> String {
        let Self { batch, prompt_tokens, new_tokens, context, .. } = self;
        let parts = [("b", batch, 1), ("p", prompt_tokens, 0), ("n", new_tokens, 0), ("d", context, 0)];
        let told = parts.iter().filter(|(_, value, usual)| value != usual);
        told.map(|(letter, value, _)| format!("{letter}{value}")).collect::<Vec<_>>().join("-")
    }

    /// Prompt and new tokens of all rows.
    pub(super) fn tokens(self) -> u64 {
        u64::from(self.batch) * (u64::from(self.prompt_tokens) + u64::from(self.new_tokens))
    }
}

/// One repetition.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Run {
    pub(super) latency_ms: f64,
    pub(super) ttft_ms: Option<f64>,
    pub(super) token_ms: Vec<f64>,
}

impl Run {
    /// One of which nothing is known but how long it took.
    pub(super) fn lasting(latency_ms: f64) -> Self {
        Self { latency_ms, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_named_by_what_is_not_usual() {
        for (batch, prompt_tokens, new_tokens, context, name, tokens) in [
            (1, 512, 0, 0, "p512", 512),
            (1, 0, 128, 0, "n128", 128),
            (4, 16, 8, 0, "b4-p16-n8", 96),
            (1, 0, 128, 512, "n128-d512", 128),
        ] {
            let mode = Mode::Generate;
            let shape = Shape { mode, use_cache: None, batch, prompt_tokens, new_tokens, context };
            assert_eq!((shape.name().as_str(), shape.tokens()), (name, tokens));
        }
    }
}
