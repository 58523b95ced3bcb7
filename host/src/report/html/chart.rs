//! A chart in the page: caption, drawing, and its values as a list for those who cannot point at them.

use super::Page;
use crate::report::plot::{Figure, Form};
use crate::text::one_line;
use maud::{Markup, html};

/// Values listed below one chart, and below all; the tables and the cells' details have all of them.
const MOST_LISTED: usize = 300;
const MOST_LISTED_IN_ALL: usize = 6_000;
const LEAST_LISTED: usize = 30;

/// Nothing where there is nothing to draw.
pub(super) fn chart(page: &Page<'_>, figure: &Figure) -> Markup {
    if figure.is_empty() {
        return html! {};
    }
    let texts = figure.texts();
    let listed = (MOST_LISTED_IN_ALL / page.charts.len().max(1)).clamp(LEAST_LISTED, MOST_LISTED);
    let reads = format!("{}. The arrow keys go from value to value.", one_line(&figure.title));
    html! {
        figure id=(format!("chart-{}", figure.id)) {
            figcaption { (one_line(&figure.title)) span { (figure.drawn_description()) } }
            div.plot tabindex="0" role="group" aria-label=(reads) { (figure.svg(Form::Inline)) }
            @if !texts.is_empty() {
                details {
                    summary { "Values of this chart" }
                    ul.values {
                        @for text in texts.iter().take(listed) { li { (one_line(text)) } }
                        @if texts.len() > listed {
                            li.muted { "and " (texts.len() - listed) " more: see the tables" }
                        }
                    }
                }
            }
        }
    }
}
