//! What changes with the size of the model: throughput, and which of two backends is the faster.

use super::words::{self, ratio_interval, scenario};
use super::{Chart, MOST_PANELS, Place, Source};
use crate::analysis::{Call, CellSummary, Scenario, SizeCrossover, SizePoint};
use crate::report::crossing::{params, sentence};
use crate::report::figure::{count, figure, interval, ratio};
use crate::report::plot::{Axis, Figure, Panel, Point, Series, Share, Unit};
use crate::stats::{Crossing, Fieller, Interval};

/// Fewest sizes that make a line.
const LEAST_SIZES: usize = 3;
/// Pairs of backends that get a chart; the tables have all.
const MOST_CROSSOVERS: usize = 40;
/// Steps of the fitted line and its band.
const GRID: usize = 48;
/// Of the crossing: neither backend's.
const CROSSING_STYLE: usize = 7;

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
        let panels: Vec<Panel> = of_call
            .take(MOST_PANELS)
            .filter_map(|(call, scenario)| scaling_panel(source, *call, scenario))
            .collect();
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
        words::interval(of.ci95),
        count(of.n as u64)
    );
    Some(Point { x: parameters as f64, y: of.mean?, y_range: of.ci95, text, ..Point::default() })
}

/// One chart for each pair of backends: the ratio of their throughputs, the line through it, and where it is 1.
pub(super) fn crossovers(source: &Source<'_>) -> Vec<Chart> {
    let all = source.analysis.crossovers.iter().take(MOST_CROSSOVERS);
    all.map(|of| Chart { place: Place::Sizes, figure: crossover(source, of) }).collect()
}

fn crossover(source: &Source<'_>, of: &SizeCrossover) -> Figure {
    let style = source.style(&of.backend);
    let ends = of.fit.measured;
    let sizes = (0..=GRID).map(|step| ends.low * (ends.high / ends.low).powf(step as f64 / GRID as f64));
    let line = sizes.clone().filter_map(|size| Some((size, of.fit.ratio_at(size)?)));
    let band = sizes.filter_map(|size| Some((size, of.fit.ratio_ci95(size)?)));
    let mut series = vec![
        Series::across("transition band", 7, of.fit.transition),
        Series::band("95% band of the fit", style, band.collect()),
        Series::line("fit", style, line.collect()),
        Series::at_y(1.0, "equally fast"),
        Series::points("measured", style, of.points.iter().map(|point| ratio_point(of, point)).collect()),
    ];
    // As in the sentence: no crossing is drawn that is not claimed.
    if let (Crossing::Inside { params: at }, Fieller::Bounded(range)) = (of.fit.crossing, of.fit.fieller) {
        let sure = format!("95% CI {} (Fieller)", interval(range, params));
        let text = format!("crossing at {} parameters, {sure}, n = {} models", params(at), of.points.len());
        let shown = Interval { low: range.low.max(ends.low / 2.0), high: range.high.min(ends.high * 2.0) };
        let point = Point { x: at, y: 1.0, x_range: Some(shown), text, ..Point::default() };
        series.push(Series::points("crossing", CROSSING_STYLE, vec![point]));
    }
    Figure::single(
        &format!("crossover {} {} {}", of.call, of.backend, of.against),
        format!("{}: {} over {} by model size", of.call, of.backend, of.against),
        format!("{}. Above the dashed line {} is the faster.", sentence(of), of.backend),
        Panel {
            title: String::new(),
            x: Axis::log("parameters").unit(Unit::Short),
            y: Axis::log("throughput ratio").unit(Unit::Times),
            series,
        },
    )
}

fn ratio_point(of: &SizeCrossover, point: &SizePoint) -> Point {
    let text = format!(
        "{}, {} parameters: {}{} over {}; fitted {}",
        point.model,
        count(point.params),
        ratio(Some(point.ratio)),
        ratio_interval(point.ratio_ci95),
        words::scenarios(point.scenarios),
        ratio(of.fit.ratio_at(point.params as f64))
    );
    Point { x: point.params as f64, y: point.ratio, y_range: point.ratio_ci95, text, ..Point::default() }
}
