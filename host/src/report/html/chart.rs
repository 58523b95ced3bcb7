//! A chart in the page: caption, drawing, and its values as a list for those who cannot point at them.

use crate::report::plot::{Figure, Form};
use crate::text::one_line;
use maud::{Markup, html};

/// Values listed below one chart; the tables and the cells' details have all of them.
const MOST_LISTED: usize = 300;

/// Nothing where there is nothing to draw.
pub(super) fn chart(figure: &Figure) -> Markup {
    if figure.is_empty() {
        return html! {};
    }
    let texts = figure.texts();
    let reads = format!("{}. The arrow keys go from value to value.", one_line(&figure.title));
    html! {
        figure id=(figure.id) {
            figcaption { (one_line(&figure.title)) span { (figure.drawn_description()) } }
            div.plot tabindex="0" role="group" aria-label=(reads) { (figure.svg(Form::Inline)) }
            @if !texts.is_empty() {
                details {
                    summary { "Values of this chart" }
                    ul.values {
                        @for text in texts.iter().take(MOST_LISTED) { li { (one_line(text)) } }
                        @if texts.len() > MOST_LISTED {
                            li.muted { "and " (texts.len() - MOST_LISTED) " more: see the tables" }
                        }
                    }
                }
            }
        }
    }
}
