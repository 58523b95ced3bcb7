//! A comparison on a terminal, or in a file or pipe.

use super::outcome::{
    CellChange, CellName, Compared, Comparison, Environment, GroupChange, Health, Settings,
};
use super::words::{
    self, beyond, change, effect, fastest, group_call, group_test, headline, is_claim, known, lost, mean,
    method, signed, verdict, with_health,
};
use crate::report::{Layout, figure::ratio};
use crate::text::{clipped, one_line};
use comfy_table::{CellAlignment, Table};

/// Longest value of a difference that is shown whole.
const VALUE_LIMIT: usize = 60;
const MESSAGE_LIMIT: usize = 160;

/// Which cells and groups a terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Those that changed.
    Changed,
    /// All.
    All,
}

/// Every comparison.
pub fn terminal(compared: &Compared, layout: Layout, listed: Listed) -> String {
    let of = |comparison: &Comparison| section(comparison, compared.settings, layout, listed);
    compared.comparisons.iter().map(of).collect::<Vec<_>>().join("\n\n")
}

fn section(of: &Comparison, settings: Settings, layout: Layout, listed: Listed) -> String {
    let (before, after) = (one_line(&of.before.folder), one_line(&of.after.folder));
    let mut text = format!("{before} -> {after}: {}\n", headline(of, settings));
    for warning in &of.environment.warnings {
        text.push_str(&format!("WARNING: {}\n", one_line(warning)));
    }
    text.push_str(&environment(&of.environment, layout));
    for note in &of.notes {
        text.push_str(&format!("note: {}\n", one_line(note)));
    }
    text.push_str(&groups(of, layout, listed));
    text.push_str(&cells(of, settings, layout, listed));
    text.push_str(&backends(of, layout));
    text.push_str(&health(of));
    text.push_str(&names("new", &of.new));
    text.push_str(&names("gone", &of.gone));
    for reason in &of.failures {
        text.push_str(&format!("regression: {}\n", one_line(&reason.to_string())));
    }
    text
}

fn print(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_string()).collect();
    lines.join("\n") + "\n"
}

fn environment(of: &Environment, layout: Layout) -> String {
    if of.differences.is_empty() {
        return "environment: nothing known differs\n".into();
    }
    let mut table = layout.table();
    table.set_header(["differs", "", "before", "after"]);
    for difference in &of.differences {
        let value = |value: &Option<String>| clipped(&known(value), VALUE_LIMIT);
        let (what, name) = (one_line(&difference.what), one_line(&difference.of));
        table.add_row([name, what, value(&difference.before), value(&difference.after)]);
    }
    format!("\n{}", print(&table))
}

/// Workers and their calls.
fn groups(of: &Comparison, layout: Layout, listed: Listed) -> String {
    let shown = |group: &&GroupChange| listed == Listed::All || group.verdict.is_change();
    let mut table = layout.table();
    table.set_header([
        "worker",
        "call",
        "cells",
        "fastest run",
        "tested: change, 95% interval, Holm",
        "verdict",
    ]);
    for group in of.groups.iter().filter(shown) {
        let after = group.backend_after.as_ref().map_or(String::new(), |after| format!(" -> {after}"));
        table.add_row([
            one_line(&format!("{}{after} on {}", group.backend, group.model)),
            group_call(group),
            group.cells.to_string(),
            signed(group.change),
            group_test(group),
            group.verdict.name().into(),
        ]);
    }
    if table.is_empty() {
        return String::new();
    }
    for column in table.column_iter_mut().skip(2).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("\n{}", print(&table))
}

