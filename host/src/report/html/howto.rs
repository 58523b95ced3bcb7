//! How to read the page: the same words as in `report.md`.

use super::Page;
use crate::report::{flag, markdown, resources};
use maud::{Markup, html};

/// The section.
pub(super) fn how_to_read(page: &Page<'_>) -> Markup {
    let doubtful = page.analysis.cells.iter().any(|cell| flag::doubts(cell).is_some());
    let mut text = markdown::HOW_TO_READ.to_string();
    if doubtful {
        text.push_str(&flag::how_to_read(page.analysis.least));
    }
    if resources::any(page.analysis) {
        text.push_str(resources::HOW_TO_READ);
    }
    html! {
        ul {
            @for point in text.lines().filter_map(|line| line.strip_prefix("- ")) { li { (inline(point)) } }
            li { "In charts, marks say their values when pointed at or touched; with the keyboard, Tab reaches a chart and the \
                  arrow keys go from value to value. The list below each chart has the same values as text." }
        }
    }
}

/// Our own Markdown, of one line: `**bold**`, `*emphasis*` and `` `code` ``.
pub(super) fn inline(text: &str) -> Markup {
    let code = text.split('`').enumerate();
    html! {
        @for (index, part) in code {
            @if index % 2 == 1 { code { (part) } } @else { (emphasised(part)) }
        }
    }
}

fn emphasised(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split("**").enumerate() {
            @if index % 2 == 1 { strong { (part) } } @else {
                @for (index, part) in part.split('*').enumerate() {
                    @if index % 2 == 1 { em { (part) } } @else { (part) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emphasis_and_code_are_kept_and_all_else_is_text() {
        assert_eq!(
            inline("**a** is `b*c*` < *d*").into_string(),
            "<strong>a</strong> is <code>b*c*</code> &lt; <em>d</em>"
        );
    }
}
