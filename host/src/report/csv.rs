//! `summary.csv`: one row per cell, figures unrounded, an empty field where there is none.

use super::flag::doubts;
use crate::analysis::{CellSummary, TokenTimes};
use crate::record::DegradedKind;
use crate::stats::Interval;
use crate::text;
use std::collections::BTreeMap;

type Column = (&'static str, fn(&CellSummary) -> String);

const COLUMNS: [Column; 65] = [
    ("cell", |cell| text::csv(&cell.cell)),
    ("model", |cell| text::csv(&cell.model)),
    ("backend", |cell| text::csv(&cell.backend)),
    ("scenario", |cell| text::csv(&cell.scenario.name)),
    ("mode", |cell| cell.call.mode.name().into()),
    ("use_cache", |cell| field(cell.call.use_cache)),
    ("batch", |cell| cell.scenario.batch.to_string()),
    ("prompt_tokens", |cell| cell.scenario.prompt_tokens.to_string()),
    ("new_tokens", |cell| cell.scenario.new_tokens.to_string()),
    ("recorded", |cell| cell.recorded.to_string()),
    ("ok", |cell| cell.ok.to_string()),
    ("degraded", |cell| cell.degraded.values().sum::<u64>().to_string()),
    ("degraded_kinds", |cell| kinds(&cell.degraded)),
    ("degraded_share", |cell| field(cell.degraded_rate.share)),
    ("degraded_ci95_low", |cell| low(cell.degraded_rate.ci95)),
    ("degraded_ci95_high", |cell| high(cell.degraded_rate.ci95)),
    ("latency_mean_ms", |cell| field(cell.latency_ms.mean)),
    ("latency_sd_ms", |cell| field(cell.latency_ms.sd)),
    ("latency_ci95_low_ms", |cell| low(cell.latency_ms.ci95)),
    ("latency_ci95_high_ms", |cell| high(cell.latency_ms.ci95)),
    ("latency_median_ms", |cell| field(cell.latency_ms.median)),
    ("latency_min_ms", |cell| field(cell.latency_ms.min)),
    ("latency_max_ms", |cell| field(cell.latency_ms.max)),
    ("latency_p90_ms", |cell| field(cell.latency_ms.p90)),
    ("latency_p99_ms", |cell| field(cell.latency_ms.p99)),
    ("latency_cv", |cell| field(cell.latency_ms.cv)),
    ("throughput_mean_tok_s", |cell| field(cell.throughput_tok_s.mean)),
    ("throughput_sd_tok_s", |cell| field(cell.throughput_tok_s.sd)),
    ("throughput_ci95_low_tok_s", |cell| low(cell.throughput_tok_s.ci95)),
    ("throughput_ci95_high_tok_s", |cell| high(cell.throughput_tok_s.ci95)),
    ("throughput_ratio", |cell| field(cell.throughput_ratio)),
    ("ttft_mean_ms", |cell| field(cell.ttft_ms.mean)),
    ("ttft_sd_ms", |cell| field(cell.ttft_ms.sd)),
    ("ttft_median_ms", |cell| field(cell.ttft_ms.median)),
    ("tpot_mean_ms", |cell| field(cell.tpot_ms.mean)),
    ("tpot_median_ms", |cell| field(cell.tpot_ms.median)),
    ("decode_mean_tok_s", |cell| field(cell.decode_tok_s.mean)),
    ("decode_sd_tok_s", |cell| field(cell.decode_tok_s.sd)),
    ("inter_token_n", |cell| times(cell, |times| Some(times.n as f64))),
    ("inter_token_p50_ms", |cell| times(cell, |times| times.p50_ms)),
    ("inter_token_p90_ms", |cell| times(cell, |times| times.p90_ms)),
    ("inter_token_p99_ms", |cell| times(cell, |times| times.p99_ms)),
    ("energy_mean_j_per_token", |cell| field(cell.energy_j_per_token.mean)),
    ("energy_runs", |cell| cell.energy_j_per_token.n.to_string()),
    ("cost_per_million_tokens", |cell| field(cell.cost_per_million_tokens)),
    ("disk_bytes", |cell| field(cell.resources.disk_bytes)),
    ("model_bytes", |cell| field(cell.resources.model_bytes)),
    ("rss_peak_mb", |cell| field(cell.rss_peak_mb)),
    ("rss_peak_mean_mb", |cell| field(cell.resources.rss_peak_mb.mean)),
    ("rss_mean_mb", |cell| field(cell.resources.rss_mean_mb.mean)),
    ("rss_p90_mb", |cell| field(cell.resources.rss_p90_mb.mean)),
    ("cpu_mean_pct", |cell| field(cell.resources.cpu_mean_pct.mean)),
    ("cpu_peak_pct", |cell| field(cell.resources.cpu_peak_pct.mean)),
    ("cpu_p90_pct", |cell| field(cell.resources.cpu_p90_pct.mean)),
    ("sampled_runs", |cell| cell.resources.sampled_runs().to_string()),
    ("doubts", |cell| doubts(cell).unwrap_or_default()),
    ("outlier_lines", |cell| lines(&cell.outlier_lines)),
    ("imported_from", |cell| field(cell.imported.as_ref().map(|from| text::csv(&from.tool)))),
    ("accuracy", |cell| field(cell.accuracy.map(|verdict| verdict.name()))),
    ("minor_faults_mean", |cell| field(cell.resources.minor_faults.mean)),
    ("major_faults_mean", |cell| field(cell.resources.major_faults.mean)),
    ("voluntary_switches_mean", |cell| field(cell.resources.voluntary_switches.mean)),
    ("involuntary_switches_mean", |cell| field(cell.resources.involuntary_switches.mean)),
    ("others_cpu_mean_pct", |cell| field(cell.resources.others_cpu_pct.mean)),
    ("steal_mean_pct", |cell| field(cell.resources.steal_pct.mean)),
];

/// The table with its header, which is there without cells too.
///
/// # Errors
/// None in memory; the writer's type has them.
pub(super) fn csv(cells: &[CellSummary]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS.map(|(name, _)| name))?;
    for cell in cells {
        writer.write_record(COLUMNS.map(|(_, value)| value(cell)))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

fn field<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn low(of: Option<Interval>) -> String {
    field(of.map(|interval| interval.low))
}

fn high(of: Option<Interval>) -> String {
    field(of.map(|interval| interval.high))
}

fn times(cell: &CellSummary, value: fn(&TokenTimes) -> Option<f64>) -> String {
    field(cell.inter_token.as_ref().and_then(value))
}

/// `12;345`.
fn lines(lines: &[usize]) -> String {
    lines.iter().map(usize::to_string).collect::<Vec<_>>().join(";")
}

/// `crashed:1;timeout:2`.
fn kinds(degraded: &BTreeMap<DegradedKind, u64>) -> String {
    let pairs: Vec<String> = degraded.iter().map(|(kind, runs)| format!("{}:{runs}", kind.name())).collect();
    pairs.join(";")
}
