//! Every cell in full: all its figures, each with its n, its doubts, and its runs with their lines in `records.jsonl`.

use super::Page;
use crate::analysis::{CellSummary, Point};
use crate::report::comparisons::rate;
use crate::report::figure::{NONE, count, figure, interval, ratio};
use crate::report::flag;
use crate::report::result::kinds;
use crate::stats::Summary;
use crate::text::one_line;
use maud::{Markup, html};

/// Runs listed of one cell, and of all together.
const MOST_RUNS: usize = 100;
const MOST_RUNS_IN_ALL: usize = 6_000;
const LEAST_RUNS: usize = 5;

type Row = (&'static str, fn(&CellSummary) -> &Summary);

const FIGURES: [Row; 9] = [
    ("latency, ms", |cell| &cell.latency_ms),
    ("throughput, tok/s", |cell| &cell.throughput_tok_s),
    ("TTFT, ms", |cell| &cell.ttft_ms),
    ("TPOT, ms", |cell| &cell.tpot_ms),
    ("decode, tok/s", |cell| &cell.decode_tok_s),
    ("energy, J/token", |cell| &cell.energy_j_per_token),
    ("RSS peak, MB", |cell| &cell.resources.rss_peak_mb),
    ("RSS p90, MB", |cell| &cell.resources.rss_p90_mb),
    ("CPU, %", |cell| &cell.resources.cpu_mean_pct),
];

/// The section, the cells of one table folded together.
pub(super) fn cells(page: &Page<'_>) -> Markup {
    let cells = &page.analysis.cells;
    let shown = (MOST_RUNS_IN_ALL / cells.len().max(1)).clamp(LEAST_RUNS, MOST_RUNS);
    let indexed: Vec<(usize, &CellSummary)> = cells.iter().enumerate().collect();
    let same_table =
        |a: &(usize, &CellSummary), b: &(usize, &CellSummary)| a.1.model == b.1.model && a.1.call == b.1.call;
    html! {
        @for table in indexed.chunk_by(same_table) {
            details {
                summary {
                    (one_line(&table[0].1.model)) ", " (table[0].1.call.to_string()) ": " (count(table.len() as u64)) " cells"
                }
                @for (index, cell) in table { (detail(page, *index, cell, shown)) }
            }
        }
    }
}

fn detail(page: &Page<'_>, index: usize, cell: &CellSummary, shown: usize) -> Markup {
    let title = format!("{}, {} {}", cell.backend, cell.scenario.name, cell.scenario.shape());
    html! {
        details.cell id=(page.anchors.id(index)) {
            summary { (one_line(&title)) }
            dl.facts {
                dt { "cell" } dd { code { (one_line(&cell.cell)) } }
                dt { "runs" } dd {
                    (count(cell.recorded)) " recorded, " (count(cell.ok)) " ok"
                    @if let Some(reasons) = kinds(&cell.degraded) { "; degraded " (rate(&cell.degraded_rate)) ": " (reasons) }
                }
                @if let Some(value) = cell.throughput_ratio { dt { "vs baseline" } dd { (ratio(Some(value))) " of its throughput" } }
                @if let Some(verdict) = cell.accuracy { dt { "accuracy" } dd { (verdict.name()) } }
                @if let Some(doubts) = flag::doubts(cell) { dt { "doubts" } dd { (doubts) } }
                @if let Some(cost) = cell.cost_per_million_tokens {
                    dt { "cost" } dd { (figure(Some(cost))) " " (one_line(&page.analysis.settings.currency)) " per million tokens" }
                }
            }
            (figures(cell))
            (runs(cell, shown))
        }
    }
}

fn figures(cell: &CellSummary) -> Markup {
    let columns = ["n", "mean", "95% CI of the mean", "sd", "CV", "median", "min", "max", "p90", "p99"];
    let known = FIGURES.iter().filter(|(_, of)| of(cell).n > 0);
    html! {
        div.scroll tabindex="0" role="group" aria-label="figures of the cell" {
            table.numbers {
                caption { span { "Over the ok runs" } }
                thead { tr { td {} @for name in columns { th scope="col" { (name) } } } }
                tbody { @for (name, of) in known { (figure_row(name, of(cell))) } (inter_token(cell)) }
            }
        }
    }
}

fn figure_row(name: &str, of: &Summary) -> Markup {
    let ci = of.ci95.map_or_else(|| NONE.into(), |ci| interval(ci, |end| figure(Some(end))));
    let cv = of.cv.map_or_else(|| NONE.into(), |cv| format!("{}%", figure(Some(cv * 100.0))));
    let values = [
        count(of.n as u64),
        figure(of.mean),
        ci,
        figure(of.sd),
        cv,
        figure(of.median),
        figure(of.min),
        figure(of.max),
        figure(of.p90),
        figure(of.p99),
    ];
    html! { tr { th scope="row" { (name) } @for value in values { td { (value) } } } }
}

/// Over all times between tokens of all ok runs.
fn inter_token(cell: &CellSummary) -> Markup {
    let Some(times) = &cell.inter_token else { return html! {} };
    let none = || NONE.to_string();
    let values = [
        count(times.n),
        figure(times.mean_ms),
        none(),
        none(),
        none(),
        figure(times.p50_ms),
        none(),
        none(),
        figure(times.p90_ms),
        figure(times.p99_ms),
    ];
    html! { tr { th scope="row" { "between tokens, ms" } @for value in values { td { (value) } } } }
}

fn runs(cell: &CellSummary, shown: usize) -> Markup {
    if cell.points.is_empty() {
        return html! {};
    }
    let step = cell.points.len().div_ceil(shown).max(1);
    let chosen: Vec<&Point> = cell.points.iter().step_by(step).collect();
    let all = cell.recorded;
    html! {
        details {
            summary {
                @if (chosen.len() as u64) < all {
                    (count(chosen.len() as u64)) " of " (count(all)) " runs, evenly chosen"
                } @else { "All " (count(all)) " runs" }
            }
            p.muted { "Line of records.jsonl (round/repetition): latency. " code { "grep '\"cell\":\"" (one_line(&cell.cell)) "\"' records.jsonl" } " has all." }
            ul.values { @for point in chosen { li { (run(cell, point)) } } }
        }
    }
}

/// `line 1,204 (0/3): 20.5161 ms, outlier`.
fn run(cell: &CellSummary, point: &Point) -> String {
    let latency = match point.latency_ms {
        None => "degraded".into(),
        Some(latency) if cell.outlier_lines.contains(&point.line) => format!("{latency:.4} ms, outlier"),
        Some(latency) => format!("{latency:.4} ms"),
    };
    format!("line {} ({}/{}): {latency}", count(point.line as u64), point.round, point.repetition)
}
