//! Resident memory over the time of the matrix, run by run.

use super::{Chart, Place, Source};
use crate::analysis::{CellSummary, Point as Run};
use crate::report::figure::figure;
use crate::report::plot::{Axis, Figure, Panel, Point, Series};

/// Dots of one model's chart, and of all.
const MOST_DOTS: usize = 800;
const MOST_DOTS_IN_ALL: usize = 4_000;

/// One chart for each model of which memory was counted.
pub(super) fn over_time(source: &Source<'_>) -> Vec<Chart> {
    let models: Vec<&[CellSummary]> = source.analysis.cells.chunk_by(|a, b| a.model == b.model).collect();
    let most = (MOST_DOTS_IN_ALL / models.len().max(1)).clamp(1, MOST_DOTS);
    models.into_iter().filter_map(|cells| chart(source, cells, most)).collect()
}

fn chart(source: &Source<'_>, cells: &[CellSummary], most: usize) -> Option<Chart> {
    let model = &cells.first()?.model;
    let known = |run: &Run| Some((run.at_ms?, run.rss_peak_mb?, run.line));
    let all = || cells.iter().flat_map(|cell| cell.points.iter().filter_map(known));
    let start = all().map(|(at, ..)| at).fold(f64::INFINITY, f64::min);
    let step = all().count().div_ceil(most).max(1);
    let series: Vec<Series> = source
        .backends
        .iter()
        .filter_map(|backend| {
            let of = cells.iter().filter(|cell| cell.backend == *backend);
            let mut runs: Vec<_> = of.flat_map(|cell| cell.points.iter().filter_map(known)).collect();
            runs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
            let dots: Vec<Point> = runs.iter().step_by(step).map(|run| dot(backend, start, *run)).collect();
            (!dots.is_empty()).then(|| Series::dots(backend, source.style(backend), dots))
        })
        .collect();
    (!series.is_empty()).then(|| Chart {
        place: Place::Model(model.clone()),
        figure: Figure::single(
            &format!("memory {model}"),
            format!("{model}: resident memory over time"),
            "Each run's worker: its largest resident set so far, opening and warm-ups included, by when the run began. Marks name \
             the run's line in records.jsonl.",
            Panel {
                title: String::new(),
                x: Axis::linear("seconds since the model's first run"),
                y: Axis::from_zero("MB"),
                series,
            },
        ),
    })
}

fn dot(backend: &str, start: f64, (at, peak, line): (f64, f64, usize)) -> Point {
    let seconds = (at - start) / 1000.0;
    let text = format!("{backend}: {} MB after {} s, line {line}", figure(Some(peak)), figure(Some(seconds)));
    Point { x: seconds, y: peak, text, ..Point::default() }
}
