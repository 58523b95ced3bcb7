//! What runs used, backend by backend: disk, memory, processor, energy, money.

use super::Page;
use super::table::{Field, Kind, Table};
use crate::analysis::{CellSummary, Table as Cells};
use crate::report::figure::{count, figure};
use crate::stats::Summary;
use crate::text::one_line;
use maud::{Markup, html};

type Column = (&'static str, fn(&CellSummary) -> Option<f64>);

const COLUMNS: [Column; 10] = [
    ("disk MB", |cell| Some(cell.resources.disk_bytes? as f64 / 1e6)),
    ("weights MB", |cell| Some(cell.resources.model_bytes? as f64 / 1e6)),
    ("RSS peak MB", |cell| cell.resources.rss_peak_mb.mean),
    ("RSS p90 MB", |cell| cell.resources.rss_p90_mb.mean),
    ("CPU mean %", |cell| cell.resources.cpu_mean_pct.mean),
    ("CPU peak %", |cell| cell.resources.cpu_peak_pct.mean),
    ("CPU p90 %", |cell| cell.resources.cpu_p90_pct.mean),
    ("J/token", |cell| cell.energy_j_per_token.mean),
    ("cost per M tokens", |cell| cell.cost_per_million_tokens),
    ("inter-token p99 ms", |cell| cell.inter_token.as_ref()?.p99_ms),
];

/// The table, of the columns that have a figure; nothing where nothing is known.
pub(super) fn resources(page: &Page<'_>, of: &Cells<'_>) -> Markup {
    let cells: Vec<&CellSummary> = of
        .rows
        .iter()
        .flat_map(|row| row.cells.iter().flatten().copied())
        .filter(|cell| cell.ok > 0)
        .collect();
    let known: Vec<Column> =
        COLUMNS.into_iter().filter(|(_, value)| cells.iter().any(|cell| value(cell).is_some())).collect();
    if known.is_empty() {
        return html! {};
    }
    let mut columns = vec![("scenario", Kind::Text), ("backend", Kind::Text)];
    columns.extend(known.iter().map(|(name, _)| (*name, Kind::Number)));
    columns.push(("n", Kind::Number));
    columns.push(("sampled", Kind::Number));
    let caption = html! {
        (one_line(of.model)) ", " (of.call.to_string())
        ": resources, means over the n ok runs whose worker was counted; p90 and peaks over the sampled ones"
        @if known.iter().any(|(name, _)| name.starts_with("cost")) {
            "; costs in " (one_line(&page.analysis.settings.currency))
        }
    };
    let mut table = Table::new(caption, &columns);
    for cell in cells {
        let scenario = format!("{} {}", cell.scenario.name, cell.scenario.shape());
        let mut fields = vec![
            Field::text(scenario),
            Field::marked(page.to_cell(&cell.cell, &cell.backend), &cell.backend),
        ];
        fields.extend(known.iter().map(|(_, value)| Field::number(figure(value(cell)), value(cell))));
        fields.push(number(counted(cell)));
        fields.push(number(cell.resources.sampled_runs()));
        table.row(fields);
    }
    table.markup()
}

fn counted(cell: &CellSummary) -> usize {
    let of: [&Summary; 2] = [&cell.resources.rss_peak_mb, &cell.resources.cpu_mean_pct];
    of.iter().map(|summary| summary.n).max().unwrap_or_default()
}

fn number(value: usize) -> Field {
    Field::number(count(value as u64), Some(value as f64))
}
