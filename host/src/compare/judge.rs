//! From two folders to a comparison.

use super::cells::{Cell, Folder};
use super::change::{Estimate, Evidence, evidence};
use super::environment;
use super::metric::{ChangeTest, MetricChange, SiblingChange, Verdict};
use super::notes::notes;
use super::outcome::{
    BackendChange, CellChange, CellName, CellRuns, Comparison, Failure, FailureKind, Health, Settings, Side,
};
use super::pairing::{BackendPair, Paired, pair};
use super::worker::{MetricPair, Pair, Worker};
use super::{ALPHA, CompareError};
use crate::stats::{Interval, effect_size, geometric_mean, holm};
use std::cmp::Reverse;
use std::collections::HashMap;

impl Comparison {
    /// `before` against `after`, or against other backends of its own where there is none.
    pub(super) fn of(
        before: &Folder,
        after: Option<&Folder>,
        named: &[BackendPair],
        settings: Settings,
    ) -> Result<Self, CompareError> {
        let second = after.unwrap_or(before);
        let paired = pair(before, after, named)?;
        let environment = environment::differences(before, second, &paired.backends);
        let workers = workers(before, second, &paired);
        let mut cells = judged(&workers, settings);
        let order = Order::of(before);
        cells.sort_by(|a, b| order.key(&a.cell).cmp(&order.key(&b.cell)));
        let tests = cells.iter().flat_map(|cell| &cell.metrics).filter(|metric| metric.p.is_some()).count();
        let backends = backends(&cells, &paired.backends);
        Ok(Self {
            before: side(before),
            after: side(second),
            notes: notes(before, second, &workers, &cells, &environment),
            environment,
            failures: failures(&cells, settings),
            cells,
            new: paired.new.into_iter().cloned().collect(),
            gone: paired.gone.into_iter().cloned().collect(),
            backends,
            tests,
        })
    }
}

fn side(folder: &Folder) -> Side {
    let recorded = folder.cells.iter().map(|cell| cell.recorded).sum();
    let degraded: u64 = folder.cells.iter().flat_map(|cell| cell.degraded.values()).sum();
    Side {
        folder: folder.path.display().to_string(),
        name: folder.manifest.name.clone(),
        started_at: folder.manifest.started_at.clone(),
        recorded,
        ok: recorded - degraded,
    }
}

fn workers<'a>(before: &Folder, after: &Folder, paired: &Paired<'a>) -> Vec<Worker<'a>> {
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    let mut groups: Vec<Vec<Pair<'a>>> = Vec::new();
    for &(first, second) in &paired.both {
        let key = (first.name.model.as_str(), first.name.backend.as_str());
        let place = *places.entry(key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push(Pair::new(first, second));
    }
    let same_cpu_use = |pairs: &[Pair<'_>]| {
        pairs.first().is_some_and(|pair| {
            let (first, second) = (&pair.before.name, &pair.after.name);
            environment::same_cpu_use(before, after, &first.model, &first.backend, &second.backend)
        })
    };
    let worker = |pairs: Vec<Pair<'a>>| {
        let same = same_cpu_use(&pairs);
        Worker::new(pairs, same)
    };
    groups.into_iter().map(worker).collect()
}

