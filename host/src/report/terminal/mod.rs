//! The report on a terminal, or in a file or pipe where its width is not the terminal's.

mod answer;

use super::accuracy::{corpus, difference, kl, limit, perplexity, top1};
use super::figure::{NONE, figure, ratio, spread};
use super::losses::losses;
use super::resources;
use super::result::{headline, outputs, warnings};
use crate::accuracy::{Evaluation, Verdict};
use crate::analysis::{Accuracy, Analysis, CellSummary, DegradedGroup, Table};
use crate::manifest::Manifest;
use crate::record::Mode;
use crate::text::{clipped, one_line};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table as TextTable, TableStyle};
use std::io::IsTerminal;

/// Lines of degraded runs before the rest is left to `report.md`.
const DEGRADED_LINES: usize = 20;
const MESSAGE_LIMIT: usize = 160;

const RULE: LineStyle = LineStyle::none().fill('─').junction('─');
const RULED: TableStyle = TableStyle::new().top_border(RULE).header_separator(RULE).bottom_border(RULE);

/// What the text is laid out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A terminal: ruled tables wrapped to its width, between 60 and 100 columns.
    Terminal {
        /// Columns of the terminal.
        width: u16,
    },
    /// A file or pipe: one line a row, every field filled, nothing wrapped.
    Plain,
}

impl Layout {
    /// For this process's standard output.
    pub fn of_stdout() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::Plain;
        }
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| width.0);
        Self::Terminal { width }
    }

    pub(crate) fn table(self) -> TextTable {
        let mut table = TextTable::new();
        match self {
            Self::Terminal { width } => table
                .load_style(RULED)
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width.clamp(60, 100)),
            Self::Plain => table.load_style(NOTHING),
        };
        table
    }
}

/// The whole report.
pub(super) fn terminal(manifest: &Manifest, analysis: &Analysis, layout: Layout) -> String {
    let mut text = format!("{}: {}\n", one_line(&analysis.name), headline(analysis));
    for warning in warnings(manifest, analysis) {
        text.push_str(&format!("warning: {}\n", one_line(&warning)));
    }
    for table in analysis.tables() {
        let title = format!("\n{}, {}\n", one_line(table.model), table.call);
        text.push_str(&title);
        text.push_str(&print(&cells(&table, layout)));
        text.push_str(&resources(&table, layout));
    }
    if !analysis.cells.is_empty() {
        text.push_str(&legend(analysis));
    }
    text.push_str(&analysis.accuracy.as_ref().map_or(String::new(), |found| accuracy(found, layout)));
    text.push_str(&degraded(&analysis.degraded, layout));
    text.push_str(&answer::answers(analysis, layout));
    text.push_str(&answer::crossovers(&analysis.crossovers));
    text
}

fn print(table: &TextTable) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_string()).collect();
    lines.join("\n") + "\n"
}

fn legend(analysis: &Analysis) -> String {
    let mut text = String::from("\ntok/s: mean; latency: median ± standard deviation");
    if let Some(baseline) = &analysis.baseline {
        text.push_str(&format!("; vs: throughput over that of {}", one_line(baseline)));
    }
    if analysis.cells.iter().any(|cell| cell.disturbed_runs() > 0) {
        text.push_str("; *: with disturbed runs");
    }
    text.push('\n');
    if resources::any(analysis) {
        text.push_str(resources::LEGEND);
    }
    if let Some(outputs) = outputs(&analysis.agreement) {
        text.push_str(&format!("{outputs}\n"));
    }
    text
}

fn cells(table: &Table<'_>, layout: Layout) -> TextTable {
    let generates = table.call.mode == Mode::Generate;
    let mut header = vec!["scenario", "backend", "tok/s", "latency ms", "vs"];
    if generates {
        header.splice(4..4, ["TTFT ms", "TPOT ms"]);
    }
    header.push("ok");
    let evaluated =
        table.rows.iter().flat_map(|row| row.cells.iter().flatten()).any(|c| c.accuracy.is_some());
    if evaluated {
        header.push("accuracy");
    }
    let mut text = layout.table();
    text.set_header(header);
    for row in &table.rows {
        let scenario = format!("{} {}", one_line(&row.scenario.name), row.scenario.shape());
        for (index, cell) in row.cells.iter().flatten().enumerate() {
            let repeated = index > 0 && layout != Layout::Plain;
            let scenario = if repeated { String::new() } else { scenario.clone() };
            let mut row = cell_row(scenario, cell, generates);
            if evaluated {
                row.push(cell.accuracy.map_or(NONE, Verdict::name).into());
            }
            text.add_row(row);
        }
    }
    for column in text.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    text
}