/// Tables by model and call, what they show, and how many they leave out.
fn cells(of: &Comparison, settings: Settings, layout: Layout, listed: Listed) -> String {
    let shown: Vec<&CellChange> =
        of.cells.iter().filter(|cell| listed == Listed::All || is_claim(cell)).collect();
    let mut text = String::new();
    for cells in shown.chunk_by(|a, b| a.cell.model == b.cell.model && a.cell.call == b.cell.call) {
        if let Some(first) = cells.first() {
            text.push_str(&format!("\n{}, {}\n", one_line(&first.cell.model), first.cell.call));
            text.push_str(&print(&changes(cells, settings, layout, listed)));
        }
    }
    if !shown.is_empty() {
        text.push_str(&format!(
            "\nmean ms (n) and its change, that of the fastest run with its 95% interval; g: Hedges' g; {}\n",
            method(of)
        ));
    }
    match of.cells.len() - shown.len() {
        0 => {}
        1 => text.push_str("\n1 cell shows no change (--all lists it)\n"),
        hidden => text.push_str(&format!("\n{hidden} cells show no change (--all lists them)\n")),
    }
    text
}

/// Of the changed cells only what was tested, so that a line holds it; of all cells every metric and figure.
fn changes(cells: &[&CellChange], settings: Settings, layout: Layout, listed: Listed) -> Table {
    let all = listed == Listed::All;
    let mut table = layout.table();
    let mut header = vec!["scenario", "backend", "before", "after", "change", "fastest run", "verdict"];
    if all {
        header.extend(["metric", "beyond its worker's others, Holm", "g"]);
    }
    table.set_header(header);
    for cell in cells {
        let scenario = format!("{} {}", one_line(&cell.cell.scenario.name), cell.cell.scenario.shape());
        let shown = cell.metrics.iter().filter(|metric| all || metric.verdict.is_change());
        for (index, metric) in shown.enumerate() {
            let shown = index == 0 || layout == Layout::Plain;
            let named = |text: String| if shown { text } else { String::new() };
            let mut row = vec![
                named(scenario.clone()),
                named(backend(cell)),
                mean(&metric.before),
                mean(&metric.after),
                change(metric),
                fastest(metric),
                verdict(metric, settings),
            ];
            if all {
                row.extend([metric.metric.name().into(), beyond(metric), effect(metric)]);
            }
            table.add_row(row);
        }
    }
    for column in table.column_iter_mut().skip(2).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn backend(cell: &CellChange) -> String {
    let before = one_line(&cell.cell.backend);
    cell.backend_after.as_ref().map_or(before.clone(), |after| format!("{before} -> {}", one_line(after)))
}

/// Latency over all cells of each backend.
fn backends(of: &Comparison, layout: Layout) -> String {
    let mut table = layout.table();
    table.set_header([
        "backend, pooled",
        "latency after / before, geometric mean",
        "cells",
        "slower",
        "faster",
    ]);
    for backend in &of.backends {
        let name = one_line(&backend.backend);
        let name = backend
            .backend_after
            .as_ref()
            .map_or(name.clone(), |after| format!("{name} -> {}", one_line(after)));
        let counts = [backend.cells, backend.slower, backend.faster].map(|count| count.to_string());
        let [cells, slower, faster] = counts;
        table.add_row([name, ratio(backend.latency_ratio), cells, slower, faster]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("\n{}", print(&table))
}

fn health(of: &Comparison) -> String {
    let mut text = String::new();
    for (health, word) in
        [(Health::NewlyDegraded, "newly degraded"), (Health::NoLongerDegraded, "no longer degraded")]
    {
        for cell in with_health(of, health) {
            let name = one_line(&words::cell(&cell.cell, cell.backend_after.as_deref()));
            let message = cell.after.message.as_ref().or(cell.before.message.as_ref());
            let message =
                message.map_or(String::new(), |message| format!(": {}", clipped(message, MESSAGE_LIMIT)));
            let runs = format!("{}, then {}", lost(&cell.before), lost(&cell.after));
            text.push_str(&format!("{word}: {name}: {runs}{message}\n"));
        }
    }
    text
}

fn names(word: &str, cells: &[CellName]) -> String {
    let line = |cell: &CellName| format!("{word}: {}\n", one_line(&words::cell(cell, None)));
    cells.iter().map(line).collect()
}