/// Every cell with all p-values adjusted together.
fn judged(workers: &[Worker<'_>], settings: Settings) -> Vec<CellChange> {
    let pairs: Vec<(&Worker<'_>, &Pair<'_>)> =
        workers.iter().flat_map(|worker| worker.pairs.iter().map(move |pair| (worker, pair))).collect();
    let found: Vec<Vec<Option<Evidence>>> = pairs
        .iter()
        .map(|(worker, pair)| {
            let of = |metric: &MetricPair| Some(evidence(worker, metric.metric, metric.samples.as_ref()?));
            pair.metrics.iter().map(of).collect()
        })
        .collect();
    let p: Vec<f64> = found.iter().flatten().flatten().map(|evidence| evidence.p).collect();
    let mut adjusted = holm(&p).into_iter();
    let mut cells = Vec::with_capacity(pairs.len());
    for ((_, pair), found) in pairs.into_iter().zip(found) {
        let metrics = pair.metrics.iter().zip(found).map(|(metric, evidence)| {
            let evidence = evidence.map(|evidence| (evidence, adjusted.next().unwrap_or(1.0)));
            metric_change(metric, evidence, settings)
        });
        cells.push(cell_change(pair, metrics.collect()));
    }
    cells
}

fn metric_change(of: &MetricPair, found: Option<(Evidence, f64)>, settings: Settings) -> MetricChange {
    let (before, after) = of.summaries;
    let means = before.mean.zip(after.mean).filter(|(before, _)| *before > 0.0);
    let siblings = found.and_then(|(evidence, _)| evidence.siblings);
    MetricChange {
        metric: of.metric,
        before,
        after,
        change: means.map(|(before, after)| after / before - 1.0),
        change_ci95: found.and_then(|(evidence, _)| as_shares(&evidence.level)),
        beyond_siblings: siblings.map(|of| SiblingChange { change: of.ratio - 1.0, ci95: as_shares(&of) }),
        test: found.map(|(evidence, _)| evidence.test),
        p: found.map(|(evidence, _)| evidence.p),
        p_adjusted: found.map(|(_, p)| p),
        effect: effect_size(&after, &before),
        verdict: found.map_or(Verdict::TooFewRuns, |(evidence, p)| verdict(&evidence, p, settings)),
    }
}

fn as_shares(estimate: &Estimate) -> Option<Interval> {
    let Interval { low, high } = estimate.ci95?;
    Some(Interval { low: low - 1.0, high: high - 1.0 }).filter(|of| of.low.is_finite() && of.high.is_finite())
}

fn verdict(evidence: &Evidence, p_adjusted: f64, settings: Settings) -> Verdict {
    let size = evidence.size();
    if p_adjusted < ALPHA && size.abs() >= settings.threshold {
        return if size > 0.0 { Verdict::Slower } else { Verdict::Faster };
    }
    let within = |of: Interval| of.low >= -settings.threshold && of.high <= settings.threshold;
    if as_shares(&evidence.level).is_some_and(within) { Verdict::Equivalent } else { Verdict::NoChangeShown }
}

fn cell_change(pair: &Pair<'_>, metrics: Vec<MetricChange>) -> CellChange {
    let (first, second) = (pair.before, pair.after);
    let renamed = first.name.backend != second.name.backend;
    let (before, after) = (runs(first), runs(second));
    let health = match (before.degraded.is_empty(), after.degraded.is_empty()) {
        (true, true) => Health::Sound,
        (true, false) if before.ok > 0 => Health::NewlyDegraded,
        (false, true) if after.ok > 0 => Health::NoLongerDegraded,
        _ => Health::Degraded,
    };
    CellChange {
        cell: first.name.clone(),
        backend_after: renamed.then(|| second.name.backend.clone()),
        before,
        after,
        health,
        metrics,
    }
}

fn runs(cell: &Cell) -> CellRuns {
    let degraded: u64 = cell.degraded.values().sum();
    CellRuns {
        recorded: cell.recorded,
        ok: cell.recorded - degraded,
        degraded: cell.degraded.clone(),
        message: cell.message.clone(),
    }
}

fn failures(cells: &[CellChange], settings: Settings) -> Vec<Failure> {
    let mut failures = Vec::new();
    for cell in cells {
        let mut fail = |kind| failures.push(Failure { cell: cell.cell.clone(), kind });
        if cell.health == Health::NewlyDegraded {
            fail(FailureKind::NewlyDegraded { runs: cell.after.degraded.values().sum() });
        }
        for metric in cell.metrics.iter().filter(|metric| metric.verdict == Verdict::Slower) {
            if let Some(change) = metric.change.filter(|_| metric.size() > settings.fail_above) {
                fail(FailureKind::Slower { metric: metric.metric, change });
            }
        }
    }
    failures
}

impl Evidence {
    /// What is claimed, as a share.
    fn size(&self) -> f64 {
        claimed(self.test, self.level.ratio - 1.0, self.siblings.map(|found| found.ratio - 1.0))
    }
}

impl MetricChange {
    /// What is claimed, as a share; 0 where nothing is.
    fn size(&self) -> f64 {
        let (change, siblings) = (self.change.unwrap_or_default(), self.beyond_siblings.map(|of| of.change));
        self.test.map_or(0.0, |test| claimed(test, change, siblings))
    }
}

/// Where the other cells decide, the smaller of both estimates.
fn claimed(test: ChangeTest, change: f64, siblings: Option<f64>) -> f64 {
    match siblings {
        Some(beyond) if test == ChangeTest::Siblings && beyond.abs() < change.abs() => beyond,
        _ => change,
    }
}

fn backends(cells: &[CellChange], pairs: &[(&str, &str)]) -> Vec<BackendChange> {
    let of = |&(before, after): &(&str, &str)| {
        let own = || cells.iter().filter(|cell| cell.cell.backend == before);
        let ratios: Vec<f64> = own().filter_map(|cell| Some(1.0 + cell.metrics.first()?.change?)).collect();
        let says = |cell: &CellChange, verdict| cell.metrics.iter().any(|metric| metric.verdict == verdict);
        let slower = |cell: &&CellChange| says(cell, Verdict::Slower);
        BackendChange {
            backend: before.into(),
            backend_after: (before != after).then(|| after.into()),
            cells: ratios.len(),
            latency_ratio: geometric_mean(&ratios),
            faster: own().filter(|cell| says(cell, Verdict::Faster) && !slower(cell)).count(),
            slower: own().filter(slower).count(),
        }
    };
    pairs.iter().map(of).collect()
}

/// Cells in reading order: models and backends as the first folder's manifest has them.
struct Order<'a> {
    models: HashMap<&'a str, usize>,
    backends: HashMap<&'a str, usize>,
}

impl<'a> Order<'a> {
    fn of(folder: &'a Folder) -> Self {
        let rank =
            |names: Vec<&'a str>| names.into_iter().enumerate().map(|(rank, name)| (name, rank)).collect();
        let models = folder.manifest.models.iter().map(|model| model.name.as_str()).collect();
        Self { models: rank(models), backends: rank(folder.backends()) }
    }

    fn key<'c>(&self, cell: &'c CellName) -> impl Ord + use<'c> {
        let rank = |of: &HashMap<&str, usize>, name: &str| of.get(name).copied().unwrap_or(usize::MAX);
        let call = (cell.call.mode, Reverse(cell.call.use_cache));
        let model = (rank(&self.models, &cell.model), &cell.model);
        (model, call, &cell.scenario, rank(&self.backends, &cell.backend), &cell.backend)
    }
}