fn cell_row(scenario: String, cell: &CellSummary, generates: bool) -> Vec<String> {
    let mark = if cell.imported.is_some() { " (imported)" } else { "" };
    let mut row = vec![scenario, one_line(&cell.backend) + mark];
    row.push(figure(cell.throughput_tok_s.mean));
    row.push(spread(&cell.latency_ms));
    if generates {
        row.push(figure(cell.ttft_ms.mean));
        row.push(figure(cell.tpot_ms.mean));
    }
    row.push(ratio(cell.throughput_ratio));
    let disturbed = if cell.disturbed_runs() > 0 { "*" } else { "" };
    row.push(format!("{}/{}{disturbed}", cell.ok, cell.recorded));
    row
}

fn resources(table: &Table<'_>, layout: Layout) -> String {
    let mut text = String::new();
    for row in resources::rows(table) {
        let title = format!(
            "{}, {}: resources, {} {}",
            table.model,
            table.call,
            row.scenario.name,
            row.scenario.shape()
        );
        let mut of_row = layout.table();
        of_row.set_header(resources::header(table.call.mode));
        for cell in resources::cells(row) {
            let columns = resources::columns(cell, table.call.mode);
            of_row.add_row(std::iter::once(one_line(&cell.backend)).chain(columns));
        }
        for column in of_row.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        text.push_str(&format!("\n{}\n{}", one_line(&title), print(&of_row)));
    }
    text
}

fn accuracy(accuracy: &Accuracy, layout: Layout) -> String {
    let mut text = String::new();
    for evaluations in accuracy.models() {
        let Some(first) = evaluations.first() else { continue };
        let title = format!("{}, accuracy: {}", first.model, corpus(first));
        let mut table = layout.table();
        table.set_header([
            "backend",
            "perplexity",
            "vs baseline",
            "mean KL",
            "top-1",
            "tok/s",
            "limit",
            "gate",
        ]);
        for of in evaluations {
            let tok_s = figure(of.figures.as_ref().map(|figures| figures.tok_s));
            let backend = one_line(&of.backend);
            table.add_row([
                backend,
                perplexity(of),
                difference(of),
                kl(of),
                top1(of),
                tok_s,
                limit(of),
                gate(of),
            ]);
        }
        for column in table.column_iter_mut().skip(1).take(6) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        text.push_str(&format!("\n{}\n{}", one_line(&title), print(&table)));
    }
    if text.is_empty() { text } else { text + "gate: perplexity within the limit of the baseline's\n" }
}

fn gate(of: &Evaluation) -> String {
    match &of.degraded {
        Some(lost) => {
            let message = clipped(&lost.message, MESSAGE_LIMIT);
            format!("{}: {} in {}: {message}", of.verdict.name(), lost.kind.name(), lost.stage.name())
        }
        None => of.verdict.name().into(),
    }
}

fn degraded(groups: &[DegradedGroup], layout: Layout) -> String {
    if groups.is_empty() {
        return String::new();
    }
    let mut table = layout.table();
    table.set_header(["degraded", "runs", "kind", "first message"]);
    let losses = losses(groups);
    for of in losses.iter().take(DEGRADED_LINES) {
        let cell = format!("{} {}: {}", of.first.model, of.first.backend, of.place());
        table.add_row([
            one_line(&cell),
            of.runs.to_string(),
            format!("{} in {}", of.first.kind.name(), of.first.stage.name()),
            clipped(&of.first.message, MESSAGE_LIMIT),
        ]);
    }
    let mut text = format!("\n{}", print(&table));
    if losses.len() > DEGRADED_LINES {
        text.push_str(&format!("and {} more, see report.md\n", losses.len() - DEGRADED_LINES));
    }
    text
}
