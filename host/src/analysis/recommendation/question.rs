//! One question of one model: which cells it is about, who is a candidate, and how sure the order is.

use super::{Candidate, PassedOver, Recommendation, Use};
use crate::accuracy::Verdict;
use crate::analysis::cell::CellSummary;
use crate::analysis::group::{Call, Scenario};
use crate::analysis::order::distinct;
use crate::stats::{RatioOfMeans, Summary, geometric_mean, geometric_ratio};
use crate::validity::Least;

/// The cells that a use is about.
pub(super) struct Question<'a> {
    of: Use,
    call: Call,
    scenarios: Vec<Scenario>,
    cells: Vec<&'a CellSummary>,
    least: Least,
}

impl<'a> Question<'a> {
    pub(super) fn new(of: Use, call: Call, cells: &[&'a CellSummary], least: Least) -> Option<Self> {
        // What nobody could run, or only another program measured, tells no backends apart.
        let telling: Vec<&CellSummary> = cells.iter().copied().filter(|cell| cell.is_enough()).collect();
        let batches =
            if telling.is_empty() { cells } else { &telling }.iter().map(|cell| cell.scenario.batch);
        let batch = match of {
            Use::LowestLatency => batches.min(),
            Use::HighestThroughput => batches.max(),
            Use::LeastMemory | Use::LeastCost => None,
        };
        let asked = |cell: &&CellSummary| batch.is_none_or(|batch| cell.scenario.batch == batch);
        let cells: Vec<&CellSummary> = cells.iter().copied().filter(asked).collect();
        let scenarios = telling.into_iter().filter(asked).map(|cell| cell.scenario.clone());
        let mut scenarios: Vec<Scenario> = scenarios.collect();
        scenarios.sort();
        scenarios.dedup();
        let known = |cell: &&CellSummary| of != Use::LeastCost || cell.cost_per_million_tokens.is_some();
        let asked = cells.iter().any(known) && !cells.is_empty();
        asked.then_some(Self { of, call, scenarios, cells, least })
    }

    pub(super) fn answer(&self, threshold: f64) -> Option<Recommendation> {
        let backends = distinct(self.cells.iter().map(|cell| cell.backend.as_str()));
        let (mut candidates, mut passed_over) = (Vec::new(), Vec::new());
        for backend in backends {
            let cells = self.of_backend(backend);
            match self.objection(&cells) {
                Some(reason) => passed_over.push(PassedOver { backend: backend.into(), reason }),
                None => match self.candidate(backend, &cells) {
                    Some(candidate) => candidates.push(candidate),
                    None => {
                        let reason = self.of.lacking().to_string();
                        passed_over.push(PassedOver { backend: backend.into(), reason });
                    }
                },
            }
        }
        candidates.sort_by(|a, b| {
            if self.of.less_is_better() { a.value.total_cmp(&b.value) } else { b.value.total_cmp(&a.value) }
        });
        self.weigh(&mut candidates);
        let leads = |of: &&Candidate| {
            let apart = (of.ratio_to_best - 1.0).abs() >= threshold;
            !(apart && of.shown_to_differ())
        };
        let leaders = candidates.iter().filter(leads).map(|of| of.backend.clone()).collect();
        let model = self.cells.first()?.model.clone();
        let (use_case, call, scenarios) = (self.of, self.call, self.scenarios.clone());
        Some(Recommendation { model, use_case, call, scenarios, leaders, candidates, passed_over })
    }

    fn of_backend(&self, backend: &str) -> Vec<&'a CellSummary> {
        self.cells.iter().copied().filter(|cell| cell.backend == backend).collect()
    }

