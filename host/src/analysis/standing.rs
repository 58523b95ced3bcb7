//! Backends over all scenarios of one model and call: the overall ratio, ranks, and where the variance comes from.
//!
//! Scenarios are summed up by the geometric mean of their ratios. Figures over the runs of all scenarios together mix the
//! spread of scenarios with that of repetitions; they are called pooled.

use super::cell::CellSummary;
use super::group::{Call, Group};
use super::order::distinct;
use super::rate::Rate;
use crate::stats::{
    EffectSize, Interval, Summary, TTest, Test, VarianceSplit, effect_size, geometric_mean, geometric_ratio,
    summary, t_test, variance_split,
};
use schemars::JsonSchema;
use serde::Serialize;

/// One backend on one model and call.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Standing {
    /// The model.
    pub model: String,
    /// What was called.
    pub call: Call,
    /// The backend.
    pub backend: String,
    /// Scenarios in which it has an ok run.
    pub scenarios: usize,
    /// Scenarios that it shares with the baseline, over which the ratio is.
    pub compared_scenarios: usize,
    /// Geometric mean over these of throughput over the baseline's.
    pub throughput_ratio: Option<f64>,
    /// Its 95% interval over repetitions of these scenarios.
    pub throughput_ratio_ci95: Option<Interval>,
    /// Mean over scenarios of its place by mean throughput, from 1.
    pub mean_rank: Option<f64>,
    /// Scenarios in which it is first.
    pub wins: usize,
    /// Runs that gave no valid measurement.
    pub degraded_rate: Rate,
    /// Over the runs of all scenarios together.
    pub pooled: Pooled,
    /// How much of the latency's variance lies between scenarios, and how much within.
    pub variance: Option<VarianceSplit>,
    /// The largest resident set of any of its cells, MB (10^6 bytes).
    pub rss_peak_mb: Option<f64>,
    /// Geometric mean over its scenarios of cost per million tokens; none without a price.
    pub cost_per_million_tokens: Option<f64>,
}

/// Over the runs of all scenarios together.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Pooled {
    /// Milliseconds.
    pub latency_ms: Summary,
    /// Tokens per second.
    pub throughput_tok_s: Summary,
    /// The latency less the baseline's; none for the baseline, and where the two have not the same scenarios.
    pub latency_test: Option<TTest>,
    /// Of the same.
    pub latency_effect: Option<EffectSize>,
}

/// One for each backend of each model and call, in the cells' order; `groups` has one for each of `cells`.
pub(super) fn standings(
    cells: &[CellSummary],
    groups: &[Group],
    baseline: Option<&str>,
    test: Test,
) -> Vec<Standing> {
    let mut found = Vec::new();
    let mut start = 0;
    for table in cells.chunk_by(CellSummary::same_table) {
        let groups = &groups[start..start + table.len()];
        start += table.len();
        found.extend(of_table(table, groups, baseline, test));
    }
    found
}

/// The cells of one backend in one table, with their latencies and throughputs run by run.
struct Column<'a> {
    cells: Vec<&'a CellSummary>,
    groups: Vec<&'a Group>,
}

impl<'a> Column<'a> {
    fn of(table: &'a [CellSummary], groups: &'a [Group], backend: &str) -> Self {
        let both = table.iter().zip(groups).filter(|(cell, _)| cell.backend == backend);
        let (cells, groups) = both.unzip();
        Self { cells, groups }
    }

    fn measured(&self) -> impl Iterator<Item = &'a CellSummary> + '_ {
        self.cells.iter().copied().filter(|cell| cell.ok > 0)
    }

    fn same_scenarios(&self, other: &Self) -> bool {
        let names = |of: &Self| of.measured().map(|cell| cell.scenario.clone()).collect::<Vec<_>>();
        names(self) == names(other)
    }

    fn latencies(&self) -> Vec<Vec<f64>> {
        let of = |group: &&Group| group.ok().filter_map(|run| run.latency_ms.get()).collect();
        self.groups.iter().map(of).collect()
    }

    fn throughputs(&self) -> Vec<f64> {
        self.groups.iter().flat_map(|group| group.ok()).filter_map(|run| run.throughput_tok_s.get()).collect()
    }
}

