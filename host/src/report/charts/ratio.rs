//! How many times the baseline's throughput: overall, scenario by scenario, and as a heat map.

use super::words::{ratio_interval, scenario, scenarios};
use super::{Chart, MOST_NAMES, MOST_PANELS, Place, Source};
use crate::analysis::{Comparison, Metric, Standing, Table};
use crate::report::figure::{count, ratio};
use crate::report::plot::{Axis, Cell, Figure, Panel, Point, Series, Share, Unit};

const LABEL: &str = "times the baseline";

/// Every model's backends over all their scenarios, a panel for each call.
pub(super) fn overall(source: &Source<'_>) -> Option<Chart> {
    let compared = |of: &&Standing| of.throughput_ratio.is_some() && of.backend != source.baseline();
    let standings: Vec<&Standing> = source.analysis.standings.iter().filter(compared).collect();
    let (mut calls, mut rows) = (Vec::new(), Vec::new());
    for of in &standings {
        if !calls.contains(&of.call) {
            calls.push(of.call);
        }
        let row = (of.model.as_str(), of.backend.as_str());
        if !rows.contains(&row) && rows.len() < MOST_NAMES {
            rows.push(row);
        }
    }
    let is_one_model = rows.iter().all(|row| row.0 == rows[0].0);
    let name =
        |row: &(&str, &str)| if is_one_model { row.1.to_string() } else { format!("{}, {}", row.0, row.1) };
    let names: Vec<String> = rows.iter().map(name).collect();
    let panels: Vec<Panel> = calls
        .iter()
        .map(|call| {
            let of_call = standings.iter().filter(|of| of.call == *call);
            panel(source, &call.to_string(), &names, of_call.map(|of| overall_point(&rows, of)))
        })
        .collect();
    let columns = panels.len().clamp(1, 3);
    (!panels.is_empty()).then(|| Chart {
        place: Place::Overview,
        figure: Figure::grid(
            "overall",
            format!("Throughput over that of {}", source.baseline()),
            "Geometric means over the scenarios that both have, with 95% intervals over repetitions. Right of the dashed line is \
             faster than the baseline.",
            panels,
            columns,
            Share::Both,
        ),
    })
}

fn overall_point(rows: &[(&str, &str)], of: &Standing) -> Option<(String, Point)> {
    let at = rows.iter().position(|row| *row == (of.model.as_str(), of.backend.as_str()))?;
    let value = of.throughput_ratio?;
    let text = format!(
        "{}, {}, {}: {}{} over {}, n = {} runs",
        of.model,
        of.backend,
        of.call,
        ratio(Some(value)),
        ratio_interval(of.throughput_ratio_ci95),
        scenarios(of.compared_scenarios),
        count(of.pooled.throughput_tok_s.n as u64)
    );
    Some((
        of.backend.clone(),
        Point { x: value, y: at as f64, x_range: of.throughput_ratio_ci95, text, ..Point::default() },
    ))
}

/// All backends but the baseline that occur, in the order of their colours.
fn backends<'a>(source: &Source<'_>, occurring: impl Iterator<Item = &'a str>) -> Vec<String> {
    let found: Vec<&str> = occurring.collect();
    let others = source.backends.iter().filter(|name| found.contains(name) && **name != source.baseline());
    others.take(MOST_NAMES).map(|name| (*name).to_string()).collect()
}

fn panel(
    source: &Source<'_>,
    title: &str,
    others: &[String],
    points: impl Iterator<Item = Option<(String, Point)>>,
) -> Panel {
    let mut series = vec![Series::at_x(1.0, "as fast as the baseline")];
    for (backend, point) in points.flatten() {
        series.push(Series::points("", source.style(&backend), vec![point]));
    }
    Panel {
        title: title.into(),
        x: Axis::log(LABEL).unit(Unit::Times),
        y: Axis::categories(others.to_vec()),
        series,
    }
}

/// Small multiples: a panel for each scenario on shared axes; none with fewer than two scenarios.
pub(super) fn by_scenario(source: &Source<'_>, table: &Table<'_>) -> Option<Figure> {
    let compared: Vec<&Comparison> = source
        .analysis
        .comparisons
        .iter()
        .filter(|of| of.model == table.model && of.call == table.call && of.metric == Metric::ThroughputTokS)
        .collect();
    let others = backends(source, compared.iter().map(|of| of.backend.as_str()));
    let panels: Vec<Panel> = table
        .rows
        .iter()
        .take(MOST_PANELS)
        .map(|row| {
            let of_row = compared.iter().filter(|of| of.scenario == *row.scenario);
            panel(source, &scenario(row.scenario), &others, of_row.map(|of| compared_point(&others, of)))
        })
        .collect();
    (panels.len() > 1 && !others.is_empty()).then(|| {
        Figure::grid(
            &format!("ratio {} {}", table.model, table.call),
            format!("{}, {}: throughput over that of {}", table.model, table.call, source.baseline()),
            "A panel for each scenario, on the same axes: ratios of means with 95% confidence intervals (delta method on the \
             logarithm). Right of the dashed line is faster than the baseline.",
            panels,
            3,
            Share::Both,
        )
    })
}

fn compared_point(others: &[String], of: &Comparison) -> Option<(String, Point)> {
    let at = others.iter().position(|name| *name == of.backend)?;
    let value = of.ratio?;
    let text = format!(
        "{}, {}: {}{}, {}, n = {} against {}",
        of.backend,
        scenario(&of.scenario),
        ratio(Some(value)),
        ratio_interval(of.ratio_ci95),
        of.outcome.name(),
        count(of.n as u64),
        count(of.baseline_n as u64)
    );
    Some((
        of.backend.clone(),
        Point { x: value, y: at as f64, x_range: of.ratio_ci95, text, ..Point::default() },
    ))
}

/// Scenarios by backends; none with fewer than two of either.
pub(super) fn heat_map(source: &Source<'_>, table: &Table<'_>) -> Option<Figure> {
    let rows = &table.rows[..table.rows.len().min(MOST_NAMES)];
    if rows.len() < 2 || !(2..=MOST_NAMES / 2).contains(&table.backends.len()) {
        return None;
    }
    let cells = rows.iter().enumerate().flat_map(|(row, of)| {
        of.cells.iter().enumerate().filter_map(move |(column, cell)| {
            let cell = (*cell)?;
            let value = cell.throughput_ratio?;
            let label = ratio(Some(value));
            let text = format!(
                "{}, {}: {label} of the baseline's throughput, n = {}",
                cell.backend,
                scenario(&cell.scenario),
                count(cell.throughput_tok_s.n as u64)
            );
            // Four times as fast or slow is the deepest.
            Some(Cell { column, row, depth: value.log2() / 2.0, label, text })
        })
    });
    let cells: Vec<Cell> = cells.collect();
    (!cells.is_empty()).then(|| {
        Figure::single(
            &format!("heat map {} {}", table.model, table.call),
            format!("{}, {}: heat map of throughput over that of {}", table.model, table.call, source.baseline()),
            "Ratios of mean throughputs; blue is faster than the baseline, red-brown slower, deepest at four times.",
            Panel {
                title: String::new(),
                x: Axis::categories(table.backends.iter().map(|name| (*name).to_string()).collect()),
                y: Axis::categories(rows.iter().map(|row| scenario(row.scenario)).collect()),
                series: vec![Series::cells(cells)],
            },
        )
    })
}
