//! What depends on the size of the model: throughput, crossovers, and when builds have paid for themselves.

use super::Page;
use super::chart::chart;
use super::table::{Field, Kind, Table};
use crate::analysis::SizeCrossover;
use crate::report::charts::Place;
use crate::report::comparisons::ratio_with_interval;
use crate::report::crossing::{PAYBACK, facts, params, payback, sentence};
use crate::report::figure::{count, ratio};
use crate::text::one_line;
use maud::{Markup, html};

/// Charts over size, then a part for each crossover.
pub(super) fn sizes(page: &Page<'_>) -> Markup {
    let here = page.charts.iter().filter(|chart| chart.place == Place::Sizes);
    let (fitted, plain): (Vec<_>, Vec<_>) = here.partition(|chart| chart.figure.id.starts_with("crossover-"));
    html! {
        @for of in plain { (chart(page, of)) }
        @for (index, of) in page.analysis.crossovers.iter().enumerate() {
            h3 { (one_line(&of.backend)) " over " (one_line(&of.against)) ", " (of.call.to_string()) }
            p { strong { (one_line(&sentence(of))) "." } }
            @if let Some(of) = fitted.get(index) { (chart(page, of)) }
            (crossover(page, of))
        }
    }
}

fn crossover(page: &Page<'_>, of: &SizeCrossover) -> Markup {
    let columns = [
        ("model", Kind::Text),
        ("parameters", Kind::Number),
        ("scenarios", Kind::Number),
        ("throughput ratio [95% CI]", Kind::Number),
        ("fitted", Kind::Number),
    ];
    let caption = html! {
        "Throughput of " (one_line(&of.backend)) " over " (one_line(&of.against)) ", geometric mean over the scenarios both have"
    };
    let mut table = Table::new(caption, &columns);
    for point in &of.points {
        let size = point.params as f64;
        table.row(vec![
            Field::marked(page.to_model(&point.model), &point.model),
            Field::number(params(size), Some(size)),
            Field::number(count(point.scenarios as u64), Some(point.scenarios as f64)),
            Field::number(ratio_with_interval(Some(point.ratio), point.ratio_ci95), Some(point.ratio)),
            Field::number(ratio(of.fit.ratio_at(size)), of.fit.ratio_at(size)),
        ]);
    }
    html! {
        dl.facts { @for (name, value) in facts(of) { dt { (name) } dd { (one_line(&value)) } } }
        (table.markup())
    }
}

/// The section; nothing without artifacts whose build was timed.
pub(super) fn paybacks(page: &Page<'_>) -> Markup {
    let names = ["model", "call", "backend"].into_iter().chain(PAYBACK);
    let columns: Vec<(&str, Kind)> = names
        .enumerate()
        .map(|(index, name)| (name, if index < 4 { Kind::Text } else { Kind::Number }))
        .collect();
    let caption = html! {
        "Each token saves 1/r₀ - 1/r₁ seconds over the baseline's rate r₀, so a build of t seconds has paid for itself after \
         t / (1/r₀ - 1/r₁) tokens. Work is taken to be one run of each scenario in turn: rates are all its tokens over all its time."
    };
    let mut table = Table::new(caption, &columns);
    for of in &page.analysis.paybacks {
        let mut fields =
            vec![Field::text(&of.model), Field::text(of.call.to_string()), Field::text(&of.backend)];
        for (index, (shown, value)) in payback(of).into_iter().enumerate() {
            fields.push(if index == 0 { Field::text(shown) } else { Field::number(one_line(&shown), value) });
        }
        table.row(fields);
    }
    table.markup()
}
