//! What runs used, for every output alike: sizes, times, memory and CPU of the backends of one scenario side by side.
//! A table is made where a run of the scenario lasted long enough to be sampled; where none did, there is nothing to
//! say that the other tables do not.

use super::figure::{NONE, figure, mean_spread};
use crate::analysis::{Analysis, CellSummary, Table, TableRow};
use crate::record::Mode;
use crate::stats::Summary;

/// Below the tables on a terminal.
pub(super) const LEGEND: &str = "\
resources: mean ± standard deviation; disk: what is opened; RSS: peak of the worker's life / p90 of samples;
CPU: peak / p90 of samples, 100% is one core; sampled: ok runs that lasted for two samples, 100 ms apart, or more
";

/// The same in full.
pub(super) const HOW_TO_READ: &str = "\
- **Resources** are means ± standard deviation over the ok runs. **Disk** is what the backend opens: the artifact, or the \
model's own weight files; **weights** what the runtime says it holds. **Decode tok/s** leaves each row's first token out. \
**RSS** is the worker's largest resident set since it began, opening and warm-ups included, and the 90th percentile of \
samples taken every 100 ms while a run was in progress. **CPU** is the largest and the 90th percentile of the same \
samples; 100% is one core. Samples count the processes that a worker started. **Sampled** runs lasted for two samples or \
more; the others take no part in sampled figures.
";

/// The scenarios of `table` that have a resources table.
pub(super) fn rows<'t, 'a>(table: &'t Table<'a>) -> impl Iterator<Item = &'t TableRow<'a>> {
    table.rows.iter().filter(|row| cells(row).any(|cell| cell.resources.sampled_runs() > 0))
}

/// Its rows: the backends that have an ok run.
pub(super) fn cells<'a>(row: &TableRow<'a>) -> impl Iterator<Item = &'a CellSummary> {
    row.cells.iter().copied().flatten().filter(|cell| cell.ok > 0)
}

/// Whether there is any such table.
pub(super) fn any(analysis: &Analysis) -> bool {
    analysis.cells.iter().any(|cell| cell.resources.sampled_runs() > 0)
}

/// The names of the columns; the first is the backend's.
pub(super) fn header(mode: Mode) -> Vec<&'static str> {
    let mut names = vec!["backend", "disk MB", "total s"];
    if mode == Mode::Generate {
        names.extend(["TTFT ms", "decode tok/s"]);
    }
    names.extend(["RSS MB peak / p90", "CPU % peak / p90", "sampled"]);
    names
}

/// The columns of one backend, without its name.
pub(super) fn columns(cell: &CellSummary, mode: Mode) -> Vec<String> {
    let used = &cell.resources;
    let mut columns = vec![megabytes(used.disk_bytes), mean_spread(&cell.latency_ms, 1e-3)];
    if mode == Mode::Generate {
        columns.push(mean_spread(&cell.ttft_ms, 1.0));
        columns.push(mean_spread(&cell.decode_tok_s, 1.0));
    }
    columns.push(pair(&used.rss_peak_mb, &used.rss_p90_mb));
    columns.push(pair(&used.cpu_peak_pct, &used.cpu_p90_pct));
    columns.push(format!("{}/{}", used.sampled_runs(), cell.ok));
    columns
}

/// In units of 10^6 bytes.
pub(super) fn megabytes(bytes: Option<u64>) -> String {
    figure(bytes.map(|bytes| bytes as f64 / 1e6))
}

fn pair(peak: &Summary, p90: &Summary) -> String {
    match (peak.mean, p90.mean) {
        (None, None) => NONE.into(),
        (peak, p90) => format!("{} / {}", figure(peak), figure(p90)),
    }
}
