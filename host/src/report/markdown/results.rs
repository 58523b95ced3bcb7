//! What was measured: a section per model, what was lost, and whether outputs agree.

use super::{header, table};
use crate::analysis::{Agreement, Analysis, CellSummary, DegradedGroup, Table, TableRow};
use crate::manifest::Manifest;
use crate::record::Mode;
use crate::report::accuracy::mark;
use crate::report::figure::{NONE, count, figure, ratio, spread};
use crate::report::flag::doubts;
use crate::report::losses::{Losses, losses};
use crate::report::resources;
use crate::report::result::kinds;
use crate::text::{clipped, markdown};

const MESSAGE_LIMIT: usize = 300;

/// A section per model, a table per call.
pub(super) fn models(manifest: &Manifest, analysis: &Analysis) -> String {
    let mut text = String::new();
    let mut model = None;
    for table in analysis.tables() {
        if model.replace(table.model) != Some(table.model) {
            text.push_str(&format!("## {}\n\n", model_title(manifest, table.model)));
        }
        text.push_str(&format!("### {}\n\n", table.call));
        text.push_str(&cells(&table, analysis));
        text.push_str(&resources(&table));
    }
    text
}

fn model_title(manifest: &Manifest, name: &str) -> String {
    let parameters =
        manifest.models.iter().find(|model| model.name == name).and_then(|model| model.parameters);
    match parameters {
        Some(parameters) => format!("{} ({} parameters)", markdown(name), count(parameters)),
        None => markdown(name),
    }
}

fn cells(of: &Table<'_>, analysis: &Analysis) -> String {
    let columns = of.backends.iter().map(|&backend| {
        let baseline = if Some(backend) == analysis.baseline.as_deref() { " (baseline)" } else { "" };
        let mark = mark(analysis.verdict(of.model, backend));
        let mark = mark.map_or(String::new(), |mark| format!(" — accuracy **{mark}**"));
        markdown(backend) + baseline + &mark
    });
    let header: Vec<String> = std::iter::once("scenario".to_string()).chain(columns).collect();
    let rows: Vec<Vec<String>> = of.rows.iter().map(|row| cells_row(row, of.call.mode)).collect();
    table(&header, 1, &rows)
}

fn cells_row(row: &TableRow<'_>, mode: Mode) -> Vec<String> {
    let scenario = format!("{} {}", markdown(&row.scenario.name), row.scenario.shape());
    let cells =
        row.cells.iter().map(|cell| cell.map_or_else(|| NONE.to_string(), |cell| cell_text(cell, mode)));
    std::iter::once(scenario).chain(cells).collect()
}

fn cell_text(cell: &CellSummary, mode: Mode) -> String {
    let mut lines = Vec::new();
    if cell.ok > 0 {
        let (speed, ratio) = (figure(cell.throughput_tok_s.mean), ratio(cell.throughput_ratio));
        lines.push(format!("**{speed} tok/s** {ratio}"));
        lines.push(format!("{} ms, n = {}", spread(&cell.latency_ms), count(cell.ok)));
        if mode == Mode::Generate {
            let (ttft, tpot) = (figure(cell.ttft_ms.mean), figure(cell.tpot_ms.mean));
            lines.push(format!("TTFT {ttft} ms, TPOT {tpot} ms"));
        }
    }
    if let Some(doubts) = doubts(cell) {
        lines.push(format!("*{doubts}*"));
    }
    if let Some(imported) = &cell.imported {
        lines.push(format!("imported from {}", markdown(&imported.tool)));
    }
    if let Some(reasons) = kinds(&cell.degraded) {
        lines.push(format!("degraded: {reasons} of {} runs", count(cell.recorded)));
    }
    lines.join("<br>")
}

/// What runs used, a table for each scenario; the terminal's columns, and the weights in memory.
fn resources(of: &Table<'_>) -> String {
    let mode = of.call.mode;
    let mut names = header(&resources::header(mode));
    names.insert(2, "weights MB".into());
    let mut text = String::new();
    for row in resources::rows(of) {
        let rows: Vec<Vec<String>> = resources::cells(row)
            .map(|cell| {
                let mut columns = resources::columns(cell, mode);
                columns.insert(0, markdown(&cell.backend));
                columns.insert(2, resources::megabytes(cell.resources.model_bytes));
                columns
            })
            .collect();
        let title = format!("{} {}", markdown(&row.scenario.name), row.scenario.shape());
        text.push_str(&format!("#### Resources: {title}\n\n{}", table(&names, 1, &rows)));
    }
    text
}

/// What was lost and why; nothing where nothing was.
pub(super) fn degraded(groups: &[DegradedGroup]) -> String {
    if groups.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = losses(groups).iter().map(degraded_row).collect();
    let header = header(&["model", "backend", "where", "kind", "stage", "first message", "runs"]);
    format!("## Degraded runs\n\n{}", table(&header, 6, &rows))
}

fn degraded_row(of: &Losses<'_>) -> Vec<String> {
    let group = of.first;
    let ending = match (group.signal, group.exit_code) {
        (Some(signal), _) => format!(" (signal {signal})"),
        (None, Some(code)) => format!(" (exit code {code})"),
        (None, None) => String::new(),
    };
    vec![
        markdown(&group.model),
        markdown(&group.backend),
        markdown(&of.place()),
        format!("`{}`", group.kind.name()),
        group.stage.name().into(),
        markdown(&clipped(&group.message, MESSAGE_LIMIT)) + &ending,
        count(of.runs),
    ]
}

/// The comparisons in which outputs differ; nothing where none does.
pub(super) fn outputs(agreement: &[Agreement]) -> String {
    let differing = agreement.iter().flat_map(|row| {
        row.compared.iter().filter(|other| other.differing > 0).map(|other| {
            vec![
                markdown(&row.model),
                row.call.to_string(),
                markdown(&row.scenario.name),
                markdown(&other.backend),
                markdown(&row.reference),
                format!("{} of {}", count(other.differing), count(other.runs)),
            ]
        })
    });
    let rows: Vec<Vec<String>> = differing.collect();
    if rows.is_empty() {
        return String::new();
    }
    let header = header(&["model", "call", "scenario", "backend", "against", "runs that differ"]);
    let note = "The same prompts gave other tokens here. Where two logits are nearly equal, exact backends part too: \
                this is a reason to measure accuracy, not a verdict.";
    format!("## Outputs that differ\n\n{note}\n\n{}", table(&header, 5, &rows))
}
