//! What can be asked of the plugin: which fault, in which call, how often, how much.

use inferhost_plugin_api::{ErrorKind, OptionDescription};
use serde::Deserialize;
use std::num::NonZeroU64;
use std::path::PathBuf;

/// Options as a config or `--option` gives them.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    pub(crate) fault: Fault,
    pub(crate) stage: Stage,
    pub(crate) after: u64,
    pub(crate) every: NonZeroU64,
    pub(crate) once_file: Option<PathBuf>,
    pub(crate) exit_code: i32,
    pub(crate) delay_ms: u64,
    pub(crate) flood_mb: u64,
    pub(crate) leak_limit_mb: u64,
    pub(crate) error_kind: ErrorKind,
    pub(crate) noise: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fault: Fault::None,
            stage: Stage::Any,
            after: 0,
            every: NonZeroU64::MIN,
            once_file: None,
            exit_code: 3,
            delay_ms: 100,
            flood_mb: 8,
            leak_limit_mb: 4096,
            error_kind: ErrorKind::Internal,
            noise: 1.0,
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    None,
    Segfault,
    Abort,
    Exit,
    Hang,
    Leak,
    Panic,
    Slow,
    PrintFlood,
    Error,
    MissingRuntime,
    OutOfMemoryError,
    Unsupported,
    ShapeNotCovered,
    Nan,
    LogitsNoise,
    ShortOutput,
    WrongShape,
    TokenOutOfRange,
}

/// The call in which it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// While the model is opened.
    Open,
    Prefill,
    Generate,
    Logprobs,
    /// Any call on an open session.
    Any,
}

impl Stage {
    /// Whether a fault of this stage concerns `call`.
    pub(crate) fn covers(self, call: Self) -> bool {
        self == call || (self == Self::Any && call != Self::Open)
    }
}

/// The options, for `describe`.
pub(crate) fn descriptions() -> Vec<OptionDescription> {
    [
        (
            "fault",
            "none",
            "none; ends the process: segfault, abort, exit; never returns: hang, leak; an error: panic, error, \
             missing_runtime, out_of_memory_error, unsupported, shape_not_covered; output: nan, logits_noise, short_output, \
             wrong_shape, token_out_of_range (generate only); late or loud: slow, print_flood",
        ),
        ("stage", "any", "the call that fails: open, prefill, generate, logprobs, or any of the last three"),
        ("after", "0", "how many calls of that stage succeed first (warm-ups count; open is always the first)"),
        ("every", "1", "after that, only each n-th call fails"),
        ("once_file", "none", "fail only where this file does not exist, and create it first: a new worker succeeds"),
        ("exit_code", "3", "what fault = exit exits with"),
        ("delay_ms", "100", "how long fault = slow waits before it does its work"),
        ("flood_mb", "8", "how many MB fault = print_flood writes to stdout, and as many to stderr"),
        ("leak_limit_mb", "4096", "how many MB fault = leak takes before it hangs"),
        ("noise", "1.0", "how far fault = logits_noise moves each logit at most; the same position moves the same way"),
        ("error_kind", "Internal", "the kind of fault = error: InvalidInput, Unsupported, OutOfMemory, …"),
    ]
    .map(|(name, default, help)| OptionDescription::new(name, default, help))
    .into()
}
