//! What the cells of one worker have in common: the level of its process, its minute and its share of the processor.

use super::cells::Cell;
use super::metric::Metric;
use super::sample::{Pool, Sample};
use super::siblings::Siblings;
use crate::stats::Summary;

/// A worker that had less than this share of one core (from 0 to its number of cores) was waiting, not computing, and
/// what else ran on the processor does not explain its times.
const BUSY: f64 = 0.5;
/// Most that competition is held to explain, as a factor.
const MOST_COMPETITION: f64 = 4.0;

/// One cell before and after, by metric.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    pub(super) before: &'a Cell,
    pub(super) after: &'a Cell,
    pub(super) metrics: Vec<MetricPair>,
}

/// One metric of one cell before and after. The samples are none where there are too few runs.
#[derive(Debug)]
pub(super) struct MetricPair {
    pub(super) metric: Metric,
    pub(super) summaries: (Summary, Summary),
    pub(super) samples: Option<(Sample, Sample)>,
}

impl<'a> Pair<'a> {
    pub(super) fn new(before: &'a Cell, after: &'a Cell) -> Self {
        let metrics = Metric::of(before.name.call.mode).iter().map(|&metric| {
            let (a, first) = Sample::of(&before.runs, metric.value());
            let (b, second) = Sample::of(&after.runs, metric.value());
            MetricPair { metric, summaries: (a, b), samples: first.zip(second) }
        });
        Self { before, after, metrics: metrics.collect() }
    }

    pub(super) fn metric(&self, metric: Metric) -> Option<&(Sample, Sample)> {
        self.metrics.iter().find(|pair| pair.metric == metric)?.samples.as_ref()
    }
}

impl MetricPair {
    /// Mean after over mean before.
    pub(super) fn ratio((before, after): &(Sample, Sample)) -> f64 {
        after.mean / before.mean
    }
}

/// The pairs of one model on one backend.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    pub(super) pairs: Vec<Pair<'a>>,
    /// Per metric, before and after.
    pools: Vec<(Metric, [Pool; 2])>,
    /// Cores in use on average, before and after; none without a counter on both sides.
    pub(super) shares: Option<(f64, f64)>,
    /// Whether a smaller share of the processor can be competition: both sides were to use it alike.
    pub(super) same_cpu_use: bool,
    pub(super) siblings: Siblings,
}

impl<'a> Worker<'a> {
    pub(super) fn new(pairs: Vec<Pair<'a>>, same_cpu_use: bool) -> Self {
        let pools: Vec<(Metric, [Pool; 2])> =
            Metric::ALL.into_iter().map(|metric| (metric, pools(&pairs, metric))).collect();
        let shares = share(pairs.iter().map(|p| p.before)).zip(share(pairs.iter().map(|p| p.after)));
        let latency = pools.iter().find(|(metric, _)| *metric == Metric::Latency).map(|(_, pools)| *pools);
        let siblings = Siblings::of(&pairs, latency.unwrap_or_default());
        Self { pairs, pools, shares, same_cpu_use, siblings }
    }

    pub(super) fn pools(&self, metric: Metric) -> [Pool; 2] {
        self.pools.iter().find(|(of, _)| *of == metric).map(|(_, pools)| *pools).unwrap_or_default()
    }

    /// How much the worker's level is held to vary, before and after: as a single run's latency does.
    pub(super) fn levels(&self) -> [Pool; 2] {
        self.pools(Metric::Latency)
    }

    /// ln of the change of the share of the processor, where competition can have caused it.
    pub(super) fn share_change(&self) -> f64 {
        match self.shares.filter(|(a, b)| self.same_cpu_use && a.max(*b) >= BUSY) {
            Some((before, after)) => {
                (after / before).ln().clamp(-MOST_COMPETITION.ln(), MOST_COMPETITION.ln())
            }
            None => 0.0,
        }
    }

    /// The median of the cells' latency changes, as logarithms.
    pub(super) fn level(&self) -> Option<f64> {
        self.siblings.median()
    }
}

fn pools(pairs: &[Pair<'_>], metric: Metric) -> [Pool; 2] {
    let samples = || pairs.iter().filter_map(|pair| pair.metric(metric));
    [Pool::of(samples().map(|(before, _)| before)), Pool::of(samples().map(|(_, after)| after))]
}

/// CPU time over time, of the runs that have both.
fn share<'a>(cells: impl Iterator<Item = &'a Cell>) -> Option<f64> {
    let runs = cells.flat_map(|cell| &cell.runs).filter_map(|run| Some((run.cpu?, run.latency)));
    let (cpu, time) = runs.fold((0.0, 0.0), |(cpu, time), (c, t)| (cpu + c, time + t));
    (time > 0.0).then_some(cpu / time)
}
