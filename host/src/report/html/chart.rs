//! A chart in the page: caption, drawing, and its values as a list for those who cannot point at them.

use super::Page;
use crate::report::charts::Chart;
use crate::report::plot::{Figure, Form};
use crate::report::plots;
use crate::text::one_line;
use maud::{Markup, html};
use std::collections::HashMap;

/// Values listed below one chart, and below all; the tables and the cells' details have all of them.
const MOST_LISTED: usize = 300;
const MOST_LISTED_IN_ALL: usize = 6_000;
const LEAST_LISTED: usize = 30;

/// Bytes of drawings in the page; what goes beyond is linked as a file.
const MOST_DRAWN: usize = 1_200_000;

/// Where drawings go first when there is not room for all: what sums up comes before what goes into detail.
const IMPORTANCE: [&str; 14] = [
    "overall",
    "degraded",
    "crossover",
    "perplexity",
    "sizes",
    "speed",
    "ratio",
    "heat-map",
    "tokens",
    "distribution",
    "memory",
    "power",
    "worker-memory",
    "worker-cpu",
];

/// The drawings of the charts that the page has room for, by the charts' ids.
pub(super) fn drawings(charts: &[Chart]) -> HashMap<&str, Markup> {
    let mut ordered: Vec<&Figure> = charts.iter().map(|chart| &chart.figure).collect();
    let rank = |figure: &Figure| {
        IMPORTANCE.iter().position(|kind| figure.id.starts_with(kind)).unwrap_or(IMPORTANCE.len())
    };
    ordered.sort_by_key(|figure| rank(figure));
    let (mut drawn, mut bytes) = (HashMap::new(), 0);
    for figure in ordered {
        let svg = figure.svg(Form::Inline);
        if bytes + svg.0.len() <= MOST_DRAWN {
            bytes += svg.0.len();
            drawn.insert(figure.id.as_str(), svg);
        }
    }
    drawn
}

pub(super) fn chart(page: &Page<'_>, of: &Chart) -> Markup {
    let figure = &of.figure;
    html! {
        figure id=(format!("chart-{}", figure.id)) {
            figcaption { (one_line(&figure.title)) span { (figure.drawn_description()) } }
            @match page.drawings.get(figure.id.as_str()) {
                Some(svg) => (drawn(page, figure, svg)),
                None => p { "This page is large; the chart is in " a href=(plots::link(of)) { (plots::link(of)) } "." },
            }
        }
    }
}

fn drawn(page: &Page<'_>, figure: &Figure, svg: &Markup) -> Markup {
    let texts = figure.texts();
    let listed = (MOST_LISTED_IN_ALL / page.charts.len().max(1)).clamp(LEAST_LISTED, MOST_LISTED);
    let reads = format!("{}. The arrow keys go from value to value.", one_line(&figure.title));
    html! {
        div.plot tabindex="0" role="group" aria-label=(reads) { (svg) }
        @if !texts.is_empty() {
            details {
                summary { "Values of this chart" }
                ul.values {
                    @for text in texts.iter().take(listed) { li { (one_line(text)) } }
                    @if texts.len() > listed { li.muted { "and " (texts.len() - listed) " more: see the tables" } }
                }
            }
        }
    }
}
