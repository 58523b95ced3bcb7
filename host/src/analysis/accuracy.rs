//! How near backends came to the baseline's accuracy, and the mark that this leaves beside their speeds.

use super::Analysis;
use super::cell::CellSummary;
use super::order::Order;
use crate::accuracy::{Evaluation, Verdict};
use crate::manifest::Manifest;
use crate::store::Evaluations;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// The evaluations of one run folder.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Accuracy {
    /// Pairs of model and backend that are to be evaluated.
    pub planned: u64,
    /// Those that were.
    pub recorded: u64,
    /// Those without a record.
    pub missing: u64,
    /// Whether a torn last line of `accuracy.jsonl` was left out.
    pub torn: bool,
    /// The first of each pair: models and backends as the manifest lists them.
    pub evaluations: Vec<Evaluation>,
}

impl Accuracy {
    /// How many ended so.
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.evaluations.iter().filter(|of| of.verdict == verdict).count() as u64
    }

    /// The evaluations, those of one model together.
    pub fn models(&self) -> impl Iterator<Item = &[Evaluation]> {
        self.evaluations.chunk_by(|a, b| a.model == b.model)
    }

    pub(super) fn of(manifest: &Manifest, found: &Evaluations) -> Option<Self> {
        let planned = manifest.planned_evaluations;
        if planned == 0 && found.evaluations.is_empty() {
            return None;
        }
        let mut seen = HashSet::new();
        let first =
            found.evaluations.iter().filter(|of| seen.insert((of.model.as_str(), of.backend.as_str())));
        let mut evaluations: Vec<Evaluation> = first.cloned().collect();
        let models = Order::new(manifest.models.iter().map(|model| model.name.as_str()));
        let backends = Order::new(manifest.backends.iter().map(|backend| backend.name.as_str()));
        evaluations.sort_by_cached_key(|of| {
            (models.rank(&of.model), of.model.clone(), backends.rank(&of.backend), of.backend.clone())
        });
        let recorded = evaluations.len() as u64;
        let missing = planned.saturating_sub(recorded);
        Some(Self { planned, recorded, missing, torn: found.torn, evaluations })
    }
}

/// Sets every cell's mark.
pub(super) fn mark(cells: &mut [CellSummary], accuracy: Option<&Accuracy>) {
    let evaluations = accuracy.map_or(&[][..], |accuracy| &accuracy.evaluations);
    let pair = |of: &Evaluation| ((of.model.clone(), of.backend.clone()), of.verdict);
    let verdicts: HashMap<(String, String), Verdict> = evaluations.iter().map(pair).collect();
    for cell in cells {
        cell.accuracy = verdicts.get(&(cell.model.clone(), cell.backend.clone())).copied();
    }
}

impl Analysis {
    /// What the gate says of a backend on a model; none where it was not evaluated.
    pub fn verdict(&self, model: &str, backend: &str) -> Option<Verdict> {
        let evaluations = self.accuracy.iter().flat_map(|accuracy| &accuracy.evaluations);
        evaluations.filter(|of| of.model == model && of.backend == backend).map(|of| of.verdict).next()
    }
}
