//! Backends against the baseline: over all scenarios, then cell by cell.

use super::Page;
use super::table::{Field, Kind, Table};
use crate::analysis::{Comparison, Metric, Outcome, Standing};
use crate::report::answer::percent;
use crate::report::comparisons::{
    difference, effect, mean_with_interval, pooled_test, rate, ratio_with_interval, tested,
};
use crate::report::figure::{NONE, count, figure};
use crate::text::one_line;
use maud::{Markup, html};

/// A table for each model and call.
pub(super) fn overall(page: &Page<'_>) -> Markup {
    let same_table = |a: &Standing, b: &Standing| (&a.model, a.call) == (&b.model, b.call);
    html! {
        @for standings in page.analysis.standings.chunk_by(same_table) { (overall_table(page, standings)) }
    }
}

fn overall_table(page: &Page<'_>, standings: &[Standing]) -> Markup {
    let Some(first) = standings.first() else { return html! {} };
    let priced = standings.iter().any(|of| of.cost_per_million_tokens.is_some());
    let mut columns = vec![
        ("backend", Kind::Text),
        ("throughput ratio [95% CI]", Kind::Number),
        ("scenarios", Kind::Number),
        ("mean rank", Kind::Number),
        ("first in", Kind::Number),
        ("pooled latency ms [95% CI]", Kind::Number),
        ("n", Kind::Number),
        ("between scenarios", Kind::Number),
        ("degraded", Kind::Number),
        ("RSS peak MB", Kind::Number),
        ("pooled against the baseline", Kind::Long),
    ];
    if priced {
        columns.push(("cost per M tokens", Kind::Number));
    }
    let caption = html! {
        (one_line(&first.model)) ", " (first.call.to_string())
        ": throughput over the baseline's (geometric mean over the scenarios both have), places, and the runs of all scenarios \
         together (pooled), whose variance lies between scenarios by the share given"
    };
    let mut table = Table::new(caption, &columns);
    for of in standings {
        let mut fields = standing(of);
        if priced {
            let cost = of.cost_per_million_tokens;
            let currency = one_line(&page.analysis.settings.currency);
            fields.push(Field::number(
                cost.map_or_else(|| NONE.into(), |cost| format!("{} {currency}", figure(Some(cost)))),
                cost,
            ));
        }
        table.baseline_row(page.is_baseline(&of.backend), fields);
    }
    html! { h3 { (page.to_model(&first.model)) ", " (first.call.to_string()) } (table.markup()) }
}

fn standing(of: &Standing) -> Vec<Field> {
    let pooled = &of.pooled.latency_ms;
    let between = of.variance.and_then(|split| split.eta_squared);
    vec![
        Field::text(&of.backend),
        Field::number(
            ratio_with_interval(of.throughput_ratio, of.throughput_ratio_ci95),
            of.throughput_ratio,
        ),
        Field::number(count(of.compared_scenarios as u64), Some(of.compared_scenarios as f64)),
        Field::number(of.mean_rank.map_or_else(|| NONE.into(), |rank| format!("{rank:.2}")), of.mean_rank),
        Field::number(format!("{} of {}", of.wins, of.scenarios), Some(of.wins as f64)),
        Field::number(mean_with_interval(pooled), pooled.mean),
        Field::number(count(pooled.n as u64), Some(pooled.n as f64)),
        Field::number(between.map_or_else(|| NONE.into(), |share| format!("{:.1}%", share * 100.0)), between),
        Field::number(rate(&of.degraded_rate), of.degraded_rate.share),
        Field::number(figure(of.rss_peak_mb), of.rss_peak_mb),
        Field::text(pooled_test(of)),
    ]
}

/// Latency, a table for each model and call; nothing without comparisons.
pub(super) fn by_cell(page: &Page<'_>) -> Markup {
    let latencies: Vec<&Comparison> =
        page.analysis.comparisons.iter().filter(|of| of.metric == Metric::LatencyMs).collect();
    let Some(first) = latencies.first() else { return html! {} };
    let (baseline, threshold) = (one_line(&first.baseline), percent(page.analysis.settings.threshold));
    let same_table = |a: &&Comparison, b: &&Comparison| (&a.model, a.call) == (&b.model, b.call);
    html! {
        p {
            "Latency; " code { "comparisons.csv" } " has throughput, TTFT and TPOT too. A ratio below 1 is faster than "
            (baseline) ". " strong { "Better" } " and " strong { "worse" } " need a p below 0.05 after Holm's correction over all \
            comparisons of the metric, and " (threshold) " or more of difference; " strong { "equivalent" } " an interval of the \
            ratio within " (threshold) "; else it is " strong { "unclear" } "."
        }
        @for of_table in latencies.chunk_by(same_table) { (table(page, of_table, &baseline)) }
    }
}

fn table(page: &Page<'_>, all: &[&Comparison], baseline: &str) -> Markup {
    let Some(first) = all.first() else { return html! {} };
    let title = format!("{}, {}", one_line(&first.model), first.call);
    let columns = [
        ("scenario", Kind::Text),
        ("backend", Kind::Text),
        ("outcome", Kind::Text),
        ("ratio [95% CI]", Kind::Number),
        ("difference [95% CI]", Kind::Number),
        ("n, baseline's n", Kind::Number),
        ("p (Holm)", Kind::Number),
        ("effect", Kind::Text),
        ("test", Kind::Long),
    ];
    let mut table = Table::new(html! { (title) ": latency against " (baseline) }, &columns);
    for of in all {
        table.row(row(page, of));
    }
    html! { h3 { (page.to_model(&first.model)) ", " (first.call.to_string()) } (table.markup()) }
}

fn row(page: &Page<'_>, of: &Comparison) -> Vec<Field> {
    let counts = html! { (page.to_cell(&of.cell, &of.n.to_string())) ", " (page.to_cell(&of.baseline_cell, &of.baseline_n.to_string())) };
    let outcome = html! {
        span.good[of.outcome == Outcome::Better].bad[of.outcome == Outcome::Worse] { (of.outcome.name()) }
    };
    let p = of
        .p_holm
        .map_or_else(|| NONE.into(), |p| if p < 0.001 { format!("{p:.1e}") } else { format!("{p:.3}") });
    vec![
        Field::text(format!("{} {}", of.scenario.name, of.scenario.shape())),
        Field::marked(page.to_cell(&of.cell, &of.backend), &of.backend),
        Field::marked(outcome, of.outcome.name()),
        Field::number(ratio_with_interval(of.ratio, of.ratio_ci95), of.ratio),
        Field::number(difference(of.test.as_ref(), "ms"), of.test.map(|test| test.difference)),
        Field::markup(counts, Some(of.n as f64)),
        Field::number(p, of.p_holm),
        Field::text(effect(of.effect.as_ref())),
        Field::text(tested(of)),
    ]
}
