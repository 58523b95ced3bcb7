//! One line per (model, backend): what `accuracy.jsonl` holds. The field names are a contract.

use super::{Corpus, Figures, PrecisionClass, Verdict};
use crate::record::Degraded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the line's fields.
pub const SCHEMA: u32 = 1;

/// How one backend did on one model's corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evaluation {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Names as in the config.
    pub model: String,
    /// The backend's name.
    pub backend: String,
    /// The backend it was held against.
    pub baseline: String,
    /// What it was scored on.
    pub corpus: Corpus,
    /// Number of token ids.
    pub vocab_size: u32,
    /// What decided the threshold; null where the model never opened.
    pub precision: Option<PrecisionClass>,
    /// Largest relative difference of perplexity that passes.
    pub threshold: Option<f64>,
    /// What the gate says.
    pub verdict: Verdict,
    /// Null where degraded.
    pub figures: Option<Figures>,
    /// Why there are no figures.
    pub degraded: Option<Degraded>,
    /// When the model's evaluation began, RFC 3339 in UTC.
    pub started_at: String,
    /// The worker's process; null where none came to life.
    pub worker_pid: Option<u32>,
}

#[cfg(test)]
pub(crate) mod sample {
    use super::*;
    use crate::accuracy::{Against, Distributions};
    use crate::record::{DegradedKind, Stage};

    /// A backend that is off by `relative_difference`.
    pub(crate) fn evaluation(backend: &str, verdict: Verdict, relative_difference: f64) -> Evaluation {
        let against =
            Against { relative_difference, ln_ppl_ratio: relative_difference, ln_ppl_ratio_se: Some(1.5e-6) };
        let distributions = Distributions {
            kl_mean: 2.5e-9,
            top1_agreement: 0.9995,
            logit_difference_mean: 1.1e-6,
            logit_difference_max: 1.4e-5,
        };
        let is_baseline = verdict == Verdict::Baseline;
        Evaluation {
            schema: SCHEMA,
            model: "gpt2-5m".into(),
            backend: backend.into(),
            baseline: "ort".into(),
            corpus: Corpus {
                name: "text.txt".into(),
                sha256: "ab".into(),
                tokens: 179_370,
                predicted: 179_194,
                windows: 176,
                window: 1024,
                stride: 1024,
            },
            vocab_size: 50_257,
            precision: Some(PrecisionClass::Fp32),
            threshold: Some(0.001),
            verdict,
            figures: Some(Figures {
                tokens: 179_194,
                perplexity: 202.7 * (1.0 + relative_difference),
                logprob_mean: -5.31,
                logprob_sd: Some(3.25),
                logprob_min: -19.5,
                logprob_max: -0.001,
                seconds: 60.0,
                call_seconds: 50.0,
                tok_s: 2986.6,
                against: (!is_baseline).then_some(against),
                distributions: (!is_baseline).then_some(distributions),
            }),
            degraded: None,
            started_at: "2026-11-20T16:00:00.123Z".into(),
            worker_pid: Some(4242),
        }
    }

    /// A backend that was lost.
    pub(crate) fn degraded(backend: &str) -> Evaluation {
        Evaluation {
            figures: None,
            degraded: Some(Degraded::new(DegradedKind::Timeout, Stage::Run, "no answer\nwithin 10 s")),
            ..evaluation(backend, Verdict::Degraded, 0.0)
        }
    }
}
