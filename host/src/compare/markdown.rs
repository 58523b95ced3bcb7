//! A comparison for a pull request: the verdict, what changed, and the rest folded away.

use super::metric::MetricChange;
use super::outcome::{
    CellChange, CellName, Compared, Comparison, Environment, GroupChange, Health, Settings,
};
use super::words::{
    self, beyond, change, effect, fastest, group_call, group_test, headline, known, lost, mean, method,
    signed, verdict, with_health,
};
use crate::report::figure::ratio;
use crate::text::{clipped, markdown as escaped};

/// Longest value of a difference that is shown whole.
const VALUE_LIMIT: usize = 120;
const MESSAGE_LIMIT: usize = 300;

/// Every comparison.
pub fn markdown(compared: &Compared) -> String {
    let of = |comparison: &Comparison| section(comparison, compared.settings);
    compared.comparisons.iter().map(of).collect::<Vec<_>>().join("\n")
}

fn section(of: &Comparison, settings: Settings) -> String {
    let (before, after) = (escaped(&of.before.folder), escaped(&of.after.folder));
    let mark = if of.failures.is_empty() { "✅" } else { "❌" };
    let mut text = format!("## {mark} {before} → {after}\n\n**{}**\n\n", headline(of, settings));
    for warning in &of.environment.warnings {
        text.push_str(&format!("> **Warning:** {}\n\n", escaped(warning)));
    }
    for note in &of.notes {
        text.push_str(&format!("> **Note:** {}\n\n", escaped(note)));
    }
    for reason in &of.failures {
        text.push_str(&format!("- **regression:** {}\n", escaped(&reason.to_string())));
    }
    if !of.failures.is_empty() {
        text.push('\n');
    }
    text.push_str(&groups(of.groups.iter().filter(|group| group.verdict.is_change())));
    text.push_str(&changed(of, settings));
    text.push_str(&health(of));
    text.push_str(&names("New", &of.new));
    text.push_str(&names("Gone", &of.gone));
    let differences = of.environment.differences.len();
    text.push_str(&folded(&format!("Environment: {differences} differences"), &environment(&of.environment)));
    text.push_str(&folded(&format!("All {} cells", of.cells.len()), &all(of, settings)));
    text.push_str(&folded(&format!("All {} workers and calls", of.groups.len()), &groups(of.groups.iter())));
    text.push_str(&folded("Backends, pooled over their cells", &backends(of)));
    text
}

fn folded(summary: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!("<details><summary>{summary}</summary>\n\n{content}</details>\n\n")
}

/// A table of cells that are Markdown already; nothing without rows.
fn table(header: &[&str], left: usize, rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let rule: Vec<&str> =
        (0..header.len()).map(|column| if column < left { "---" } else { "---:" }).collect();
    let rows: String = rows.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect();
    format!("| {} |\n| {} |\n{rows}\n", header.join(" | "), rule.join(" | "))
}

const HEADER: [&str; 11] = [
    "model",
    "backend",
    "call",
    "scenario",
    "metric",
    "before, ms (n)",
    "after, ms (n)",
    "change",
    "fastest run (95% interval)",
    "beyond its worker's others, Holm",
    "verdict",
];

fn changed(of: &Comparison, settings: Settings) -> String {
    let metrics = of.cells.iter().flat_map(|cell| cell.metrics.iter().map(move |metric| (cell, metric)));
    let rows: Vec<Vec<String>> = metrics
        .filter(|(_, metric)| metric.verdict.is_change())
        .map(|(cell, metric)| row(cell, metric, settings))
        .collect();
    table(&HEADER, 5, &rows)
}

fn all(of: &Comparison, settings: Settings) -> String {
    let mut header = HEADER.to_vec();
    header.push("Hedges' g");
    let rows: Vec<Vec<String>> = of
        .cells
        .iter()
        .flat_map(|cell| cell.metrics.iter().map(move |metric| (cell, metric)))
        .map(|(cell, metric)| {
            let mut row = row(cell, metric, settings);
            row.push(effect(metric));
            row
        })
        .collect();
    format!("{}{}.\n\n", table(&header, 5, &rows), method(of))
}

