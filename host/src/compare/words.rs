//! Figures and sentences that every output has alike.

use super::metric::{MetricChange, SiblingChange, Verdict};
use super::outcome::{CellChange, CellRuns, Comparison, Failure, GroupChange, Health, Settings, Tests};
use crate::report::figure::{NONE, figure, p_value};
use crate::stats::{Interval, Summary};
use std::collections::BTreeMap;
use std::fmt;

/// How changes were told from noise, for every output.
pub(super) fn method(of: &Comparison) -> String {
    let Tests { workers, calls, cells } = of.tests;
    format!(
        "latency alone is tested, by each cell's fastest run, for what else runs on a machine only adds time: {workers} \
         workers as a whole (t with a level of their own, 2%), {calls} calls against their worker's others (1%), {cells} \
         cells against the median of their worker's others (2%); p adjusted by Holm within each"
    )
}

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

/// The change of the fastest run with its interval: `+12.0% (+8.0% to +16.2%)`.
pub(super) fn fastest(of: &MetricChange) -> String {
    of.fastest.map_or_else(|| NONE.into(), |of| format!("{}{}", signed(of.change), reach(of.ci95)))
}

fn reach(ci95: Option<Interval>) -> String {
    ci95.map_or_else(String::new, |of| format!(" ({} to {})", signed(of.low), signed(of.high)))
}

/// What the cell changed by beyond the others of its worker, with its interval and adjusted p.
pub(super) fn beyond(of: &MetricChange) -> String {
    let text =
        |of: SiblingChange| format!("{}{}, {}", signed(of.change), reach(of.ci95), p_value(of.p_adjusted));
    of.beyond_siblings.map_or_else(|| NONE.into(), text)
}

/// What a group's test says: `+20.1% (+10.0% to +31.2%), p 0.003`.
pub(super) fn group_test(of: &GroupChange) -> String {
    format!("{}{}, {}", signed(of.tested), reach(of.ci95), p_value(of.p_adjusted))
}

/// A group's name, with its call or as a whole.
pub(super) fn group_call(of: &GroupChange) -> String {
    of.call.map_or_else(|| "all".into(), |call| call.to_string())
}

/// Whether a cell is worth a line of its own.
pub(super) fn is_claim(cell: &CellChange) -> bool {
    cell.metrics.iter().any(|metric| metric.verdict.is_change())
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
        other => match of.basis {
            Some(basis) => format!("{} {}", other.name(), basis.name()),
            None => other.name().into(),
        },
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
    /// Which cells, and why they fail.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GroupSlower { model, backend, call, change, cells } => {
                let call = call.map_or_else(String::new, |call| format!(", {call}"));
                write!(f, "{backend} on {model}{call}: {} over {cells} cells", signed(*change))
            }
            Self::Slower { cell: of, change } => {
                write!(f, "{}: latency {}", cell(of, None), signed(*change))
            }
            Self::NewlyDegraded { cell: of, runs } => {
                write!(f, "{}: {runs} runs newly degraded", cell(of, None))
            }
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
        1 => format!("1 regression beyond {bound} or newly degraded; {text}"),
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