    /// Why the backend of `cells` is no candidate.
    fn objection(&self, cells: &[&CellSummary]) -> Option<String> {
        match cells.first()?.accuracy {
            Some(Verdict::Failed) => return Some("the accuracy gate fails it".into()),
            Some(Verdict::Degraded) => return Some("its accuracy could not be evaluated".into()),
            _ => {}
        }
        if let Some(imported) = cells.iter().find_map(|cell| cell.imported.as_ref()) {
            return Some(format!("measured by {}, not here", imported.tool));
        }
        if cells.iter().all(|cell| cell.ok == 0) {
            let mut kinds: Vec<&str> =
                cells.iter().flat_map(|cell| cell.degraded.keys()).map(|kind| kind.name()).collect();
            kinds.dedup();
            return Some(format!("no ok run ({})", kinds.join(", ")));
        }
        let measured = |scenario: &&Scenario| {
            cells.iter().any(|cell| cell.scenario == **scenario && cell.has_enough_runs())
        };
        let short = self.scenarios.iter().filter(|scenario| !measured(scenario)).count();
        let all = self.scenarios.len();
        match all {
            0 => Some(format!("fewer than {} in every scenario", self.least)),
            _ => (short > 0).then(|| format!("fewer than {} in {short} of {all} scenarios", self.least)),
        }
    }

    fn candidate(&self, backend: &str, cells: &[&CellSummary]) -> Option<Candidate> {
        let asked = cells.iter().copied().filter(|cell| self.scenarios.contains(&cell.scenario));
        let cells: Vec<&CellSummary> = asked.collect();
        let over = |value: fn(&CellSummary) -> Option<f64>| {
            let values: Option<Vec<f64>> = cells.iter().map(|cell| value(cell)).collect();
            geometric_mean(&values?)
        };
        let value = match self.of {
            Use::LowestLatency => over(|cell| cell.latency_ms.mean),
            Use::HighestThroughput => over(|cell| cell.throughput_tok_s.mean),
            Use::LeastCost => over(|cell| cell.cost_per_million_tokens),
            Use::LeastMemory => cells.iter().filter_map(|cell| cell.rss_peak_mb).reduce(f64::max),
        };
        Some(Candidate {
            backend: backend.into(),
            value: value?,
            n: cells.iter().map(|cell| cell.latency_ms.n as u64).sum(),
            disturbed: cells.iter().map(|cell| cell.disturbed_runs()).sum(),
            ratio_to_best: 1.0,
            ratio_ci95: None,
            p_adjusted: None,
            untested: self.of == Use::LeastMemory,
            cells: cells.iter().map(|cell| cell.cell.clone()).collect(),
            accuracy: cells.first().and_then(|cell| cell.accuracy),
        })
    }

    /// Sets each one's ratio to the first, and how sure it is.
    fn weigh(&self, candidates: &mut [Candidate]) {
        let pairs = (candidates.len() * candidates.len().saturating_sub(1) / 2) as f64;
        let Some((best, others)) = candidates.split_first_mut() else { return };
        for other in others {
            other.ratio_to_best = other.value / best.value;
            let Some(ratio) = self.ratio(&other.backend, &best.backend) else { continue };
            other.ratio_ci95 = ratio.ci95;
            other.p_adjusted = ratio.p.map(|p| (p * pairs).min(1.0));
        }
    }

    /// Of a's figure over b's.
    fn ratio(&self, a: &str, b: &str) -> Option<RatioOfMeans> {
        let (ours, theirs) = (self.of_backend(a), self.of_backend(b));
        let pair = |scenario: &Scenario| {
            let of =
                |cells: &[&CellSummary]| self.figures(cells.iter().find(|cell| cell.scenario == *scenario)?);
            Some((of(&ours)?, of(&theirs)?))
        };
        let pairs: Option<Vec<(Summary, Summary)>> = self.scenarios.iter().map(pair).collect();
        let pairs = pairs?;
        let pairs: Vec<(&Summary, &Summary)> = pairs.iter().map(|(a, b)| (a, b)).collect();
        let found = geometric_ratio(&pairs)?;
        match self.of {
            Use::LeastCost => Some(found.inverse()),
            _ => Some(found),
        }
    }

    /// The sample that is tested; for costs that of tokens for a unit of money, whose ratio is the inverse of the costs'.
    fn figures(&self, cell: &CellSummary) -> Option<Summary> {
        match self.of {
            Use::LeastMemory => None,
            Use::LowestLatency => Some(cell.latency_ms),
            Use::HighestThroughput => Some(cell.throughput_tok_s),
            Use::LeastCost => {
                Some(Summary { mean: cell.cost_per_million_tokens.map(f64::recip), ..cell.throughput_tok_s })
            }
        }
    }
}
