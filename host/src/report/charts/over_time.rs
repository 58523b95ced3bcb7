//! Resident memory and power over the time of the matrix, run by run.

use super::{Chart, Place, Source};
use crate::analysis::{CellSummary, Point as Run};
use crate::report::figure::figure;
use crate::report::plot::{Axis, Figure, Panel, Point, Series};

/// Dots of one model's chart, and of all.
const MOST_DOTS: usize = 800;
const MOST_DOTS_IN_ALL: usize = 4_000;

/// What is shown.
struct Quantity {
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    description: &'static str,
    of: fn(&Run) -> Option<f64>,
}

const QUANTITIES: [Quantity; 2] = [
    Quantity {
        id: "memory",
        title: "resident memory over time",
        unit: "MB",
        description: "Each run's worker: its largest resident set so far, opening and warm-ups included, by when the run \
                      began. Marks name the run's line in records.jsonl.",
        of: |run| run.rss_peak_mb,
    },
    Quantity {
        id: "power",
        title: "power over time",
        unit: "W",
        description: "Mean power of each run, its energy over its latency, by when the run began. Marks name the run's line \
                      in records.jsonl.",
        of: |run| run.power_w,
    },
];

/// A chart for each model and quantity that was counted.
pub(super) fn charts(source: &Source<'_>) -> Vec<Chart> {
    let models: Vec<&[CellSummary]> = source.analysis.cells.chunk_by(|a, b| a.model == b.model).collect();
    let most = (MOST_DOTS_IN_ALL / models.len().max(1)).clamp(1, MOST_DOTS);
    let of_model = |cells| QUANTITIES.iter().filter_map(move |quantity| chart(source, cells, quantity, most));
    models.into_iter().flat_map(of_model).collect()
}

fn chart(source: &Source<'_>, cells: &[CellSummary], of: &Quantity, most: usize) -> Option<Chart> {
    let model = &cells.first()?.model;
    let known = |run: &Run| Some((run.at_ms?, (of.of)(run)?, run.line));
    let all = || cells.iter().flat_map(|cell| cell.points.iter().filter_map(known));
    let start = all().map(|(at, ..)| at).fold(f64::INFINITY, f64::min);
    let step = all().count().div_ceil(most).max(1);
    let mut series = Vec::new();
    for backend in &source.backends {
        let cells = cells.iter().filter(|cell| cell.backend == *backend);
        let mut runs: Vec<_> = cells.flat_map(|cell| cell.points.iter().filter_map(known)).collect();
        runs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
        if !runs.is_empty() {
            let dots = runs.iter().step_by(step).map(|run| dot(backend, of.unit, start, *run));
            series.push(Series::dots(backend, source.style(backend), dots.collect()));
        }
    }
    (!series.is_empty()).then(|| Chart {
        place: Place::Model(model.clone()),
        figure: Figure::single(
            &format!("{} {model}", of.id),
            format!("{model}: {}", of.title),
            of.description,
            Panel {
                title: String::new(),
                x: Axis::linear("seconds since the model's first run"),
                y: Axis::from_zero(of.unit),
                series,
            },
        ),
    })
}

fn dot(backend: &str, unit: &str, start: f64, (at, value, line): (f64, f64, usize)) -> Point {
    let seconds = (at - start) / 1000.0;
    let (shown, after) = (figure(Some(value)), figure(Some(seconds)));
    let text = format!("{backend}: {shown} {unit} after {after} s, line {line}");
    Point { x: seconds, y: value, text, ..Point::default() }
}
