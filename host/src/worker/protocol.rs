//! What host and worker say to each other: one reply to each request, with the stages entered on the way.

use super::evaluate::SharedLogits;
use crate::platform::caught;
use crate::prepare::Histogram;
use crate::record::{DegradedKind, Mode, Stage, Telemetry};
use crate::text;
use inferhost_plugin_api::build::BuildSpec;
use inferhost_plugin_api::{ErrorKind, ModelForm, Positions, Rows};
use ipc_channel::ipc::{IpcReceiver, IpcSender};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Characters of a plugin's message that are kept.
const MESSAGE_LIMIT: usize = 500;

/// A message and the process that sent it. A plugin that forks and returns twice makes a second worker out of its
/// child, which answers like the first: what it says is not heard.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sent {
    /// Process id.
    pub by: u32,
    /// What it says.
    pub message: FromWorker,
}

impl Sent {
    /// From this very process.
    pub fn new(message: FromWorker) -> Self {
        Self { by: std::process::id(), message }
    }

    /// The next message; none where the connection is closed or what came is no message. ipc-channel panics over one that
    /// names a channel or memory which did not come with it; from a worker that its plugin has damaged, that is an end of
    /// its connection.
    pub fn receive(from: &IpcReceiver<Self>) -> Option<Self> {
        caught(|| from.recv())?.ok()
    }
}

/// From the worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// The worker is there and takes requests.
    Ready(IpcSender<Request>),
    /// Work on the request has come to this stage.
    Entered(Stage),
    /// A streamed run made these tokens, each with its row.
    Step(Vec<(u32, u32)>),
    /// How far a build is.
    Building {
        /// What is being done.
        phase: String,
        /// Steps of it that are done.
        done: u32,
        /// Of so many.
        total: u32,
    },
    /// The request is done.
    Reply(Box<Reply>),
    /// Said by the host to itself where the worker died before it could connect.
    NeverCame,
}

/// From the host.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Load a plugin.
    Load {
        /// Its library.
        plugin: PathBuf,
    },
    /// Ask the loaded plugin what it is. Options are JSON text.
    Describe {
        /// The backend's.
        options: String,
    },
    /// Ask the loaded plugin what, of this machine and its options, decides what it builds. Options are JSON text.
    Identify {
        /// The backend's.
        options: String,
    },
    /// Build what the loaded plugin opens.
    Build(BuildOrder),
    /// Open a model.
    Open {
        /// File or folder.
        path: PathBuf,
        /// What it is.
        form: ModelForm,
        /// JSON text.
        options: String,
    },
    /// Run the open model.
    Run(Box<RunRequest>),
    /// Run the open graph, which gives activations in place of logits, and count their values.
    Observe {
        /// What it runs over.
        rows: Rows,
        /// How wide each activation is, in the order of the output.
        widths: Vec<u32>,
        /// Whether the counts so far are to come back.
        finish: bool,
    },
    /// Score windows of a corpus on the open model.
    Evaluate(Box<EvaluateRequest>),
}

impl Request {
    /// The stage in which the work on it begins.
    pub fn first_stage(&self) -> Stage {
        match self {
            Self::Load { .. } | Self::Describe { .. } => Stage::Load,
            Self::Open { .. } | Self::Identify { .. } | Self::Build(_) => Stage::Open,
            Self::Run(run) if run.warmups > 0 => Stage::Warmup,
            Self::Run(_) | Self::Observe { .. } | Self::Evaluate(_) => Stage::Run,
        }
    }
}

/// What to build, from what, where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuildOrder {
    /// A file or folder.
    pub source: PathBuf,
    /// What it is.
    pub form: ModelForm,
    /// An empty folder.
    pub folder: PathBuf,
    /// What it is to be.
    pub spec: BuildSpec,
    /// JSON text.
    pub options: String,
}

/// A run and its warm-ups.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRequest {
    /// What is called.
    pub mode: Mode,
    /// The prompts.
    pub rows: Rows,
    /// For `prefill`.
    pub positions: Positions,
    /// For `generate`.
    pub generate: GenerateSettings,
    /// Calls before the timed one.
    pub warmups: u32,
    /// How long the same call took last in this worker. Where the timed call is known to be short, by this or by
    /// a warm-up, more of them precede it.
    pub last_latency: Option<Duration>,
    /// Whether the output itself comes back, not only its digest.
    pub keep_output: bool,
    /// Whether each step's tokens are sent as they come. That takes time inside the call, so no run that is measured
    /// asks for it.
    pub stream: bool,
}

