//! A section for each model: a table and charts for each call, what its runs used, its memory over time.

use super::table::{Field, Kind, Table};
use super::{Page, Section, resources};
use crate::accuracy::Verdict;
use crate::analysis::{CellSummary, Table as Cells};
use crate::record::Mode;
use crate::report::charts::{Place, slug};
use crate::report::figure::{NONE, count, figure, interval, ratio, spread};
use crate::report::result::kinds;
use crate::report::{accuracy, flag};
use crate::text::one_line;
use maud::{Markup, html};

/// The sections, in the cells' order.
pub(super) fn models(page: &Page<'_>) -> Vec<Section> {
    let tables = page.analysis.tables();
    let of_models = tables.chunk_by(|a, b| a.model == b.model);
    of_models.enumerate().filter_map(|(index, tables)| section(page, index, tables)).collect()
}

fn section(page: &Page<'_>, index: usize, tables: &[Cells<'_>]) -> Option<Section> {
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
    // The number keeps names apart that differ in punctuation alone.
    Some(Section::new(&format!("model-{}-{}", index + 1, slug(model)), model, body))
}

fn results(page: &Page<'_>, of: &Cells<'_>) -> Markup {
    let generates = of.call.mode == Mode::Generate;
    let cells = || of.rows.iter().flat_map(|row| row.cells.iter().flatten().copied());
    let evaluated = cells().any(|cell| cell.accuracy.is_some());
    let doubtful = cells().any(|cell| flag::doubts(cell).is_some());
    let mut columns = vec![
        ("scenario", Kind::Text),
        ("backend", Kind::Text),
        ("tok/s", Kind::Number),
        ("95% CI", Kind::Number),
        ("vs baseline", Kind::Number),
        ("latency ms", Kind::Number),
    ];
    if generates {
        columns.extend([("TTFT ms", Kind::Number), ("TPOT ms", Kind::Number)]);
    }
    columns.push(("ok runs", Kind::Number));
    if evaluated {
        columns.push(("accuracy", Kind::Text));
    }
    if doubtful {
        columns.push(("doubts", Kind::Long));
    }
    let caption = html! {
        (one_line(of.model)) ", " (of.call.to_string())
        ": tok/s and its interval are of the mean, latency is median ± standard deviation, n the ok runs. A backend's name leads \
         to its cell, with all figures and runs."
    };
    let mut table = Table::new(caption, &columns);
    for cell in cells() {
        let mut fields = speeds(page, cell, generates);
        if evaluated {
            fields.push(verdict(cell.accuracy));
        }
        if doubtful {
            fields.push(Field::text(flag::doubts(cell).unwrap_or_default()));
        }
        table.baseline_row(false, fields);
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
