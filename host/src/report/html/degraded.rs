//! What was lost and why, and where backends gave other outputs.

use super::Page;
use super::table::{Field, Kind, Table};
use crate::analysis::DegradedGroup;
use crate::report::charts::Place;
use crate::report::figure::count;
use crate::text::clipped;
use maud::{Markup, html};

const MESSAGE_LIMIT: usize = 300;
/// Rows of one table; `records.jsonl` has every run.
const MOST_ROWS: usize = 500;

/// The section; nothing where nothing was lost.
pub(super) fn degraded(page: &Page<'_>) -> Markup {
    let all = &page.analysis.degraded;
    if all.is_empty() {
        return html! {};
    }
    let columns = [
        ("model", Kind::Text),
        ("backend", Kind::Text),
        ("call", Kind::Text),
        ("scenario", Kind::Text),
        ("kind", Kind::Text),
        ("stage", Kind::Text),
        ("runs", Kind::Number),
        ("first message", Kind::Long),
    ];
    let caption = html! {
        "Runs without a valid measurement, those of one cause together; they take part in no figure"
        @if all.len() > MOST_ROWS { "; the first " (MOST_ROWS) " of " (count(all.len() as u64)) " causes" }
    };
    let mut table = Table::new(caption, &columns);
    for of in all.iter().take(MOST_ROWS) {
        table.row(row(page, of));
    }
    html! { (page.charts(&Place::Degraded)) (table.markup()) }
}

fn row(page: &Page<'_>, of: &DegradedGroup) -> Vec<Field> {
    let ending = match (of.signal, of.exit_code) {
        (Some(signal), _) => format!(" (signal {signal})"),
        (None, Some(code)) => format!(" (exit code {code})"),
        (None, None) => String::new(),
    };
    let same = |cell: &&crate::analysis::CellSummary| {
        (&cell.model, &cell.backend, cell.call, &cell.scenario)
            == (&of.model, &of.backend, of.call, &of.scenario)
    };
    let cell = page.analysis.cells.iter().find(same).map_or("", |cell| &cell.cell);
    vec![
        Field::text(&of.model),
        Field::marked(page.to_cell(cell, &of.backend), &of.backend),
        Field::text(of.call.to_string()),
        Field::text(format!("{} {}", of.scenario.name, of.scenario.shape())),
        Field::marked(html! { code { (of.kind.name()) } }, of.kind.name()),
        Field::text(of.stage.name()),
        Field::number(count(of.count), Some(of.count as f64)),
        Field::text(clipped(&of.message, MESSAGE_LIMIT) + &ending),
    ]
}

/// The comparisons in which outputs differ; nothing where none does.
pub(super) fn outputs(page: &Page<'_>) -> Markup {
    let columns = [
        ("model", Kind::Text),
        ("call", Kind::Text),
        ("scenario", Kind::Text),
        ("backend", Kind::Text),
        ("against", Kind::Text),
        ("runs that differ", Kind::Number),
    ];
    let caption = html! {
        "The same prompts gave other tokens here. Where two logits are nearly equal, exact backends part too: this is a reason to \
         measure accuracy, not a verdict."
    };
    let mut table = Table::new(caption, &columns);
    for row in &page.analysis.agreement {
        for other in row.compared.iter().filter(|other| other.differing > 0) {
            table.row(vec![
                Field::text(&row.model),
                Field::text(row.call.to_string()),
                Field::text(format!("{} {}", row.scenario.name, row.scenario.shape())),
                Field::text(&other.backend),
                Field::text(&row.reference),
                Field::number(
                    format!("{} of {}", count(other.differing), count(other.runs)),
                    Some(other.differing as f64),
                ),
            ]);
        }
    }
    table.markup()
}