/// How `generate` continues the rows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct GenerateSettings {
    /// Tokens of each row.
    pub max_new_tokens: u32,
    /// Keep `past_key_values`.
    pub use_cache: bool,
    /// Ids after which a row ends.
    pub stop_tokens: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: crate::config::Sampling,
}

/// To a request. JSON text where the type is open to later fields.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Request::Load`].
    Loaded {
        /// The version of the interface that the plugin was built against.
        interface: String,
    },
    /// To [`Request::Describe`]: a description as JSON.
    Described(String),
    /// To [`Request::Identify`]: a build identity as JSON.
    Identified(String),
    /// To [`Request::Build`]: a build report as JSON.
    Built(String),
    /// To [`Request::Open`]: a session info as JSON.
    Opened(String),
    /// To [`Request::Run`].
    Ran(RunResult),
    /// To [`Request::Observe`]: the counts, where they were asked for.
    Observed(Vec<Histogram>),
    /// To [`Request::Evaluate`].
    Evaluated(EvaluateResult),
    /// The request failed; the worker lives on.
    Failed(Failure),
}

/// A run that succeeded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunResult {
    /// Around the call.
    pub latency_ns: u64,
    /// Each step's end, from the start of the call; empty but for `generate`.
    pub step_ends_ns: Vec<u64>,
    /// Prompt and new tokens of all rows.
    pub tokens_processed: u64,
    /// SHA-256 over the output's token ids.
    pub output_digest: String,
    /// What the worker used.
    pub telemetry: Box<Telemetry>,
    /// Where it was asked for.
    pub output: Option<Output>,
}

/// What a run computed, by row.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Of `generate`.
    Tokens(Vec<Vec<u32>>),
    /// Of `prefill`, by position.
    Logits(Vec<Vec<f64>>),
    /// Of `logprobs`.
    Logprobs(Vec<Vec<f64>>),
}

/// A batch of windows to score.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EvaluateRequest {
    /// The windows.
    pub rows: Rows,
    /// For each window, the first of its tokens that is scored; at least 1.
    pub first_scored: Vec<u32>,
    /// How.
    pub task: EvaluateTask,
}

/// What is made of a batch of windows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum EvaluateTask {
    /// The plugin's own log-probabilities.
    Logprobs,
    /// Log-probabilities from logits, which are handed on.
    Share,
    /// Log-probabilities from logits, which are held against the baseline's.
    Compare(SharedLogits),
}

/// Windows that were scored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EvaluateResult {
    /// Around the plugin's call.
    pub call_ns: u64,
    /// The call and what was made of its output.
    pub total_ns: u64,
    /// ln p of every scored token, in order.
    pub logprobs: Vec<f64>,
    /// For [`EvaluateTask::Share`].
    pub shared: Option<SharedLogits>,
    /// For [`EvaluateTask::Compare`].
    pub divergence: Option<Divergence>,
}

/// Sums over positions, of a backend against the baseline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// How many positions.
    pub positions: u64,
    /// How many logits.
    pub values: u64,
    /// KL(baseline || backend), nats.
    pub kl: f64,
    /// Positions at which both have their largest logit at the same token.
    pub same_top: u64,
    /// Sum of |logit difference|.
    pub difference_sum: f64,
    /// Not a sum: the largest |logit difference|.
    pub difference_max: f64,
}

/// Why a request failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// Where.
    pub stage: Stage,
    /// The class of reason.
    pub kind: DegradedKind,
    /// One line.
    pub message: String,
    /// Whether the caller's input was at fault, rather than the plugin.
    pub bad_input: bool,
}

impl Failure {
    /// An error the plugin reported, its text on one line of bounded length.
    pub fn from_plugin(stage: Stage, error: &inferhost_plugin_api::Error) -> Self {
        let kind = match error.kind {
            ErrorKind::InvalidInput | ErrorKind::Internal => DegradedKind::Exception,
            ErrorKind::Unsupported => DegradedKind::Unsupported,
            ErrorKind::RuntimeMissing => DegradedKind::RuntimeMissing,
            ErrorKind::OutOfMemory => DegradedKind::OutOfMemory,
            ErrorKind::ShapeNotCovered => DegradedKind::ShapeNotCovered,
            ErrorKind::NumericalFault => DegradedKind::InvalidOutput,
        };
        let bad_input = error.kind == ErrorKind::InvalidInput;
        Self { stage, kind, message: text::clipped(&error.message, MESSAGE_LIMIT), bad_input }
    }
}
