//! How latencies are distributed: every run as a dot, and a box about their middle half.

use super::words::scenario;
use super::{MOST_PANELS, Source};
use crate::analysis::{CellSummary, Table, TableRow};
use crate::report::figure::{count, figure};
use crate::report::plot::{Axis, BoxMark, Figure, Panel, Point, Series, Share};
use crate::stats::quantile;

/// Fewest runs that have quartiles.
const LEAST_BOXED: usize = 4;
/// Dots of all charts of this kind together, so that the page stays small.
const MOST_DOTS: usize = 5_000;
/// Largest over smallest run beyond which the axis is logarithmic.
const LOG_SPREAD: f64 = 12.0;
/// Fewer of a cell show no distribution; its box does.
const LEAST_DOTS: usize = 5;

/// A panel for each scenario; none where no cell has two runs.
pub(super) fn latency(source: &Source<'_>, table: &Table<'_>) -> Option<Figure> {
    let cells = table.rows.iter().flat_map(|row| row.cells.iter().flatten());
    if cells.into_iter().all(|cell| cell.latency_ms.n < 2) {
        return None;
    }
    let per_cell = Some(MOST_DOTS / source.analysis.cells.len().max(1)).filter(|dots| *dots >= LEAST_DOTS);
    // One kind of axis for all panels: else two that look alike would read differently.
    let shown = || table.rows.iter().take(MOST_PANELS);
    let x = if shown().any(|row| spread(row) > LOG_SPREAD) { Axis::log("ms") } else { Axis::linear("ms") };
    let panels: Vec<Panel> = shown().map(|row| panel(source, table, row, x.clone(), per_cell)).collect();
    Some(Figure::grid(
        &format!("distribution {} {}", table.model, table.call),
        format!("{}, {}: distribution of latency", table.model, table.call),
        "Dots are single ok runs (of a cell with many, evenly chosen ones; in a report of very many cells, none), with their lines in \
         records.jsonl; boxes reach from the first quartile to the third \
         with the median across, whiskers to the furthest of the runs shown within 1.5 times the box's length. Each panel \
         has a range of its own.",
        panels,
        2,
        Share::Y,
    ))
}

/// The largest latency of a row's runs over its smallest.
fn spread(row: &TableRow<'_>) -> f64 {
    let points = row.cells.iter().flatten().flat_map(|cell| &cell.points);
    let (mut least, mut most) = (f64::INFINITY, 0.0);
    for latency in points.filter_map(|point| point.latency_ms) {
        (least, most) = (latency.min(least), latency.max(most));
    }
    most / least
}

fn panel(
    source: &Source<'_>,
    table: &Table<'_>,
    row: &TableRow<'_>,
    x: Axis,
    per_cell: Option<usize>,
) -> Panel {
    let mut series = Vec::new();
    let cells = row.cells.iter().enumerate().filter_map(|(index, cell)| Some((index, (*cell)?)));
    for (index, cell) in cells {
        let style = source.style(&cell.backend);
        series.extend(boxed(cell, index).map(|mark| Series::boxes("", style, vec![mark])));
        series.extend(per_cell.map(|most| Series::dots("", style, dots(cell, index, most))));
    }
    Panel {
        title: scenario(row.scenario),
        x,
        y: Axis::categories(table.backends.iter().map(|name| (*name).to_string()).collect()),
        series,
    }
}

fn dots(cell: &CellSummary, at: usize, per_cell: usize) -> Vec<Point> {
    let step = cell.points.len().div_ceil(per_cell).max(1);
    let chosen = cell.points.iter().step_by(step).enumerate();
    chosen
        .filter_map(|(index, point)| {
            let latency = point.latency_ms?;
            // Off the middle by a fixed pattern, so that equal runs do not hide each other.
            let off = ((index * 7) % 11) as f64 / 11.0 - 0.45;
            let text = format!("{}: {} ms, line {}", cell.backend, figure(Some(latency)), point.line);
            Some(Point { x: latency, y: at as f64 + off * 0.55, text, ..Point::default() })
        })
        .collect()
}

/// Tukey's box (Exploratory Data Analysis, 1977, section 2).
fn boxed(cell: &CellSummary, at: usize) -> Option<BoxMark> {
    let mut values: Vec<f64> =
        cell.points.iter().filter_map(|point| point.latency_ms).filter(|v| v.is_finite()).collect();
    if values.len() < LEAST_BOXED {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let [q1, median, q3] = [quantile(&values, 0.25)?, quantile(&values, 0.5)?, quantile(&values, 0.75)?];
    let fence = 1.5 * (q3 - q1);
    let low = values.iter().copied().find(|value| *value >= q1 - fence)?;
    let high = values.iter().copied().rfind(|value| *value <= q3 + fence)?;
    let thinned = if values.len() < cell.latency_ms.n { ", evenly chosen" } else { "" };
    let text = format!(
        "{}, {}: median {} ms, quartiles {} and {}, n = {} of {} runs{thinned}",
        cell.backend,
        scenario(&cell.scenario),
        figure(Some(median)),
        figure(Some(q1)),
        figure(Some(q3)),
        count(values.len() as u64),
        count(cell.latency_ms.n as u64),
    );
    Some(BoxMark {
        y: at as f64,
        quantiles: [low.min(q1), q1, median, q3, high.max(q3)],
        thickness: 0.6,
        text,
    })
}
