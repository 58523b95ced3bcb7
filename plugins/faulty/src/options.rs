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
    pub(crate) then: Fault,
    pub(crate) faults: Vec<Fault>,
    pub(crate) rate: f64,
    pub(crate) seed: u64,
    pub(crate) count_file: Option<PathBuf>,
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
            then: Fault::None,
            faults: Vec::new(),
            rate: 0.05,
            seed: 0,
            count_file: None,
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
    TooManyTokens,
    EndlessTokens,
    HugeVocabulary,
    CallbackThread,
    LongError,
    LongDescription,
    PrintGarbage,
    Stop,
    Children,
    Twin,
    Daemons,
    BusyThreads,
    Spin,
    ExitInDrop,
    ExitHandler,
    ThreadDestructor,
    StackOverflow,
    DoubleFree,
    HeapCorruption,
    EatDescriptors,
    CloseDescriptors,
    CloseAllDescriptors,
    Nonblocking,
    ChannelGarbage,
    ChannelFlood,
    IgnoreSignals,
    SegfaultHandler,
    Surroundings,
    TemporaryFiles,
}

/// The call in which it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// While the plugin is asked what it is.
    Describe,
    /// While the plugin is asked what decides its engines.
    Identity,
    /// While an engine is built.
    Build,
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
        let outside = matches!(call, Self::Open | Self::Describe | Self::Identity | Self::Build);
        self == call || (self == Self::Any && !outside)
    }
}

/// The faults, for `describe`.
const FAULTS: &str = "none; ends the process: segfault, abort, exit, stack_overflow, double_free, heap_corruption, \
             thread_destructor, exit_in_drop (when the session is closed); never returns: hang, leak, spin, stop, \
             exit_handler, segfault_handler; an error: panic, error, missing_runtime, out_of_memory_error, \
             unsupported, shape_not_covered, long_error; output: nan, logits_noise, short_output, wrong_shape, \
             huge_vocabulary, and of generate token_out_of_range, too_many_tokens, endless_tokens, callback_thread; \
             late or loud: slow, print_flood, print_garbage; to the process: children, daemons, twin (a child that \
             returns from the call as well), busy_threads, \
             eat_descriptors, close_descriptors, close_all_descriptors, nonblocking, channel_garbage, channel_flood, \
             ignore_signals, surroundings, temporary_files; in describe: long_description";

/// The options, for `describe`.
pub(crate) fn descriptions() -> Vec<OptionDescription> {
    [
        ("fault", "none", FAULTS),
        ("then", "none", "another fault that follows in the same call, where the first lets it go on"),
        ("faults", "[]", "several faults, of which each call meets one at random or, as rate says, none"),
        ("rate", "0.05", "how likely a call meets one of faults"),
        ("seed", "0", "of the choice among faults"),
        ("count_file", "none", "a file that counts sessions: each then draws other faults"),
        (
            "stage",
            "any",
            "the call that fails: describe, identity, build, open, prefill, generate, logprobs; any: one of the last three",
        ),
        (
            "after",
            "0",
            "how many calls of that stage succeed first (warm-ups count; open is always the first)",
        ),
        ("every", "1", "after that, only each n-th call fails"),
        (
            "once_file",
            "none",
            "fail only where this file does not exist, and create it first: a new worker succeeds",
        ),
        ("exit_code", "3", "what fault = exit exits with"),
        ("delay_ms", "100", "how long fault = slow waits before it does its work"),
        ("flood_mb", "8", "how many MB print_flood writes to stdout and to stderr, and long texts are long"),
        ("leak_limit_mb", "4096", "how many MB fault = leak takes before it hangs"),
        (
            "noise",
            "1.0",
            "how far fault = logits_noise moves each logit at most; the same position moves the same way",
        ),
        ("error_kind", "Internal", "the kind of fault = error: InvalidInput, Unsupported, OutOfMemory, …"),
    ]
    .map(|(name, default, help)| OptionDescription::new(name, default, help))
    .into()
}
