//! Figures and sentences that every output has alike.

use super::metric::{ChangeTest, MetricChange, Verdict};
use super::outcome::{CellChange, CellRuns, Comparison, Failure, FailureKind, Health, Settings};
use crate::report::figure::{NONE, figure, p_value};
use crate::stats::{Interval, Summary};
use std::collections::BTreeMap;
use std::fmt;

/// How changes were told from noise, for every output.
pub(super) const METHOD: &str = "level t: after against before, where the runs of one worker share a level that is held to \
    vary between workers as much as a single run does within one, and by as much as its share of the processor changed; \
    sibling t: against the median change of the worker's other cells (the smaller p of the two, doubled); p adjusted by \
    Holm over all tests";

/// `12.3%`.
pub(super) fn percent(share: f64) -> String {
    format!("{}%", digits(share * 100.0))
}

/// `+12.3%`.
pub(super) fn signed(share: f64) -> String {
    let sign = if share < 0.0 { "-" } else { "+" };
    format!("{sign}{}%", digits(share.abs() * 100.0))
}

fn digits(percent: f64) -> String {
    if percent >= 1000.0 { figure(Some(percent)) } else { format!("{percent:.1}") }
}

/// `+12.3%`, or nothing known.
pub(super) fn change(of: &MetricChange) -> String {
    of.change.map_or_else(|| NONE.into(), signed)
}

/// The interval of the change; of a claim that rests on the test against siblings, that one, marked as such.
pub(super) fn interval(of: &MetricChange) -> String {
    let text = |of: Interval| format!("{} to {}", signed(of.low), signed(of.high));
    let siblings = of.beyond_siblings.and_then(|of| of.ci95).filter(|_| is_marked(of));
    match siblings {
        Some(ci95) => format!("{} †", text(ci95)),
        None => of.change_ci95.map_or_else(|| NONE.into(), text),
    }
}

fn is_marked(of: &MetricChange) -> bool {
    of.verdict.is_change() && of.test == Some(ChangeTest::Siblings)
}

/// Whether any interval bears the mark.
pub(super) fn has_mark(comparison: &Comparison) -> bool {
    comparison.cells.iter().flat_map(|cell| &cell.metrics).any(is_marked)
}

/// What the mark means.
pub(super) const MARK: &str = "† of the change beyond that of the worker's other cells";

/// The adjusted p with its test: `0.003 level t`.
pub(super) fn p(of: &MetricChange) -> String {
    match of.p_adjusted.zip(of.test) {
        Some((p, test)) => format!("{} {}", p_value(p), test.name()),
        None => NONE.into(),
    }
}

/// Hedges' g.
pub(super) fn effect(of: &MetricChange) -> String {
    of.effect.map_or_else(|| NONE.into(), |effect| format!("{:.1}", effect.hedges_g))
}

/// `12.3 (5)`: a mean and its n.
pub(super) fn mean(of: &Summary) -> String {
    of.mean.map_or_else(|| NONE.into(), |mean| format!("{} ({})", figure(Some(mean)), of.n))
}

/// A verdict, with the threshold where it is one of equivalence.
pub(super) fn verdict(of: &MetricChange, settings: Settings) -> String {
    match of.verdict {
        Verdict::Equivalent => format!("equivalent within {}", percent(settings.threshold)),
        other => other.name().into(),
    }
}

/// `2 of 5 degraded (crashed 2)`.
pub(super) fn lost(runs: &CellRuns) -> String {
    let reasons: Vec<String> = runs.degraded.iter().map(|(kind, n)| format!("{} {n}", kind.name())).collect();
    let degraded: u64 = runs.degraded.values().sum();
    if degraded == 0 {
        return format!("{} of {} ok", runs.ok, runs.recorded);
    }
    format!("{degraded} of {} degraded ({})", runs.recorded, reasons.join(", "))
}

/// A cell's name, `before` its backend's other name: `gpt2 ort, generate cached, small 1x8+8`.
pub(super) fn cell(of: &super::outcome::CellName, after: Option<&str>) -> String {
    let backend = after.map_or_else(|| of.backend.clone(), |after| format!("{} -> {after}", of.backend));
    format!("{} {backend}, {}, {} {}", of.model, of.call, of.scenario.name, of.scenario.shape())
}

impl fmt::Display for Failure {
    /// Which cell, and why it fails.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", cell(&self.cell, None))?;
        match self.kind {
            FailureKind::Slower { metric, change } => write!(f, "{} {}", metric.name(), signed(change)),
            FailureKind::NewlyDegraded { runs } => write!(f, "{runs} runs newly degraded"),
        }
    }
}

/// The whole comparison in a sentence, with its denominators.
pub(super) fn headline(of: &Comparison, settings: Settings) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let latencies = || of.cells.iter().filter_map(|cell| cell.metrics.first());
    for latency in latencies() {
        *counts.entry(latency.verdict.name()).or_default() += 1;
    }
    let of_verdict = |verdict: Verdict| {
        let count = counts.get(verdict.name()).copied().unwrap_or_default();
        (count > 0 || verdict.is_change()).then(|| format!("{count} {}", verdict.name()))
    };
    use Verdict::{Equivalent, Faster, NoChangeShown, Slower, TooFewRuns};
    let counted: Vec<String> =
        [Slower, Faster, Equivalent, NoChangeShown, TooFewRuns].into_iter().filter_map(of_verdict).collect();
    let mut text = format!("{} cells by latency: {}", of.cells.len(), counted.join(", "));
    let newly = with_health(of, Health::NewlyDegraded).count();
    let healed = with_health(of, Health::NoLongerDegraded).count();
    for (count, what) in [
        (newly, "newly degraded"),
        (healed, "no longer degraded"),
        (of.new.len(), "new"),
        (of.gone.len(), "gone"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    let bound = percent(settings.fail_above);
    match of.failures.len() {
        0 => format!("no regression beyond {bound}; {text}"),
        n => format!("{n} regressions beyond {bound} or newly degraded; {text}"),
    }
}

/// Cells of one kind.
pub(super) fn with_health(of: &Comparison, health: Health) -> impl Iterator<Item = &CellChange> {
    of.cells.iter().filter(move |cell| cell.health == health)
}

/// What becomes of a difference's side that is not known.
pub(super) fn known(value: &Option<String>) -> String {
    value.clone().unwrap_or_else(|| NONE.into())
}
