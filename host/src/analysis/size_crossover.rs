//! Where the faster of two backends changes with the size of the model.

use super::cell::CellSummary;
use super::group::{Call, Scenario};
use super::order::distinct;
use super::table::enough_of_both;
use crate::manifest::Manifest;
use crate::stats::{Crossover, CrossoverPoint, crossover, geometric_ratio};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashMap;

/// Fewest models of which a line is drawn.
const LEAST_MODELS: usize = 3;

/// Two backends over the models that both ran, under one call.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SizeCrossover {
    /// What was called.
    pub call: Call,
    /// The numerator of the ratios.
    pub backend: String,
    /// The denominator.
    pub against: String,
    /// From the smallest model to the largest.
    pub points: Vec<SizePoint>,
    /// The line through them.
    pub fit: Crossover,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SizePoint {
    /// The model.
    pub model: String,
    /// Its parameters, counted.
    pub params: u64,
    /// Scenarios of which both backends have 3 ok runs and more at every size of the line.
    pub scenarios: usize,
    /// Ok runs of both backends in these.
    pub n: usize,
    /// Geometric mean over these of `backend`'s throughput over `against`'s.
    pub ratio: f64,
    /// Its 95% interval over repetitions.
    pub ratio_ci95: Option<crate::stats::Interval>,
}

/// The cells of each model under each call.
type Tables<'a> = HashMap<(&'a str, Call), &'a [CellSummary]>;

/// For every call and pair of backends with three models of known, different sizes, seeded by `seed`.
pub(super) fn size_crossovers(manifest: &Manifest, cells: &[CellSummary], seed: u64) -> Vec<SizeCrossover> {
    let tables: Vec<&[CellSummary]> = cells.chunk_by(CellSummary::same_table).collect();
    let by_model: Tables<'_> = tables
        .iter()
        .filter_map(|table| table.first().map(|cell| ((cell.model.as_str(), cell.call), *table)))
        .collect();
    let mut pairs = Vec::new();
    for call in distinct(tables.iter().filter_map(|table| table.first()).map(|cell| cell.call)) {
        let backends =
            distinct(cells.iter().filter(|cell| cell.call == call).map(|cell| cell.backend.as_str()));
        for (index, against) in backends.iter().enumerate() {
            pairs.extend(backends[index + 1..].iter().map(|backend| (call, *backend, *against)));
        }
    }
    // Each draws thousands of resamples.
    let fitted = pairs.par_iter().map(|&(call, backend, against)| {
        fitted(call, backend, against, points(manifest, &by_model, call, backend, against), seed)
    });
    fitted.collect::<Vec<_>>().into_iter().flatten().collect()
}

fn fitted(
    call: Call,
    backend: &str,
    against: &str,
    points: Vec<SizePoint>,
    seed: u64,
) -> Option<SizeCrossover> {
    if points.len() < LEAST_MODELS {
        return None;
    }
    let pairs: Vec<CrossoverPoint> = points
        .iter()
        .map(|point| CrossoverPoint { params: point.params as f64, ratio: point.ratio })
        .collect();
    let fit = crossover(&pairs, seed)?;
    Some(SizeCrossover { call, backend: backend.into(), against: against.into(), points, fit })
}

fn points(
    manifest: &Manifest,
    tables: &Tables<'_>,
    call: Call,
    backend: &str,
    against: &str,
) -> Vec<SizePoint> {
    let shared = |entry: &crate::manifest::ModelEntry| {
        let params = entry.parameters.filter(|&params| params > 0)?;
        let pairs = enough_of_both(tables.get(&(entry.name.as_str(), call))?, backend, against);
        (!pairs.is_empty()).then(|| (entry.name.clone(), params, pairs))
    };
    let models: Vec<_> = manifest.models.iter().filter_map(shared).collect();
    // A scenario that only some sizes have would bend the line by its own ratio.
    let everywhere = |scenario: &Scenario| {
        models.iter().all(|(_, _, pairs)| pairs.iter().any(|(own, _)| own.scenario == *scenario))
    };
    let point = |(model, params, pairs): &(String, u64, Vec<(&CellSummary, &CellSummary)>)| {
        let pairs = pairs.iter().filter(|(own, _)| everywhere(&own.scenario));
        let pairs: Vec<_> = pairs.map(|(a, b)| (&a.throughput_tok_s, &b.throughput_tok_s)).collect();
        let found = geometric_ratio(&pairs)?;
        let n = pairs.iter().map(|(a, b)| a.n + b.n).sum();
        let (ratio, ratio_ci95) = (found.ratio, found.ci95);
        Some(SizePoint {
            model: model.clone(),
            params: *params,
            scenarios: pairs.len(),
            n,
            ratio,
            ratio_ci95,
        })
    };
    let mut points: Vec<SizePoint> = models.iter().filter_map(point).collect();
    points.sort_by_key(|point| point.params);
    points
}
