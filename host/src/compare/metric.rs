//! One metric of one cell: its figures before and after, its test, its verdict.

use super::cells::Run;
use crate::record::Mode;
use crate::stats::{EffectSize, Interval, Summary};
use schemars::JsonSchema;
use serde::Serialize;

/// What is compared of a cell, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Around the plugin's call.
    Latency,
    /// To the first token in host memory.
    Ttft,
    /// Per token after the first.
    Tpot,
}

impl Metric {
    /// Each.
    pub const ALL: [Self; 3] = [Self::Latency, Self::Ttft, Self::Tpot];

    /// As tables name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Ttft => "TTFT",
            Self::Tpot => "TPOT",
        }
    }

    pub(super) const fn of(mode: Mode) -> &'static [Self] {
        match mode {
            Mode::Generate => &Self::ALL,
            Mode::Prefill | Mode::Logprobs => &[Self::Latency],
        }
    }

    pub(super) fn value(self) -> fn(&Run) -> Option<f64> {
        match self {
            Self::Latency => |run| Some(run.latency),
            Self::Ttft => |run| run.ttft,
            Self::Tpot => |run| run.tpot,
        }
    }
}

/// One metric before and after. Figures are over ok runs.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MetricChange {
    /// Which.
    pub metric: Metric,
    /// Milliseconds in the first folder.
    pub before: Summary,
    /// Milliseconds in the second.
    pub after: Summary,
    /// Mean after over mean before, less 1; none without both.
    pub change: Option<f64>,
    /// Of the fastest runs, which the tests see; none with too few runs.
    pub fastest: Option<FastestChange>,
    /// What the cell changed by beyond the other cells of its worker; of latency, with three of them or more.
    pub beyond_siblings: Option<SiblingChange>,
    /// After less before in units of the runs' standard deviation.
    pub effect: Option<EffectSize>,
    /// What a claim rests on; none without one.
    pub basis: Option<Basis>,
    /// In a word.
    pub verdict: Verdict,
}

/// A change of the fastest of equally many runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct FastestChange {
    /// After over before, less 1.
    pub change: f64,
    /// Its 95% interval, the level of the workers included.
    pub ci95: Option<Interval>,
}

/// A change against the other cells of the same worker, by fastest runs, with its test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct SiblingChange {
    /// The cell's ratio over the median one of the others, less 1.
    pub change: f64,
    /// Its 95% interval.
    pub ci95: Option<Interval>,
    /// Two-sided.
    pub p: f64,
    /// By Holm, over all cells of the comparison.
    pub p_adjusted: f64,
}

/// Which test a cell's claim rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Its own, against the other cells of its worker.
    Cell,
    /// All cells of its call, against the worker's other calls.
    Call,
    /// All cells of its worker.
    Worker,
}

impl Basis {
    /// As reports name it, beside a verdict.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cell => "by itself",
            Self::Call => "with its call",
            Self::Worker => "with its worker",
        }
    }
}

/// What can be said of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Significantly, and by the threshold or more.
    Faster,
    /// Significantly, and by the threshold or more.
    Slower,
    /// The 95% interval lies within the threshold.
    Equivalent,
    /// Neither a change nor its absence.
    NoChangeShown,
    /// Fewer than two ok runs on a side.
    TooFewRuns,
    /// Latency alone is tested: the fewer tests, the smaller the changes they find.
    NotTested,
}

impl Verdict {
    /// As reports name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Equivalent => "equivalent",
            Self::NoChangeShown => "no change shown",
            Self::TooFewRuns => "too few runs",
            Self::NotTested => "not tested",
        }
    }

    /// Whether it claims a difference.
    pub const fn is_change(self) -> bool {
        matches!(self, Self::Faster | Self::Slower)
    }
}
