//! The accuracy gate: whether a backend's perplexity is near enough to the baseline's, for what it computes in.

use super::Figures;
use crate::config::Thresholds;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A perplexity of this share of the vocabulary and more is that of a model that knows next to nothing: uniform
/// guessing has the whole of it, a rough count of single tokens already less than half. Any two backends agree on
/// nothing, so their agreement there is no evidence.
const NO_SIGNAL: f64 = 0.5;

/// What a backend computes in, as far as the gate goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionClass {
    /// 32-bit floats and wider.
    Fp32,
    /// 16-bit floats.
    Fp16,
    /// bfloat16.
    Bf16,
    /// 8-bit integers.
    Int8,
    /// 8-bit floats.
    Fp8,
    /// 4-bit integers.
    Int4,
}

impl PrecisionClass {
    /// By the artifact that was loaded (`onnx-fp16`, `onnx-int8-dynamic`, …), else by what the session says it
    /// computes in. What neither tells is held to the strictest threshold.
    pub fn of(artifact: Option<&str>, session: &str) -> Self {
        let known = |name: &str| match name {
            "fp16" | "f16" | "float16" => Some(Self::Fp16),
            "bf16" | "bfloat16" => Some(Self::Bf16),
            "int8" | "i8" | "uint8" | "u8" => Some(Self::Int8),
            "fp8" | "f8" | "float8" => Some(Self::Fp8),
            "int4" | "i4" | "uint4" | "u4" => Some(Self::Int4),
            "fp32" | "f32" | "float32" | "f64" | "float64" => Some(Self::Fp32),
            _ => None,
        };
        let parts = artifact.into_iter().flat_map(|name| name.split(['-', '?', '_']));
        parts.skip(1).find_map(known).or_else(|| known(&session.to_ascii_lowercase())).unwrap_or(Self::Fp32)
    }

    /// The key under `accuracy.thresholds`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::Fp8 => "fp8",
            Self::Int4 => "int4",
        }
    }

    /// Its threshold.
    pub const fn threshold(self, thresholds: &Thresholds) -> f64 {
        match self {
            Self::Fp32 => thresholds.fp32,
            Self::Fp16 => thresholds.fp16,
            Self::Bf16 => thresholds.bf16,
            Self::Int8 => thresholds.int8,
            Self::Fp8 => thresholds.fp8,
            Self::Int4 => thresholds.int4,
        }
    }
}

/// What the gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// What the others are held against.
    Baseline,
    /// Near enough.
    Pass,
    /// Too far.
    Failed,
    /// Near enough, but to a model that predicts nothing: no pass.
    NoSignal,
    /// The baseline could not be evaluated: no pass.
    NoBaseline,
    /// The backend could not be evaluated: no pass.
    Degraded,
}

impl Verdict {
    /// For tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Pass => "pass",
            Self::Failed => "FAILED",
            Self::NoSignal => "no signal",
            Self::NoBaseline => "no baseline",
            Self::Degraded => "degraded",
        }
    }

    /// Whether nothing speaks against the backend.
    pub const fn is_pass(self) -> bool {
        matches!(self, Self::Baseline | Self::Pass)
    }
}

/// Holds `figures` against `threshold`: the perplexity may differ from the baseline's by that share of it, to either
/// side.
pub fn verdict(figures: &Figures, threshold: f64, vocab_size: u32, is_baseline: bool) -> Verdict {
    let knows_nothing = figures.perplexity >= NO_SIGNAL * f64::from(vocab_size);
    match figures.against {
        None if !is_baseline => Verdict::NoBaseline,
        Some(against) if !within(against.relative_difference, threshold) => Verdict::Failed,
        _ if knows_nothing => Verdict::NoSignal,
        Some(_) => Verdict::Pass,
        None => Verdict::Baseline,
    }
}

/// False for what is no number.
fn within(difference: f64, threshold: f64) -> bool {
    difference.abs() <= threshold
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accuracy::Against;

    #[test]
    fn the_artifact_decides_before_the_session() {
        use PrecisionClass::{Bf16, Fp8, Fp16, Fp32, Int4, Int8};
        for (artifact, session, class) in [
            (Some("onnx-fp16"), "f32", Fp16),
            (Some("onnx-fp16-io32?opset=17"), "f32", Fp16),
            (Some("onnx-int8-dynamic?per_channel=true"), "f32", Int8),
            (Some("onnx-int4-rtn"), "f32", Int4),
            (Some("onnx-bf16"), "f32", Bf16),
            (Some("onnx-fp8-qdq"), "f32", Fp8),
            (Some("plan-fp8-qdq"), "f32", Fp8),
            (Some("onnx-fp32"), "f16", Fp32),
            (None, "f64", Fp32),
            (None, "f16", Fp16),
            (None, "BF16", Bf16),
            (None, "int8", Int8),
            (None, "int4", Int4),
            (None, "something", Fp32),
        ] {
            assert_eq!(PrecisionClass::of(artifact, session), class, "{artifact:?} {session}");
        }
    }

    #[test]
    fn a_pass_needs_a_baseline_nearness_and_a_model_that_knows_something() {
        let of = |difference: Option<f64>, perplexity: f64, is_baseline| {
            let against = difference.map(|relative_difference| Against {
                relative_difference,
                ln_ppl_ratio: 0.0,
                ln_ppl_ratio_se: None,
            });
            verdict(&Figures { perplexity, against, ..Figures::default() }, 0.001, 1000, is_baseline)
        };
        assert_eq!(of(Some(0.001), 20.0, false), Verdict::Pass);
        assert_eq!(of(Some(-0.0011), 20.0, false), Verdict::Failed, "better is different too");
        assert_eq!(of(Some(f64::NAN), 20.0, false), Verdict::Failed);
        assert_eq!(of(Some(0.0), 500.0, false), Verdict::NoSignal);
        assert_eq!(of(Some(0.1), 500.0, false), Verdict::Failed);
        assert_eq!(of(None, 20.0, false), Verdict::NoBaseline);
        assert_eq!((of(None, 20.0, true), of(None, 999.0, true)), (Verdict::Baseline, Verdict::NoSignal));
    }
}
