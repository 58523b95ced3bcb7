//! Which backend to use, by rules that follow from the numbers alone; the report prints them.
//!
//! A backend is a candidate where the accuracy gate does not fail it and every cell of the question has enough ok runs.
//! The best figure leads; whoever is not shown to be worse shares the lead.

mod question;

use super::Analysis;
use super::cell::CellSummary;
use super::comparison::ALPHA;
use super::group::{Call, Scenario};
use crate::accuracy::Verdict;
use crate::record::Mode;
use crate::stats::Interval;
use question::Question;
use schemars::JsonSchema;
use serde::Serialize;

/// What a backend is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// The shortest wait of one user: latency at the smallest batch.
    LowestLatency,
    /// The most tokens per second: throughput at the largest batch.
    HighestThroughput,
    /// The smallest resident set.
    LeastMemory,
    /// The fewest units of currency per token, over all scenarios.
    LeastCost,
}

impl Use {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::LowestLatency, Self::HighestThroughput, Self::LeastMemory, Self::LeastCost];

    /// As reports name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LowestLatency => "lowest latency",
            Self::HighestThroughput => "highest throughput",
            Self::LeastMemory => "least memory",
            Self::LeastCost => "least cost",
        }
    }

    /// Why a backend with enough runs has no figure for it.
    const fn lacking(self) -> &'static str {
        match self {
            Self::LowestLatency | Self::HighestThroughput => "no positive figure",
            Self::LeastMemory => "its memory was not counted",
            Self::LeastCost => "no price",
        }
    }

    fn less_is_better(self) -> bool {
        self != Self::HighestThroughput
    }
}

/// An answer for one model and use.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Recommendation {
    /// The model.
    pub model: String,
    /// What for.
    pub use_case: Use,
    /// What was called.
    pub call: Call,
    /// Over which scenarios.
    pub scenarios: Vec<Scenario>,
    /// The backends that lead: one, or several that are not shown to differ. Empty where none is a candidate.
    pub leaders: Vec<String>,
    /// The candidates, the best first.
    pub candidates: Vec<Candidate>,
    /// Backends that are none, and why.
    pub passed_over: Vec<PassedOver>,
}

/// The evidence of one backend.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Candidate {
    /// The backend.
    pub backend: String,
    /// Geometric mean over the scenarios: latency in ms, throughput in tokens per second, cost per million tokens; or the
    /// largest resident set in MB.
    pub value: f64,
    /// Ok runs that it is over.
    pub n: u64,
    /// Those in whose time the machine was not their own.
    pub disturbed: u64,
    /// Its value over the best's.
    pub ratio_to_best: f64,
    /// Its 95% interval over repetitions; none for memory and for the best itself.
    pub ratio_ci95: Option<Interval>,
    /// That the ratio is 1: t on its logarithm, Bonferroni's correction over all pairs of candidates, for the best was
    /// chosen by the same runs; none as above.
    pub p_adjusted: Option<f64>,
    /// Whether its figure is one that is not tested: memory.
    pub untested: bool,
    /// The cells behind it.
    pub cells: Vec<String>,
    /// What the accuracy gate says; none where it was not evaluated.
    pub accuracy: Option<Verdict>,
}

impl Candidate {
    /// From the best. Memory has no test, and runs that never vary need none.
    fn shown_to_differ(&self) -> bool {
        match (self.p_adjusted, self.ratio_ci95) {
            (Some(p), _) => p < ALPHA,
            (None, Some(interval)) => interval.low == interval.high,
            (None, None) => self.untested,
        }
    }
}

/// Why a backend is no candidate.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PassedOver {
    /// The backend.
    pub backend: String,
    /// One line.
    pub reason: String,
}

/// One for every model and use that has a figure.
pub(super) fn recommendations(analysis: &Analysis, threshold: f64) -> Vec<Recommendation> {
    let mut found = Vec::new();
    for of_model in analysis.cells.chunk_by(|a, b| a.model == b.model) {
        // Where nothing was measured well enough, the answer is still that there is none, and why.
        let asked = of_model.iter().filter(|cell| cell.is_enough()).max_by_key(|cell| worth(cell.call));
        let asked = asked.or_else(|| of_model.iter().max_by_key(|cell| worth(cell.call)));
        let Some(call) = asked.map(|cell| cell.call) else { continue };
        let cells: Vec<&CellSummary> = of_model.iter().filter(|cell| cell.call == call).collect();
        found.extend(
            Use::ALL
                .iter()
                .filter_map(|&of| Question::new(of, call, &cells, analysis.least)?.answer(threshold)),
        );
    }
    found
}

fn worth(call: Call) -> u8 {
    match (call.mode, call.use_cache) {
        (Mode::Generate, Some(true) | None) => 3,
        (Mode::Generate, Some(false)) => 2,
        (Mode::Prefill, _) => 1,
        (Mode::Logprobs, _) => 0,
    }
}