fn of_table(table: &[CellSummary], groups: &[Group], baseline: Option<&str>, test: Test) -> Vec<Standing> {
    let backends = distinct(table.iter().map(|cell| cell.backend.as_str()));
    let base = baseline.map(|name| Column::of(table, groups, name));
    let base_latency = base.as_ref().map(|base| summary(&base.latencies().concat()));
    let standing = |backend: &&str| {
        let column = Column::of(table, groups, backend);
        let against = base.as_ref().zip(base_latency.as_ref()).filter(|_| Some(*backend) != baseline);
        standing(table, &column, base.as_ref(), against, test)
    };
    backends.iter().filter_map(standing).collect()
}

fn standing(
    table: &[CellSummary],
    column: &Column<'_>,
    base: Option<&Column<'_>>,
    against: Option<(&Column<'_>, &Summary)>,
    test: Test,
) -> Option<Standing> {
    let first = column.cells.first()?;
    let pairs = pairs(column, base);
    let ratio = geometric_ratio(&pairs);
    let places: Vec<usize> = column.measured().filter_map(|cell| place(table, cell)).collect();
    let latencies = column.latencies();
    let groups: Vec<&[f64]> = latencies.iter().map(Vec::as_slice).filter(|of| !of.is_empty()).collect();
    let tested = against.filter(|(base, _)| base.same_scenarios(column)).map(|(_, latency)| latency);
    let costs: Vec<f64> = column.measured().filter_map(|cell| cell.cost_per_million_tokens).collect();
    let (recorded, ok) =
        column.cells.iter().fold((0, 0), |sum, cell| (sum.0 + cell.recorded, sum.1 + cell.ok));
    Some(Standing {
        model: first.model.clone(),
        call: first.call,
        backend: first.backend.clone(),
        scenarios: column.measured().count(),
        compared_scenarios: pairs.len(),
        throughput_ratio: ratio.map(|of| of.ratio),
        // The baseline's own ratio is 1 by definition.
        throughput_ratio_ci95: ratio.and_then(|of| of.ci95).filter(|_| against.is_some()),
        mean_rank: (!places.is_empty()).then(|| places.iter().sum::<usize>() as f64 / places.len() as f64),
        wins: places.iter().filter(|place| **place == 1).count(),
        degraded_rate: Rate::of(recorded - ok, recorded),
        pooled: Pooled::of(&latencies.concat(), &column.throughputs(), tested, test),
        variance: variance_split(&groups),
        rss_peak_mb: column.measured().filter_map(|cell| cell.rss_peak_mb).reduce(f64::max),
        cost_per_million_tokens: geometric_mean(&costs),
    })
}

impl Pooled {
    fn of(latencies: &[f64], throughputs: &[f64], base: Option<&Summary>, test: Test) -> Self {
        let latency_ms = summary(latencies);
        Self {
            latency_test: base.and_then(|base| t_test(&latency_ms, base, test)),
            latency_effect: base.and_then(|base| effect_size(&latency_ms, base)),
            throughput_tok_s: summary(throughputs),
            latency_ms,
        }
    }
}

/// Throughputs of the scenarios that both have.
fn pairs<'a>(column: &Column<'a>, base: Option<&Column<'a>>) -> Vec<(&'a Summary, &'a Summary)> {
    let base = base.into_iter().flat_map(|base| base.measured().collect::<Vec<_>>());
    let base: Vec<&CellSummary> = base.collect();
    let pair = |cell: &'a CellSummary| {
        let other = base.iter().find(|other| other.scenario == cell.scenario)?;
        Some((&cell.throughput_tok_s, &other.throughput_tok_s))
    };
    column.measured().filter_map(pair).filter(|(a, b)| a.mean > Some(0.0) && b.mean > Some(0.0)).collect()
}

/// From 1, by mean throughput in the cell's row.
fn place(table: &[CellSummary], cell: &CellSummary) -> Option<usize> {
    let own = cell.throughput_tok_s.mean?;
    let row = table.iter().filter(|other| other.scenario == cell.scenario && other.same_tool(cell));
    let faster = row.filter(|other| other.throughput_tok_s.mean.is_some_and(|mean| mean > own)).count();
    Some(faster + 1)
}
