//! Speed against exactness, with the front of those that nobody beats at both.

use super::{Chart, Place, Source};
use crate::accuracy::Verdict;
use crate::analysis::{Tradeoff, TradeoffPoint};
use crate::report::figure::{count, ratio};
use crate::report::plot::{Axis, Figure, Panel, Point, Series, Unit};

/// One chart for each model and call that has both.
pub(super) fn tradeoffs(source: &Source<'_>) -> Vec<Chart> {
    source.analysis.tradeoffs.iter().map(|of| chart(source, of)).collect()
}

fn chart(source: &Source<'_>, of: &Tradeoff) -> Chart {
    let front: Vec<(f64, f64)> = of
        .points
        .iter()
        .filter(|point| point.on_front)
        .map(|point| (point.perplexity, point.throughput_ratio))
        .collect();
    let mut series = Vec::new();
    if front.len() > 1 {
        series.push(Series::line("on the front", 7, steps(&front)));
    }
    // In the order of all other charts' legends.
    for backend in &source.backends {
        let own = of.points.iter().filter(|point| point.backend == *backend);
        series.extend(own.map(|of| {
            let failed = if of.accuracy == Verdict::Failed { " (fails the gate)" } else { "" };
            Series::points(&format!("{}{failed}", of.backend), source.style(&of.backend), vec![point(of)])
        }));
    }
    let joined = if front.len() > 1 { " The line joins the backends that none beats at both." } else { "" };
    Chart {
        place: Place::Accuracy(of.model.clone()),
        figure: Figure::single(
            &format!("perplexity {} {}", of.model, of.call),
            format!("{}, {}: perplexity against speed", of.model, of.call),
            format!(
                "Up is faster than the baseline (geometric mean of throughput ratios), left is a lower perplexity.{joined}"
            ),
            Panel {
                title: String::new(),
                x: Axis::linear("perplexity"),
                y: Axis::fitting(
                    "throughput over the baseline's",
                    of.points.iter().map(|of| of.throughput_ratio),
                )
                .unit(Unit::Times),
                series,
            },
        ),
    }
}

/// Between two backends of the front nothing is measured: the front goes level, then up.
fn steps(front: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut line: Vec<(f64, f64)> = Vec::new();
    for &(x, y) in front {
        line.extend(line.last().map(|last| (x, last.1)));
        line.push((x, y));
    }
    line
}

fn point(of: &TradeoffPoint) -> Point {
    let front = if of.on_front { ", on the front" } else { "" };
    let gate = of.accuracy.name();
    let text = format!(
        "{}: perplexity {:.4} over {} tokens, {} of the baseline's throughput, gate: {gate}{front}",
        of.backend,
        of.perplexity,
        count(of.tokens),
        ratio(Some(of.throughput_ratio))
    );
    Point { x: of.perplexity, y: of.throughput_ratio, text, ..Point::default() }
}
