//! What the cells of one worker have in common: the level of its process, its minute and its share of the processor.

use super::cells::Cell;
use super::metric::Metric;
use super::shift::{Shift, mean};
use crate::analysis::Call;
use crate::stats::{Summary, summary};

/// A worker that had less than this share of one core (from 0 to its number of cores) was waiting, not computing, and
/// what else ran on the processor does not explain its times.
const BUSY: f64 = 0.1;
/// Most that competition is held to explain, as a factor.
const MOST_COMPETITION: f64 = 4.0;

/// One cell before and after, by metric.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    pub(super) before: &'a Cell,
    pub(super) after: &'a Cell,
    /// Latency first.
    pub(super) metrics: Vec<MetricPair>,
}

/// One metric of one cell before and after.
#[derive(Debug)]
pub(super) struct MetricPair {
    pub(super) metric: Metric,
    pub(super) summaries: (Summary, Summary),
    /// None where there are too few runs.
    pub(super) shift: Option<Shift>,
}

impl<'a> Pair<'a> {
    pub(super) fn new(before: &'a Cell, after: &'a Cell) -> Self {
        let metrics = Metric::of(before.name.call.mode).iter().map(|&metric| {
            let values = |cell: &Cell| cell.runs.iter().filter_map(metric.value()).collect::<Vec<f64>>();
            let summaries = (summary(&values(before)), summary(&values(after)));
            MetricPair { metric, summaries, shift: Shift::of(&before.runs, &after.runs, metric.value()) }
        });
        Self { before, after, metrics: metrics.collect() }
    }

    pub(super) fn latency(&self) -> Option<&Shift> {
        self.metrics.first()?.shift.as_ref()
    }
}

/// The pairs of one model on one backend.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    pub(super) pairs: Vec<Pair<'a>>,
    /// Cores in use on average, before and after; none without a counter on both sides.
    pub(super) cores: Option<(f64, f64)>,
    /// Whether a smaller share of the processor can be competition.
    can_compete: bool,
}

impl<'a> Worker<'a> {
    /// `same_cpu_use`: both sides were to use the processor alike.
    pub(super) fn new(mut pairs: Vec<Pair<'a>>, same_cpu_use: bool) -> Self {
        let cores = cores(pairs.iter().map(|p| p.before)).zip(cores(pairs.iter().map(|p| p.after)));
        let can_compete = same_cpu_use && cores.is_some_and(|(a, b)| a.max(b) >= BUSY);
        for shift in pairs.iter_mut().flat_map(|pair| &mut pair.metrics).filter_map(|of| of.shift.as_mut()) {
            shift.cores = if can_compete { bounded(shift.cores) } else { 0.0 };
        }
        Self { pairs, cores, can_compete }
    }

    /// ln of the change of the share of the processor, where competition can have caused it.
    pub(super) fn cores_change(&self) -> f64 {
        match self.cores.filter(|_| self.can_compete) {
            Some((before, after)) => bounded((after / before).ln()),
            None => 0.0,
        }
    }

    /// The latencies of the cells that have enough runs, in the order of the pairs.
    pub(super) fn shifts(&self) -> impl Iterator<Item = (Call, &Shift)> {
        self.pairs.iter().filter_map(|pair| Some((pair.before.name.call, pair.latency()?)))
    }

    /// The mean of the cells' changes of latency, as logarithms.
    pub(super) fn change(&self) -> Option<f64> {
        self.shifts().next()?;
        Some(mean(self.shifts().map(|(_, shift)| shift.change)))
    }
}

fn bounded(cores: f64) -> f64 {
    cores.clamp(-MOST_COMPETITION.ln(), MOST_COMPETITION.ln())
}

/// CPU time over time, of the runs that have both.
fn cores<'a>(cells: impl Iterator<Item = &'a Cell>) -> Option<f64> {
    let runs = cells.flat_map(|cell| &cell.runs).filter_map(|run| Some((run.cpu?, run.latency)));
    let (cpu, time) = runs.fold((0.0, 0.0), |(cpu, time), (c, t)| (cpu + c, time + t));
    (time > 0.0).then_some(cpu / time)
}
