//! Latency and throughput of every backend, scenario by scenario.

use super::words::{mean, scenario};
use super::{MOST_NAMES, Source};
use crate::analysis::{CellSummary, Table, TableRow};
use crate::report::plot::{Axis, Figure, Panel, Point, Series, Share, dodge};
use crate::stats::Summary;

/// Two panels on the same scenarios; none where nothing was measured.
pub(super) fn speed(source: &Source<'_>, table: &Table<'_>) -> Option<Figure> {
    let rows = &table.rows[..table.rows.len().min(MOST_NAMES)];
    let panels = vec![
        panel(source, table, rows, ("Latency: less is better", "ms"), |cell| &cell.latency_ms),
        panel(source, table, rows, ("Throughput: more is better", "tok/s"), |cell| &cell.throughput_tok_s),
    ];
    let left_out = match table.rows.len() - rows.len() {
        0 => String::new(),
        more => format!(" The first {MOST_NAMES} scenarios; {more} more are in the table."),
    };
    Some(Figure::grid(
        &format!("speed {} {}", table.model, table.call),
        format!("{}, {}: latency and throughput by scenario", table.model, table.call),
        format!("Means over the ok runs with their 95% confidence intervals (Student's t).{left_out}"),
        panels,
        2,
        Share::Y,
    ))
}

fn panel(
    source: &Source<'_>,
    table: &Table<'_>,
    rows: &[TableRow<'_>],
    (title, unit): (&str, &str),
    metric: fn(&CellSummary) -> &Summary,
) -> Panel {
    let values = rows.iter().flat_map(|row| row.cells.iter().flatten()).filter_map(|cell| metric(cell).mean);
    let series = table.backends.iter().enumerate().map(|(index, backend)| {
        let off = dodge(index, table.backends.len());
        let points = rows.iter().enumerate().filter_map(|(row, of)| {
            let cell = of.cells.get(index).copied().flatten()?;
            let summary = metric(cell);
            let text = mean(cell, summary, unit);
            Some(Point {
                x: summary.mean?,
                y: row as f64 + off,
                x_range: summary.ci95,
                text,
                ..Point::default()
            })
        });
        Series::points(backend, source.style(backend), points.collect())
    });
    Panel {
        title: title.into(),
        x: Axis::fitting(unit, values),
        y: Axis::categories(rows.iter().map(|row| scenario(row.scenario)).collect()),
        series: series.collect(),
    }
}
