//! How often runs were lost, backend by backend.

use super::{Chart, MOST_NAMES, MOST_PANELS, Place, Source};
use crate::analysis::CellSummary;
use crate::report::figure::{count, figure};
use crate::report::plot::{Axis, Bar, Figure, Panel, Series, Share, Unit};
use crate::stats::wilson;

/// A panel for each model; none where nothing was lost.
pub(super) fn rates(source: &Source<'_>) -> Option<Chart> {
    if source.analysis.runs.degraded == 0 {
        return None;
    }
    let names: Vec<String> =
        source.backends.iter().take(MOST_NAMES).map(|name| (*name).to_string()).collect();
    let models = source.analysis.cells.chunk_by(|a, b| a.model == b.model);
    let panels: Vec<Panel> = models
        .take(MOST_PANELS)
        .map(|cells| {
            let bars = names.iter().enumerate().filter_map(|(at, backend)| bar(source, cells, at, backend));
            Panel {
                title: cells.first().map_or_else(String::new, |cell| cell.model.clone()),
                x: Axis::from_zero("degraded runs").unit(Unit::Percent),
                y: Axis::categories(names.clone()),
                series: bars.collect(),
            }
        })
        .collect();
    let columns = panels.len().clamp(1, 3);
    Some(Chart {
        place: Place::Degraded,
        figure: Figure::grid(
            "degraded",
            "Degraded runs by backend",
            "Share of the recorded runs that gave no valid measurement, with Wilson's 95% interval.",
            panels,
            columns,
            Share::Both,
        ),
    })
}

fn bar(source: &Source<'_>, cells: &[CellSummary], at: usize, backend: &str) -> Option<Series> {
    let of = || cells.iter().filter(|cell| cell.backend == backend);
    let recorded: u64 = of().map(|cell| cell.recorded).sum();
    let lost: u64 = of().map(|cell| cell.recorded - cell.ok).sum();
    if recorded == 0 {
        return None;
    }
    let share = lost as f64 / recorded as f64;
    let range = wilson(lost, recorded);
    let percent = |value: f64| format!("{}%", figure(Some(value * 100.0)));
    let interval =
        range.map_or_else(String::new, |of| format!(", 95% CI {} to {}", percent(of.low), percent(of.high)));
    let text = format!(
        "{backend}: {} of {} runs degraded, {}{interval}",
        count(lost),
        count(recorded),
        percent(share)
    );
    let bar = Bar { x: share, y: at as f64, thickness: 0.5, range, text };
    Some(Series::bars("", source.style(backend), vec![bar]))
}
