//! From tests to verdicts: of workers and calls, then of each cell.

use super::families::{Adjusted, CALLS, CELLS, Findings, WORKERS};
use super::level::Level;
use super::metric::{Basis, FastestChange, Metric, MetricChange, SiblingChange, Verdict};
use super::outcome::{GroupChange, Settings};
use super::shift::mean;
use super::worker::{MetricPair, Pair, Worker};
use crate::analysis::Call;
use crate::stats::effect_size;

/// The worker as a whole, then its calls.
pub(super) fn groups(worker: &Worker<'_>, findings: &Findings, settings: Settings) -> Vec<GroupChange> {
    let of = |call: Option<Call>, adjusted: &Adjusted, alpha: f64| {
        let name = &worker.pairs.first()?.before.name;
        let after = &worker.pairs.first()?.after.name.backend;
        let own = || worker.shifts().filter(|(other, _)| call.is_none_or(|call| call == *other));
        let change = mean(own().map(|(_, shift)| shift.change)).exp_m1();
        Some(GroupChange {
            model: name.model.clone(),
            backend: name.backend.clone(),
            backend_after: (after != &name.backend).then(|| after.clone()),
            call,
            cells: own().count(),
            change,
            tested: adjusted.tested.change.exp_m1(),
            ci95: adjusted.tested.ci95(),
            p: adjusted.tested.p,
            p_adjusted: adjusted.p,
            verdict: verdict(&[change, adjusted.tested.change.exp_m1()], adjusted.p < alpha, settings),
        })
    };
    let whole = findings.level.as_ref().and_then(|(_, adjusted)| of(None, adjusted, WORKERS));
    let calls = findings.calls.iter().filter_map(|(call, adjusted)| of(Some(*call), adjusted, CALLS));
    whole.into_iter().chain(calls).collect()
}

/// Of what is significant: faster or slower where every one of `changes` is, by the threshold or more.
fn verdict(changes: &[f64], is_significant: bool, settings: Settings) -> Verdict {
    let all = |is: fn(f64, f64) -> bool| changes.iter().all(|change| is(*change, settings.threshold));
    match is_significant {
        true if all(|change, threshold| change > 0.0 && change >= threshold) => Verdict::Slower,
        true if all(|change, threshold| change < 0.0 && -change >= threshold) => Verdict::Faster,
        _ => Verdict::NoChangeShown,
    }
}

/// All metrics of one cell; `groups` are those of its worker.
pub(super) fn metrics(
    pair: &Pair<'_>,
    level: Option<&Level>,
    cell: Option<&Adjusted>,
    groups: &[GroupChange],
    settings: Settings,
) -> Vec<MetricChange> {
    let of = |metric: &MetricPair| {
        let mut found = described(metric, level);
        if metric.metric == Metric::Latency {
            found.beyond_siblings = cell.map(siblings);
            (found.verdict, found.basis) = judged(&found, pair.before.name.call, groups, settings);
        }
        found
    };
    pair.metrics.iter().map(of).collect()
}

/// Without a verdict of its own.
fn described(of: &MetricPair, level: Option<&Level>) -> MetricChange {
    let (before, after) = of.summaries;
    let means = before.mean.zip(after.mean).filter(|(before, _)| *before > 0.0);
    let fastest = of.shift.map(|shift| {
        let ci95 = level.and_then(|level| level.of_cell(shift.change, shift.error).ci95());
        FastestChange { change: shift.change.exp_m1(), ci95 }
    });
    MetricChange {
        metric: of.metric,
        before,
        after,
        change: means.map(|(before, after)| after / before - 1.0),
        fastest,
        beyond_siblings: None,
        effect: effect_size(&after, &before),
        basis: None,
        verdict: if fastest.is_some() { Verdict::NotTested } else { Verdict::TooFewRuns },
    }
}

fn siblings(of: &Adjusted) -> SiblingChange {
    let Adjusted { tested, p } = of;
    SiblingChange { change: tested.change.exp_m1(), ci95: tested.ci95(), p: tested.p, p_adjusted: *p }
}

/// The narrowest test that claims something decides. A group's claim is a cell's where the cell moved the same way, by the
/// threshold or more; every claim wants the mean to have moved that way too.
fn judged(
    of: &MetricChange,
    call: Call,
    groups: &[GroupChange],
    settings: Settings,
) -> (Verdict, Option<Basis>) {
    let (Some(fastest), Some(mean)) = (of.fastest, of.change) else { return (Verdict::TooFewRuns, None) };
    let group = |wanted: Option<Call>| {
        let own = groups.iter().find(|group| group.call == wanted && group.verdict.is_change());
        own.map(|group| verdict(&[fastest.change, group.change.signum()], true, settings))
    };
    let own = of
        .beyond_siblings
        .map(|beyond| verdict(&[fastest.change, beyond.change], beyond.p_adjusted < CELLS, settings));
    let bases = [(Basis::Cell, own), (Basis::Call, group(Some(call))), (Basis::Worker, group(None))];
    let is_meant = |verdict: Verdict| match verdict {
        Verdict::Slower => mean > 0.0,
        Verdict::Faster => mean < 0.0,
        _ => false,
    };
    for (basis, verdict) in bases {
        if let Some(verdict) = verdict.filter(|verdict| is_meant(*verdict)) {
            return (verdict, Some(basis));
        }
    }
    let within =
        fastest.ci95.is_some_and(|of| of.low >= -settings.threshold && of.high <= settings.threshold);
    (if within { Verdict::Equivalent } else { Verdict::NoChangeShown }, None)
}
