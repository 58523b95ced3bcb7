//! Speed against exactness: which backends are the fastest at their perplexity.

use super::group::Call;
use super::standing::Standing;
use crate::accuracy::{Evaluation, Verdict};
use schemars::JsonSchema;
use serde::Serialize;

/// The backends of one model and call that have both a speed and a perplexity.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Tradeoff {
    /// The model.
    pub model: String,
    /// What was called.
    pub call: Call,
    /// From the smallest perplexity to the largest.
    pub points: Vec<TradeoffPoint>,
}

/// One backend.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TradeoffPoint {
    /// The backend.
    pub backend: String,
    /// On the corpus of the run's accuracy evaluation.
    pub perplexity: f64,
    /// Tokens that it is over.
    pub tokens: u64,
    /// Geometric mean of throughput over the baseline's.
    pub throughput_ratio: f64,
    /// What the accuracy gate says of it.
    pub accuracy: Verdict,
    /// Whether no backend is both as exact and faster, or as fast and more exact.
    pub on_front: bool,
}

/// One for each model and call in which two backends and more have both.
pub(super) fn tradeoffs(standings: &[Standing], evaluations: &[Evaluation]) -> Vec<Tradeoff> {
    let same_table = |a: &Standing, b: &Standing| (&a.model, a.call) == (&b.model, b.call);
    standings.chunk_by(same_table).filter_map(|table| of_table(table, evaluations)).collect()
}

fn of_table(table: &[Standing], evaluations: &[Evaluation]) -> Option<Tradeoff> {
    let first = table.first()?;
    let point = |standing: &Standing| {
        let found =
            evaluations.iter().find(|of| of.model == standing.model && of.backend == standing.backend)?;
        let figures = found.figures.as_ref()?;
        Some(TradeoffPoint {
            backend: standing.backend.clone(),
            perplexity: figures.perplexity,
            tokens: figures.tokens,
            throughput_ratio: standing.throughput_ratio?,
            accuracy: found.verdict,
            on_front: false,
        })
    };
    let mut points: Vec<TradeoffPoint> = table.iter().filter_map(point).collect();
    points.sort_by(|a, b| {
        a.perplexity.total_cmp(&b.perplexity).then(b.throughput_ratio.total_cmp(&a.throughput_ratio))
    });
    let beats = |a: &TradeoffPoint, b: &TradeoffPoint| {
        let as_good = a.perplexity <= b.perplexity && a.throughput_ratio >= b.throughput_ratio;
        as_good && (a.perplexity < b.perplexity || a.throughput_ratio > b.throughput_ratio)
    };
    let front: Vec<bool> = points.iter().map(|of| !points.iter().any(|other| beats(other, of))).collect();
    points.iter_mut().zip(front).for_each(|(point, on_front)| point.on_front = on_front);
    (points.len() > 1).then(|| Tradeoff { model: first.model.clone(), call: first.call, points })
}
