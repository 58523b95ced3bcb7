//! One record per run: what `records.jsonl` holds, a line each. The field names are a contract.

mod disturbance;
mod series;
mod telemetry;

pub use disturbance::{Disturbance, DisturbanceKind};
pub use series::{GpuRow, SeriesRow};
pub use telemetry::{GpuTelemetry, Telemetry};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the record's fields.
pub const SCHEMA: u32 = 1;

/// One repetition of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The cell's id.
    pub cell: String,
    /// Names as in the config.
    pub model: String,
    /// The backend's name.
    pub backend: String,
    /// The scenario's name.
    pub scenario: String,
    /// What was called.
    pub mode: Mode,
    /// Rows.
    pub batch: u32,
    /// Tokens of each row's prompt.
    pub prompt_tokens: u32,
    /// Tokens asked of each row; 0 where the mode makes none.
    pub new_tokens: u32,
    /// Whether `past_key_values` were kept between steps; null where the mode has no steps.
    pub use_cache: Option<bool>,
    /// Which round, from 0.
    pub round: u32,
    /// Which repetition of the round, from 0.
    pub repetition: u32,
    /// Whether the measurement holds.
    pub status: Status,
    /// Around the plugin's call, milliseconds; null where degraded.
    pub latency_ms: Option<f64>,
    /// To the first token in host memory, milliseconds; null but for `generate`.
    pub ttft_ms: Option<f64>,
    /// Each step's time, milliseconds, the first from the call; empty but for `generate`.
    #[serde(default)]
    pub token_ms: Vec<f64>,
    /// Prompt and new tokens of all rows.
    pub tokens_processed: Option<u64>,
    /// `tokens_processed` over latency.
    pub throughput_tok_s: Option<f64>,
    /// Why the run gave no valid measurement.
    pub degraded: Option<Degraded>,
    /// What the worker used; null where it did not live to say.
    pub telemetry: Option<Telemetry>,
    /// What the machine did beside the run that makes its measurement doubtful; absent where nothing is known to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disturbances: Vec<Disturbance>,
    /// SHA-256 over the output's token ids (the largest logits' where the mode makes no tokens).
    pub output_digest: Option<String>,
    /// When the run began, RFC 3339 in UTC.
    pub started_at: String,
    /// The worker's process; null where none came to life.
    pub worker_pid: Option<u32>,
    /// Where another program's file says so; absent from records of runs that inferhost made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
}

/// Where a record comes from that no worker of inferhost's made. Its `started_at` is the file's time for the
/// measurement, and where it has none, when the file was last written; `prompt_tokens` is 0 where decode steps alone were
/// measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Imported {
    /// The program that measured: `llama-bench`, `optimum-benchmark`.
    pub tool: String,
    /// Its version; null where the file does not say.
    pub tool_version: Option<String>,
    /// The name of the file.
    pub file: String,
    /// How the tool's measurement differs from one of inferhost's, one line.
    pub note: Option<String>,
}

/// Which of a session's calls a cell measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The prompt through the model.
    Prefill,
    /// The prompt, then new tokens.
    Generate,
    /// Log-probabilities of the prompt.
    Logprobs,
}

impl Mode {
    /// The name in configs and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prefill => "prefill",
            Self::Generate => "generate",
            Self::Logprobs => "logprobs",
        }
    }
}

/// Whether a run's measurement holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It holds.
    Ok,
    /// It does not; `degraded` says why.
    Degraded,
}

/// Why a run gave no valid measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Degraded {
    /// The class of reason.
    pub kind: DegradedKind,
    /// Where in the worker's life.
    pub stage: Stage,
    /// One line.
    pub message: String,
    /// The signal that ended the worker.
    pub signal: Option<i32>,
    /// The code the worker exited with.
    pub exit_code: Option<i32>,
}

impl Degraded {
    /// A reason that is not the end of a process.
    pub fn new(kind: DegradedKind, stage: Stage, message: impl Into<String>) -> Self {
        Self { kind, stage, message: message.into(), signal: None, exit_code: None }
    }
}

/// The classes of reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DegradedKind {
    /// No answer before the deadline.
    Timeout,
    /// The worker ended.
    Crashed,
    /// The plugin reported an error.
    Exception,
    /// NaN, a wrong shape, a token out of the vocabulary, too few tokens.
    InvalidOutput,
    /// Host or device memory ran out.
    OutOfMemory,
    /// The artifact was built for other shapes.
    ShapeNotCovered,
    /// The plugin's interface is not this host's.
    Incompatible,
    /// A library or device the runtime needs is missing.
    RuntimeMissing,
    /// The backend cannot do this.
    Unsupported,
}

