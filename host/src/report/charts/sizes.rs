//! What changes with the size of the model: throughput, and which of two backends is the faster.

use super::words::{interval, scenario};
use super::{Chart, MOST_PANELS, Place, Source};
use crate::analysis::{Call, CellSummary, Scenario};
use crate::report::figure::{count, figure};
use crate::report::plot::{Axis, Figure, Panel, Point, Series, Share, Unit};

/// Fewest sizes that make a line.
const LEAST_SIZES: usize = 3;

/// One chart for each call: throughput over parameters, a panel for each scenario.
pub(super) fn scaling(source: &Source<'_>) -> Vec<Chart> {
    let mut rows: Vec<(Call, &Scenario)> = Vec::new();
    for cell in &source.analysis.cells {
        if !rows.contains(&(cell.call, &cell.scenario)) {
            rows.push((cell.call, &cell.scenario));
        }
    }
    let mut calls: Vec<Call> = Vec::new();
    for (call, _) in &rows {
        if !calls.contains(call) {
            calls.push(*call);
        }
    }
    let chart = |call: &Call| {
        let of_call = rows.iter().filter(|row| row.0 == *call);
        let panels: Vec<Panel> =
            of_call.take(MOST_PANELS).filter_map(|(call, scenario)| scaling_panel(source, *call, scenario)).collect();
        let columns = panels.len().clamp(1, 3);
        (!panels.is_empty()).then(|| Chart {
            place: Place::Sizes,
            figure: Figure::grid(
                &format!("sizes {call}"),
                format!("{call}: throughput over the size of the model"),
                "Means over the ok runs with their 95% confidence intervals, a panel for each scenario, on the same axes.",
                panels,
                columns,
                Share::Both,
            ),
        })
    };
    calls.iter().filter_map(chart).collect()
}

fn scaling_panel(source: &Source<'_>, call: Call, of: &Scenario) -> Option<Panel> {
    let cells = || source.analysis.cells.iter().filter(move |cell| cell.call == call && cell.scenario == *of);
    let mut sizes: Vec<u64> = cells().filter_map(|cell| parameters(source, cell)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    if sizes.len() < LEAST_SIZES {
        return None;
    }
    let mut series = Vec::new();
    for backend in &source.backends {
        let mut points: Vec<Point> = cells()
            .filter(|cell| cell.backend == *backend)
            .filter_map(|cell| size_point(cell, parameters(source, cell)?))
            .collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        if points.is_empty() {
            continue;
        }
        let style = source.style(backend);
        series.push(Series::line("", style, points.iter().map(|point| (point.x, point.y)).collect()));
        series.push(Series::points(backend, style, points));
    }
    Some(Panel {
        title: scenario(of),
        x: Axis::log("parameters").unit(Unit::Short),
        y: Axis::log("tok/s").unit(Unit::Short),
        series,
    })
}

fn parameters(source: &Source<'_>, cell: &CellSummary) -> Option<u64> {
    source.manifest.models.iter().find(|model| model.name == cell.model)?.parameters
}

fn size_point(cell: &CellSummary, parameters: u64) -> Option<Point> {
    let of = &cell.throughput_tok_s;
    let text = format!(
        "{}, {} ({} parameters): {} tok/s{}, n = {}",
        cell.backend,
        cell.model,
        count(parameters),
        figure(of.mean),
        interval(of.ci95),
        count(of.n as u64)
    );
    Some(Point { x: parameters as f64, y: of.mean?, y_range: of.ci95, text, ..Point::default() })
}

/// One chart for each pair of backends: the ratio of their throughputs, the line through it, and where it is 1.
pub(super) fn crossovers(_source: &Source<'_>) -> Vec<Chart> {
    Vec::new()
}
