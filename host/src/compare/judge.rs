//! From two folders to a comparison.

use super::CompareError;
use super::cells::{Cell, Folder};
use super::environment;
use super::failures::failures;
use super::families::findings;
use super::metric::{MetricChange, Verdict};
use super::notes::notes;
use super::outcome::{
    BackendChange, CellChange, CellName, CellRuns, Comparison, GroupChange, Health, Settings, Side, Tests,
};
use super::pairing::{BackendPair, Paired, pair};
use super::verdicts::{groups, metrics};
use super::worker::{Pair, Worker};
use crate::stats::geometric_mean;
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
        let (mut cells, mut groups, tests) = judged(&workers, settings);
        let order = Order::of(before);
        cells.sort_by(|a, b| order.key(&a.cell).cmp(&order.key(&b.cell)));
        groups.sort_by(|a, b| order.group(a).cmp(&order.group(b)));
        let backends = backends(&cells, &paired.backends);
        Ok(Self {
            before: side(before),
            after: side(second),
            notes: notes(before, second, &workers, &cells, &environment),
            environment,
            failures: failures(&groups, &cells, settings),
            cells,
            groups,
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

/// Every cell, and every worker as a whole and by call.
fn judged(workers: &[Worker<'_>], settings: Settings) -> (Vec<CellChange>, Vec<GroupChange>, Tests) {
    let (mut cells, mut all) = (Vec::new(), Vec::new());
    let findings = findings(workers);
    for (worker, found) in workers.iter().zip(&findings) {
        let groups = groups(worker, found, settings);
        let level = found.level.as_ref().map(|(level, _)| level);
        for (pair, cell) in worker.pairs.iter().zip(&found.cells) {
            cells.push(cell_change(pair, metrics(pair, level, cell.as_ref(), &groups, settings)));
        }
        all.extend(groups);
    }
    let tests = Tests {
        workers: findings.iter().filter(|found| found.level.is_some()).count(),
        calls: findings.iter().map(|found| found.calls.len()).sum(),
        cells: findings.iter().flat_map(|found| &found.cells).flatten().count(),
    };
    (cells, all, tests)
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

    fn group<'c>(&self, group: &'c GroupChange) -> impl Ord + use<'c> {
        let call = group.call.map(|call| (call.mode, Reverse(call.use_cache)));
        let model = (rank(&self.models, &group.model), &group.model);
        (model, rank(&self.backends, &group.backend), &group.backend, call)
    }

    fn key<'c>(&self, cell: &'c CellName) -> impl Ord + use<'c> {
        let call = (cell.call.mode, Reverse(cell.call.use_cache));
        let model = (rank(&self.models, &cell.model), &cell.model);
        (model, call, &cell.scenario, rank(&self.backends, &cell.backend), &cell.backend)
    }
}

fn rank(of: &HashMap<&str, usize>, name: &str) -> usize {
    of.get(name).copied().unwrap_or(usize::MAX)
}
