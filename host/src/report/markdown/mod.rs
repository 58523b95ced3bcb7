//! `report.md`: the result first, then what was measured, then on what, then how to read it.

mod accuracy;
mod answer;
mod comparisons;
mod results;
mod setup;
mod sizes;

pub(super) use setup::{facts, in_use};

use super::result::{headline, outputs, warnings};
use super::{flag, resources};
use crate::analysis::Analysis;
use crate::manifest::Manifest;
use crate::text;

pub(super) const HOW_TO_READ: &str = "\
## How to read this

- **tok/s** is the mean throughput: tokens processed over latency, where a prefill processes batch x prompt tokens and a \
generation batch x (prompt + new) tokens. **1.00x** is that mean over the baseline's: above 1 is faster.
- **Latency** is the host's monotonic clock around the plugin's call, results in host memory, without tokenisation and \
warm-up: median ± standard deviation (n-1) over the ok runs.
- **TTFT** is the time from the call to the first token in host memory; **TPOT** is (latency - TTFT) / (new tokens per \
row - 1). Both are means.
- A scenario's shape reads batch x prompt tokens + new tokens. **Cached** generation keeps `past_key_values` between steps.
- A **degraded** run gave no valid measurement; it is counted and takes part in no figure. **–** means there is no figure.
- **Over all scenarios**: geometric means of the scenarios' ratios, with intervals over repetitions of these scenarios. \
**Pooled** figures are over the runs of all scenarios together and mix what scenarios and repetitions vary by; **variance \
between scenarios** is their share of it (eta squared). Intervals of means are by Student's t, of ratios by the delta \
method on the logarithm, of rates by Wilson. Repetitions of one round share their worker process, and with it \
memory layout and the machine's mood; only `rounds` have workers of their own.
- `summary.csv` has the cells unrounded, `comparisons.csv` the comparisons, `analysis.json` everything.
";

/// The whole document.
pub(super) fn markdown(manifest: &Manifest, analysis: &Analysis) -> String {
    let mut text = format!("# {}\n\n", title(&analysis.name));
    text.push_str(&result(analysis));
    for warning in warnings(manifest, analysis) {
        text.push_str(&format!("> **Note:** {}\n\n", text::markdown(&warning)));
    }
    text.push_str(&answer::answer(analysis));
    text.push_str(&results::models(manifest, analysis));
    text.push_str(&comparisons::comparisons(analysis));
    text.push_str(&sizes::sizes(analysis));
    text.push_str(&analysis.accuracy.as_ref().map_or(String::new(), accuracy::accuracy));
    text.push_str(&results::degraded(&analysis.degraded));
    text.push_str(&results::outputs(&analysis.agreement));
    text.push_str(&setup::setup(manifest));
    text.push_str(HOW_TO_READ);
    text.push_str(&how_to_read_doubts(analysis));
    if resources::any(analysis) {
        text.push_str(resources::HOW_TO_READ);
    }
    text
}

fn how_to_read_doubts(analysis: &Analysis) -> String {
    let doubtful = analysis.cells.iter().any(|cell| flag::doubts(cell).is_some());
    if doubtful { flag::how_to_read(analysis.least) } else { String::new() }
}

fn title(name: &str) -> String {
    let name = text::markdown(name);
    if name.is_empty() { "Report".into() } else { name }
}

fn result(analysis: &Analysis) -> String {
    let mut text = format!("**{}.**", headline(analysis));
    if let Some(baseline) = &analysis.baseline {
        text.push_str(&format!(" The baseline is {}.", text::markdown(baseline)));
    }
    if let Some(outputs) = outputs(&analysis.agreement) {
        text.push_str(&format!(" The {outputs}."));
    }
    text + "\n\n"
}

/// A table of cells that are Markdown already, the first `left` columns set left and the others right; nothing without
/// rows.
fn table(header: &[String], left: usize, rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule: Vec<String> =
        (0..header.len()).map(|column| if column < left { "---" } else { "---:" }.into()).collect();
    let rows: String = rows.iter().map(|row| line(row)).collect();
    format!("{}{}{rows}\n", line(header), line(&rule))
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_string()).collect()
}
