//! A section for each model: a table and charts for each call, what its runs used, its memory over time.

use super::table::{Field, Kind, Table};
use super::{Page, Section, resources};
use crate::accuracy::Verdict;
use crate::analysis::{Analysis, CellSummary, Table as Cells};
use crate::record::Mode;
use crate::report::charts::{Place, slug};
use crate::report::figure::{NONE, count, figure, interval, ratio, spread};
use crate::report::result::kinds;
use crate::report::{accuracy, flag};
use crate::text::one_line;
use maud::{Markup, html};
use std::collections::HashMap;

/// The sections, in the cells' order.
pub(super) fn models(page: &Page<'_>) -> Vec<Section> {
    let tables = page.analysis.tables();
    tables.chunk_by(|a, b| a.model == b.model).filter_map(|tables| section(page, tables)).collect()
}

/// The ids of their sections, by model.
pub(super) fn ids(analysis: &Analysis) -> HashMap<&str, String> {
    let models = analysis.cells.chunk_by(|a, b| a.model == b.model).enumerate();
    // The number keeps names apart that differ in punctuation alone.
    models
        .map(|(index, cells)| {
            (cells[0].model.as_str(), format!("model-{}-{}", index + 1, slug(&cells[0].model)))
        })
        .collect()
}

fn section(page: &Page<'_>, tables: &[Cells<'_>]) -> Option<Section> {
    let model = tables.first()?.model;
    let entry = page.manifest.models.iter().find(|entry| entry.name == model);
    let parameters = entry.and_then(|entry| entry.parameters);
    let body = html! {
        @if let Some(parameters) = parameters { p.muted { (count(parameters)) " parameters" } }
        @for table in tables {
            h3 { (table.call.to_string()) }
            (results(page, table))
            (page.charts(&Place::Table(model.to_string(), table.call)))
            (resources::resources(page, table))
        }
        (page.charts(&Place::Model(model.to_string())))
    };
    Some(Section::new(page.sections.get(model)?, model, body))
}

/// Which columns a table has beside those that all have.
struct Extra {
    generates: bool,
    evaluated: bool,
    doubtful: bool,
}

impl Extra {
    fn of(of: &Cells<'_>) -> Self {
        let any = |fact: fn(&CellSummary) -> bool| {
            of.rows.iter().flat_map(|row| row.cells.iter().flatten()).any(|cell| fact(cell))
        };
        Self {
            generates: of.call.mode == Mode::Generate,
            evaluated: any(|cell| cell.accuracy.is_some()),
            doubtful: any(|cell| flag::doubts(cell).is_some()),
        }
    }

    fn columns(&self) -> Vec<(&'static str, Kind)> {
        let mut columns = vec![("scenario", Kind::Text), ("backend", Kind::Text)];
        columns.extend(["tok/s", "95% CI", "vs baseline", "latency ms"].map(|name| (name, Kind::Number)));
        if self.generates {
            columns.extend([("TTFT ms", Kind::Number), ("TPOT ms", Kind::Number)]);
        }
        columns.push(("ok runs", Kind::Number));
        columns.extend(self.evaluated.then_some(("accuracy", Kind::Text)));
        columns.extend(self.doubtful.then_some(("doubts", Kind::Long)));
        columns
    }
}

fn results(page: &Page<'_>, of: &Cells<'_>) -> Markup {
    let extra = Extra::of(of);
    let caption = html! {
        (one_line(of.model)) ", " (of.call.to_string())
        ": tok/s and its interval are of the mean, latency is median ± standard deviation, n the ok runs. A backend's name leads \
         to its cell, with all figures and runs."
    };
    let mut table = Table::new(caption, &extra.columns());
    for cell in of.rows.iter().flat_map(|row| row.cells.iter().flatten()) {
        let mut fields = speeds(page, cell, extra.generates);
        fields.extend(extra.evaluated.then(|| verdict(cell.accuracy)));
        fields.extend(extra.doubtful.then(|| Field::text(flag::doubts(cell).unwrap_or_default())));
        table.row(fields);
    }
    table.markup()
}

fn speeds(page: &Page<'_>, cell: &CellSummary, generates: bool) -> Vec<Field> {
    let scenario = format!("{} {}", cell.scenario.name, cell.scenario.shape());
    let name = html! {
        (page.to_cell(&cell.cell, &cell.backend))
        @if page.is_baseline(&cell.backend) { span.muted { " (baseline)" } }
    };
    let (rate, latency) = (&cell.throughput_tok_s, &cell.latency_ms);
    let ci = rate.ci95.map_or_else(|| NONE.into(), |ci| interval(ci, |end| figure(Some(end))));
    let mut fields = vec![
        Field::text(scenario),
        Field::marked(name, &cell.backend),
        Field::number(figure(rate.mean), rate.mean),
        Field::number(ci, rate.ci95.map(|ci| ci.low)),
        Field::number(ratio(cell.throughput_ratio), cell.throughput_ratio),
        Field::number(spread(latency), latency.median),
    ];
    if generates {
        fields.push(Field::number(figure(cell.ttft_ms.mean), cell.ttft_ms.mean));
        fields.push(Field::number(figure(cell.tpot_ms.mean), cell.tpot_ms.mean));
    }
    fields.push(ok_runs(cell));
    fields
}

fn ok_runs(cell: &CellSummary) -> Field {
    let shown = html! {
        (count(cell.ok)) "/" (count(cell.recorded))
        @if let Some(reasons) = kinds(&cell.degraded) { " " span.bad { (reasons) } }
    };
    let share = (cell.recorded > 0).then(|| cell.ok as f64 / cell.recorded as f64);
    Field::markup(shown, share)
}

/// The gate's word, which does not depend on its colour.
pub(super) fn verdict(of: Option<Verdict>) -> Field {
    let Some(verdict) = of else { return Field::text(NONE) };
    let shown = html! {
        span.good[verdict.is_pass()].bad[accuracy::mark(of).is_some()] { (verdict.name()) }
    };
    Field::marked(shown, verdict.name())
}