/// Workers and their calls.
fn groups<'a>(groups: impl Iterator<Item = &'a GroupChange>) -> String {
    let row = |of: &GroupChange| {
        let verdict = of.verdict.name();
        vec![
            escaped(&of.model),
            backend(&of.backend, of.backend_after.as_deref()),
            group_call(of),
            of.cells.to_string(),
            signed(of.change),
            group_test(of),
            if of.verdict.is_change() { format!("**{verdict}**") } else { verdict.into() },
        ]
    };
    let header = [
        "model",
        "backend",
        "call",
        "cells",
        "fastest run",
        "tested: change (95% interval), Holm",
        "verdict",
    ];
    table(&header, 3, &groups.map(row).collect::<Vec<_>>())
}

fn row(cell: &CellChange, metric: &MetricChange, settings: Settings) -> Vec<String> {
    let verdict = verdict(metric, settings);
    vec![
        escaped(&cell.cell.model),
        backend(&cell.cell.backend, cell.backend_after.as_deref()),
        cell.cell.call.to_string(),
        format!("{} {}", escaped(&cell.cell.scenario.name), cell.cell.scenario.shape()),
        metric.metric.name().into(),
        mean(&metric.before),
        mean(&metric.after),
        change(metric),
        fastest(metric),
        beyond(metric),
        if metric.verdict.is_change() { format!("**{verdict}**") } else { verdict },
    ]
}

fn backend(before: &str, after: Option<&str>) -> String {
    let before = escaped(before);
    after.map_or(before.clone(), |after| format!("{before} → {}", escaped(after)))
}

fn health(of: &Comparison) -> String {
    let kinds = [(Health::NewlyDegraded, "newly degraded"), (Health::NoLongerDegraded, "no longer degraded")];
    let rows: Vec<Vec<String>> = kinds
        .iter()
        .flat_map(|(health, word)| with_health(of, *health).map(move |cell| (cell, *word)))
        .map(|(cell, word)| {
            let message =
                cell.after.message.as_deref().or(cell.before.message.as_deref()).unwrap_or_default();
            vec![
                escaped(&words::cell(&cell.cell, cell.backend_after.as_deref())),
                format!("**{word}**"),
                lost(&cell.before),
                lost(&cell.after),
                escaped(&clipped(message, MESSAGE_LIMIT)),
            ]
        })
        .collect();
    table(&["cell", "", "before", "after", "first message"], 5, &rows)
}

fn names(word: &str, cells: &[CellName]) -> String {
    let line = |cell: &CellName| format!("- {}\n", escaped(&words::cell(cell, None)));
    folded(&format!("{word}: {} cells", cells.len()), &cells.iter().map(line).collect::<String>())
}

fn environment(of: &Environment) -> String {
    let value = |value: &Option<String>| escaped(&clipped(&known(value), VALUE_LIMIT));
    let rows: Vec<Vec<String>> = of
        .differences
        .iter()
        .map(|of| vec![escaped(&of.of), escaped(&of.what), value(&of.before), value(&of.after)])
        .collect();
    if rows.is_empty() {
        "Nothing known differs.\n\n".into()
    } else {
        table(&["", "", "before", "after"], 4, &rows)
    }
}

fn backends(of: &Comparison) -> String {
    let rows: Vec<Vec<String>> = of
        .backends
        .iter()
        .map(|of| {
            let [cells, slower, faster] = [of.cells, of.slower, of.faster].map(|count| count.to_string());
            vec![
                backend(&of.backend, of.backend_after.as_deref()),
                ratio(of.latency_ratio),
                cells,
                slower,
                faster,
            ]
        })
        .collect();
    table(&["backend", "latency after / before, geometric mean", "cells", "slower", "faster"], 1, &rows)
}
