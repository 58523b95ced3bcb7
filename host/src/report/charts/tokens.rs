//! The time of each token over its position: flat where the cache works, rising where every step does all the work anew.

use super::words::scenario;
use super::{MOST_PANELS, Source};
use crate::analysis::{CellSummary, Table};
use crate::report::figure::{count, figure};
use crate::report::plot::{Axis, Figure, Panel, Point, Series, Share};

/// Positions that are marked and can be pointed at; the line has all.
const MARKED: usize = 24;
/// Positions of a line.
const DRAWN: usize = 200;

/// A panel for each scenario; none where no cell has two tokens after the first.
pub(super) fn by_position(source: &Source<'_>, table: &Table<'_>) -> Option<Figure> {
    let times =
        |cell: &CellSummary| cell.inter_token.as_ref().is_some_and(|times| times.by_position_ms.len() > 2);
    let rows = table.rows.iter().filter(|row| row.cells.iter().flatten().any(|cell| times(cell)));
    let rows: Vec<_> = rows.take(MOST_PANELS).collect();
    let all =
        rows.iter().flat_map(|row| row.cells.iter().flatten()).filter_map(|cell| cell.inter_token.as_ref());
    let y = Axis::fitting("ms", all.flat_map(|times| times.by_position_ms.iter().skip(1).flatten().copied()));
    let panels: Vec<Panel> = rows
        .into_iter()
        .map(|row| {
            let cells: Vec<&CellSummary> =
                row.cells.iter().copied().flatten().filter(|cell| times(cell)).collect();
            Panel {
                title: scenario(row.scenario),
                x: Axis::linear("token"),
                y: y.clone(),
                series: cells.into_iter().flat_map(|cell| series(source, cell)).collect(),
            }
        })
        .collect();
    let columns = if panels.len() > 1 { 2 } else { 1 };
    (!panels.is_empty()).then(|| {
        Figure::grid(
            &format!("tokens {} {}", table.model, table.call),
            format!("{}, {}: inter-token latency over position", table.model, table.call),
            "Mean time of each token over the ok runs, from the second on: the first token's is TTFT.",
            panels,
            columns,
            Share::Both,
        )
    })
}

fn series(source: &Source<'_>, cell: &CellSummary) -> Vec<Series> {
    let Some(times) = &cell.inter_token else { return Vec::new() };
    let all: Vec<(usize, f64, u32)> = times
        .by_position_ms
        .iter()
        .zip(&times.by_position_n)
        .enumerate()
        .skip(1)
        .filter_map(|(index, (time, n))| Some((index + 1, (*time)?, *n)))
        .collect();
    let every = |most: usize| all.iter().step_by(all.len().div_ceil(most).max(1));
    let marked = every(MARKED).map(|(position, time, n)| Point {
        x: *position as f64,
        y: *time,
        text: format!(
            "{}, token {position}: {} ms, n = {} runs",
            cell.backend,
            figure(Some(*time)),
            count(u64::from(*n))
        ),
        ..Point::default()
    });
    let style = source.style(&cell.backend);
    vec![
        Series::line("", style, every(DRAWN).map(|(position, time, _)| (*position as f64, *time)).collect()),
        Series::points(&cell.backend, style, marked.collect()),
    ]
}