impl DegradedKind {
    /// The name in records and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Crashed => "crashed",
            Self::Exception => "exception",
            Self::InvalidOutput => "invalid_output",
            Self::OutOfMemory => "out_of_memory",
            Self::ShapeNotCovered => "shape_not_covered",
            Self::Incompatible => "incompatible",
            Self::RuntimeMissing => "runtime_missing",
            Self::Unsupported => "unsupported",
        }
    }
}

/// Where in a worker's life a run was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Loading the plugin.
    Load,
    /// Opening the model.
    Open,
    /// A warm-up before the cell's first run.
    Warmup,
    /// The run itself.
    Run,
    /// Checking the output.
    Verify,
}

impl Stage {
    /// The name in records and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Open => "open",
            Self::Warmup => "warmup",
            Self::Run => "run",
            Self::Verify => "verify",
        }
    }
}

#[cfg(test)]
pub(crate) mod sample {
    use super::*;

    /// A prefill run of 1x8 that took 2 ms.
    pub(crate) fn ok() -> Record {
        Record {
            schema: SCHEMA,
            cell: "9f0c".into(),
            model: "gpt2-5m".into(),
            backend: "ort".into(),
            scenario: "micro".into(),
            mode: Mode::Prefill,
            batch: 1,
            prompt_tokens: 8,
            new_tokens: 0,
            use_cache: None,
            round: 0,
            repetition: 0,
            status: Status::Ok,
            latency_ms: Some(2.0),
            ttft_ms: None,
            token_ms: Vec::new(),
            tokens_processed: Some(8),
            throughput_tok_s: Some(4000.0),
            degraded: None,
            telemetry: Some(Telemetry {
                rss_peak_mb: Some(212.0),
                cpu_mean_pct: Some(187.0),
                ..Telemetry::default()
            }),
            disturbances: Vec::new(),
            output_digest: Some("aa".into()),
            started_at: "2026-11-20T16:00:00.123Z".into(),
            worker_pid: Some(4242),
            imported: None,
        }
    }

    /// A cached generation of 8 tokens that took 9 ms, the first after 2 ms.
    pub(crate) fn generated() -> Record {
        Record {
            mode: Mode::Generate,
            new_tokens: 8,
            use_cache: Some(true),
            latency_ms: Some(9.0),
            ttft_ms: Some(2.0),
            token_ms: vec![2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
            tokens_processed: Some(16),
            throughput_tok_s: Some(16_000.0 / 9.0),
            ..ok()
        }
    }

    /// A generation that took long enough to be sampled: 100 tokens in 2 s, the first after 50 ms.
    pub(crate) fn long() -> Record {
        let telemetry = Telemetry {
            rss_peak_mb: Some(812.0),
            rss_mean_mb: Some(790.0),
            rss_p90_mb: Some(805.5),
            cpu_mean_pct: Some(187.0),
            cpu_peak_pct: Some(199.6),
            cpu_p90_pct: Some(198.0),
            energy_j: None,
            samples: 19,
            ..Telemetry::default()
        };
        Record {
            scenario: "study".into(),
            prompt_tokens: 10,
            new_tokens: 100,
            latency_ms: Some(2_000.0),
            ttft_ms: Some(50.0),
            token_ms: std::iter::once(50.0).chain([19.7; 99]).collect(),
            tokens_processed: Some(110),
            throughput_tok_s: Some(55.0),
            telemetry: Some(telemetry),
            ..generated()
        }
    }

    /// A run that was lost.
    pub(crate) fn degraded(kind: DegradedKind, message: &str) -> Record {
        let reason =
            Degraded { kind, stage: Stage::Run, message: message.into(), signal: None, exit_code: None };
        Record {
            status: Status::Degraded,
            latency_ms: None,
            tokens_processed: None,
            throughput_tok_s: None,
            degraded: Some(reason),
            telemetry: None,
            output_digest: None,
            ..ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_imported_record_says_so() {
        assert!(!serde_json::to_string(&sample::ok()).unwrap().contains("imported"));
        let imported = Some(Imported { tool: "llama-bench".into(), ..Imported::default() });
        let record = Record { imported, ..sample::ok() };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }

    #[test]
    fn a_record_of_an_older_host_is_read() {
        let mut written = serde_json::to_value(sample::ok()).unwrap();
        written["telemetry"] = serde_json::json!({"rss_peak_mb": 212.0, "cpu_mean_pct": 187.0, "gpu": null});
        assert_eq!(serde_json::from_value::<Record>(written).unwrap(), sample::ok());
    }
}
