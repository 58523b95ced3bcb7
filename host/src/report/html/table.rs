//! A table of the page: captioned, headed, sortable by buttons in its headers, scrolling inside its own frame.

use crate::report::figure::NONE;
use maud::{Markup, html};

/// How a column is set and sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Left, by text.
    Text,
    /// Left and wide, in lines: a message.
    Long,
    /// Right, by value.
    Number,
}

/// A field: what is shown and what is sorted by.
#[derive(Debug, Clone)]
pub(super) struct Field {
    shown: Markup,
    /// None: by what is shown.
    value: Option<String>,
    /// Whether it is too long for one line.
    is_long: bool,
}

/// Characters of a text that stays on one line.
const ONE_LINE: usize = 40;

impl Field {
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        let text = crate::text::one_line(text.as_ref());
        // What stands where there is nothing comes last.
        let value = (text == NONE).then(String::new);
        Self { shown: html! { (text) }, value, is_long: is_long(&text) }
    }

    /// `shown` in place of `value`, which sorts; without a value it comes last.
    pub(super) fn number(shown: impl AsRef<str>, value: Option<f64>) -> Self {
        Self::markup(html! { (shown.as_ref()) }, value)
    }

    pub(super) fn markup(shown: Markup, value: Option<f64>) -> Self {
        let value = value.filter(|value| value.is_finite());
        Self {
            shown,
            value: Some(value.map(|value| format!("{value:.7e}")).unwrap_or_default()),
            is_long: false,
        }
    }

    /// Text with markup of its own, sorted as `text`.
    pub(super) fn marked(shown: Markup, text: &str) -> Self {
        let text = crate::text::one_line(text);
        Self { shown, is_long: is_long(&text), value: Some(text) }
    }
}

fn is_long(text: &str) -> bool {
    text.chars().nth(ONE_LINE).is_some()
}

/// Rows under headers; the first column heads its row.
#[derive(Debug)]
pub(super) struct Table {
    caption: Markup,
    columns: Vec<(String, Kind)>,
    rows: Vec<(bool, Vec<Field>)>,
}

impl Table {
    pub(super) fn new(caption: Markup, columns: &[(&str, Kind)]) -> Self {
        let columns = columns.iter().map(|(name, kind)| ((*name).to_string(), *kind)).collect();
        Self { caption, columns, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, fields: Vec<Field>) {
        self.baseline_row(false, fields);
    }

    /// A row marked as the baseline's.
    pub(super) fn baseline_row(&mut self, is_baseline: bool, fields: Vec<Field>) {
        // Fields beyond the columns are those of a column that this table does without.
        debug_assert!(fields.len() >= self.columns.len(), "{:?}", self.columns);
        self.rows.push((is_baseline, fields));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Nothing where there are no rows; without buttons where there is nothing to sort.
    pub(super) fn markup(&self) -> Markup {
        if self.is_empty() {
            return html! {};
        }
        let sortable = self.rows.len() > 1;
        html! {
            // What scrolls must be reached by the keyboard; buttons inside are enough for that.
            div.scroll tabindex=[(!sortable).then_some("0")] role=[(!sortable).then_some("group")]
                aria-label=[(!sortable).then_some("table")] {
                table {
                    caption { span { (self.caption) } }
                    thead { tr { @for column in &self.columns { (header(column, sortable)) } } }
                    tbody { @for (is_baseline, fields) in &self.rows { (self.row_markup(*is_baseline, fields)) } }
                }
            }
        }
    }

    fn row_markup(&self, is_baseline: bool, fields: &[Field]) -> Markup {
        html! {
            tr class=[is_baseline.then_some("base")] {
                @for (index, (field, (_, kind))) in fields.iter().zip(&self.columns).enumerate() {
                    @if index == 0 {
                        th class=[class(*kind, field.is_long)] scope="row" data-value=[&field.value] { (field.shown) }
                    } @else {
                        td class=[class(*kind, field.is_long)] data-value=[&field.value] { (field.shown) }
                    }
                }
            }
        }
    }
}

fn class(kind: Kind, is_long: bool) -> Option<&'static str> {
    match kind {
        Kind::Number => Some("n"),
        Kind::Long => Some("long"),
        Kind::Text => is_long.then_some("long"),
    }
}

fn header((name, kind): &(String, Kind), sortable: bool) -> Markup {
    html! {
        th class=[(*kind == Kind::Number).then_some("n")] scope="col" aria-sort=[sortable.then_some("none")] {
            @if sortable { button type="button" { (name) } } @else { (name) }
        }
    }
}
