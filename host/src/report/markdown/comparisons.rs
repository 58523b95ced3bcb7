//! Backends against the baseline: over all scenarios, then cell by cell.

use super::{header, table};
use crate::analysis::{Analysis, Comparison, Metric, Standing};
use crate::report::answer::percent;
use crate::report::comparisons::{
    difference, effect, mean_with_interval, pooled_test, rate, ratio_with_interval, tested,
};
use crate::report::figure::{NONE, count, figure};
use crate::text::markdown;

/// Both sections; nothing where nothing was measured.
pub(super) fn comparisons(analysis: &Analysis) -> String {
    overall(analysis) + &by_cell(analysis)
}

fn overall(analysis: &Analysis) -> String {
    let mut text = String::new();
    let same_table = |a: &Standing, b: &Standing| (&a.model, a.call) == (&b.model, b.call);
    for standings in analysis.standings.chunk_by(same_table) {
        let Some(first) = standings.first() else { continue };
        let rows: Vec<Vec<String>> =
            standings.iter().map(|of| standing(of, &analysis.settings.currency)).collect();
        let names = [
            "backend",
            "throughput over the baseline's [95% CI]",
            "scenarios",
            "mean rank",
            "first in",
            "pooled latency ms, mean [95% CI]",
            "n",
            "pooled against the baseline",
            "variance between scenarios",
            "degraded",
            "RSS peak MB",
            "cost per million tokens",
        ];
        let title = format!("### {}, {}\n\n", markdown(&first.model), first.call);
        text.push_str(&(title + &table(&header(&names), 1, &rows)));
    }
    if text.is_empty() { text } else { format!("## Over all scenarios\n\n{text}") }
}

fn standing(of: &Standing, currency: &str) -> Vec<String> {
    let pooled = &of.pooled.latency_ms;
    let between = of.variance.and_then(|split| split.eta_squared);
    let cost =
        of.cost_per_million_tokens.map_or(NONE.into(), |cost| format!("{} {currency}", figure(Some(cost))));
    vec![
        markdown(&of.backend),
        ratio_with_interval(of.throughput_ratio, of.throughput_ratio_ci95),
        count(of.compared_scenarios as u64),
        of.mean_rank.map_or_else(|| NONE.into(), |rank| format!("{rank:.2}")),
        format!("{} of {}", of.wins, of.scenarios),
        mean_with_interval(pooled),
        count(pooled.n as u64),
        pooled_test(of),
        between.map_or_else(|| NONE.into(), percent_of),
        rate(&of.degraded_rate),
        figure(of.rss_peak_mb),
        markdown(&cost),
    ]
}

fn percent_of(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

fn by_cell(analysis: &Analysis) -> String {
    let Some(first) = analysis.comparisons.first() else { return String::new() };
    let (baseline, threshold) = (markdown(&first.baseline), percent(analysis.settings.threshold));
    let mut text = format!(
        "## Against {baseline}, cell by cell\n\n\
         Latency; `comparisons.csv` has throughput, TTFT and TPOT too. A ratio below 1 is faster. **Better** and **worse** \
         need a p below 0.05 after Holm's correction over all comparisons of the metric, and {threshold} or more of \
         difference; **equivalent** an interval of the ratio within {threshold}; else it is **unclear**.\n\n"
    );
    let latencies: Vec<&Comparison> =
        analysis.comparisons.iter().filter(|of| of.metric == Metric::LatencyMs).collect();
    let same_table = |a: &&Comparison, b: &&Comparison| (&a.model, a.call) == (&b.model, b.call);
    for of_table in latencies.chunk_by(same_table) {
        let Some(first) = of_table.first() else { continue };
        text.push_str(&format!("### {}, {} against {baseline}\n\n", markdown(&first.model), first.call));
        let names = [
            "scenario",
            "backend",
            "n, baseline's n",
            "ratio [95% CI]",
            "difference [95% CI]",
            "test",
            "effect",
            "outcome",
        ];
        let rows: Vec<Vec<String>> = of_table.iter().map(|of| comparison(of)).collect();
        text.push_str(&table(&header(&names), 2, &rows));
    }
    text
}

fn comparison(of: &Comparison) -> Vec<String> {
    vec![
        format!("{} {}", markdown(&of.scenario.name), of.scenario.shape()),
        markdown(&of.backend),
        format!("{}, {}", of.n, of.baseline_n),
        ratio_with_interval(of.ratio, of.ratio_ci95),
        difference(of.test.as_ref(), "ms"),
        tested(of),
        effect(of.effect.as_ref()),
        format!("**{}**", of.outcome.name()),
    ]
}
