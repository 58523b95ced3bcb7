//! One record cut down to what the analysis asks of it, so that a million of them fit in memory.

use crate::record::{DisturbanceKind, Record, Telemetry};

/// A number or none, in eight bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure(f64);

impl From<Option<f64>> for Figure {
    fn from(value: Option<f64>) -> Self {
        Self(value.unwrap_or(f64::NAN))
    }
}

impl Figure {
    pub(super) fn get(self) -> Option<f64> {
        Some(self.0).filter(|value| value.is_finite())
    }
}

/// One run of a cell. Times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Of `records.jsonl`, from 1.
    pub(super) line: usize,
    pub(super) round: u32,
    pub(super) repetition: u32,
    pub(super) ok: bool,
    /// When it began, milliseconds since 1970.
    pub(super) at: Figure,
    pub(super) latency_ms: Figure,
    pub(super) throughput_tok_s: Figure,
    pub(super) ttft_ms: Figure,
    pub(super) tpot_ms: Figure,
    pub(super) decode_tok_s: Figure,
    pub(super) energy_j_per_token: Figure,
    pub(super) used: Used,
    pub(super) disturbed: Disturbed,
    /// The first 128 bits of the output's digest.
    pub(super) digest: Option<u128>,
}

/// A run's telemetry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    pub(super) rss_peak_mb: Figure,
    pub(super) rss_mean_mb: Figure,
    pub(super) rss_p90_mb: Figure,
    pub(super) cpu_mean_pct: Figure,
    pub(super) cpu_peak_pct: Figure,
    pub(super) cpu_p90_pct: Figure,
    pub(super) minor_faults: Figure,
    pub(super) major_faults: Figure,
    pub(super) voluntary_switches: Figure,
    pub(super) involuntary_switches: Figure,
    pub(super) others_cpu_pct: Figure,
    pub(super) steal_pct: Figure,
}

impl Run {
    pub(super) fn of(line: usize, record: &Record) -> Self {
        let at = record.started_at.parse::<jiff::Timestamp>().ok();
        Self {
            line,
            round: record.round,
            repetition: record.repetition,
            ok: record.degraded.is_none(),
            at: at.map(|at| at.as_millisecond() as f64).into(),
            latency_ms: record.latency_ms.into(),
            throughput_tok_s: record.throughput_tok_s.into(),
            ttft_ms: record.ttft_ms.into(),
            tpot_ms: tpot_ms(record).into(),
            decode_tok_s: decode_tok_s(record).into(),
            energy_j_per_token: energy_j_per_token(record).into(),
            used: Used::of(record.telemetry.as_ref()),
            disturbed: Disturbed::of(record),
            digest: record.output_digest.as_deref().map(shortened),
        }
    }
}

/// A bit for each kind of disturbance.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Disturbed(u8);

impl Disturbed {
    pub(super) fn of(record: &Record) -> Self {
        Self(record.disturbances.iter().fold(0, |bits, found| bits | 1 << found.kind as u8))
    }

    pub(super) fn has(self, kind: DisturbanceKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    pub(super) fn any(self) -> bool {
        self.0 != 0
    }
}

impl Used {
    fn of(telemetry: Option<&Telemetry>) -> Self {
        let of = |metric: fn(&Telemetry) -> Option<f64>| Figure::from(telemetry.and_then(metric));
        Self {
            rss_peak_mb: of(|t| t.rss_peak_mb),
            rss_mean_mb: of(|t| t.rss_mean_mb),
            rss_p90_mb: of(|t| t.rss_p90_mb),
            cpu_mean_pct: of(|t| t.cpu_mean_pct),
            cpu_peak_pct: of(|t| t.cpu_peak_pct),
            cpu_p90_pct: of(|t| t.cpu_p90_pct),
            minor_faults: of(|t| Some(t.minor_faults? as f64)),
            major_faults: of(|t| Some(t.major_faults? as f64)),
            voluntary_switches: of(|t| Some(t.voluntary_switches? as f64)),
            involuntary_switches: of(|t| Some(t.involuntary_switches? as f64)),
            others_cpu_pct: of(|t| t.others_cpu_pct),
            steal_pct: of(|t| t.steal_pct),
        }
    }
}

/// Any text, so that digests of other kinds can be told apart too.
fn shortened(digest: &str) -> u128 {
    let hex = digest.get(..32).and_then(|start| u128::from_str_radix(start, 16).ok());
    hex.unwrap_or_else(|| digest.bytes().fold(0, |sum: u128, byte| sum.wrapping_mul(257) ^ u128::from(byte)))
}

/// Milliseconds after the first step, and the steps made in them.
fn decode(record: &Record) -> Option<(f64, f64)> {
    // Generation may stop at end-of-sequence, so the steps made count, not those asked for.
    let steps = record.token_ms.len().checked_sub(1).filter(|&steps| steps > 0)?;
    let time = record.latency_ms? - record.ttft_ms?;
    (time > 0.0).then_some((time, steps as f64))
}

/// Milliseconds per token after the first; none where there is no second.
pub(crate) fn tpot_ms(record: &Record) -> Option<f64> {
    decode(record).map(|(time, steps)| time / steps)
}

fn decode_tok_s(record: &Record) -> Option<f64> {
    let (time, _) = decode(record)?;
    // Rows may stop at different steps, so the tokens made are counted.
    let prompts_and_first = u64::from(record.batch) * (u64::from(record.prompt_tokens) + 1);
    let tokens = record.tokens_processed?.checked_sub(prompts_and_first)?;
    Some(tokens as f64 / time * 1000.0)
}

fn energy_j_per_token(record: &Record) -> Option<f64> {
    let energy = record.telemetry.as_ref()?.energy_j?;
    let tokens = record.tokens_processed.filter(|&tokens| tokens > 0)?;
    Some(energy / tokens as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;

    #[test]
    fn decoding_is_what_follows_the_first_token() {
        let record = Record { batch: 4, tokens_processed: Some(4 * (8 + 8)), ..sample::generated() };
        assert_eq!(tpot_ms(&record), Some(1.0));
        assert_eq!(decode_tok_s(&record), Some(4000.0));

        let stopped_early = Record { token_ms: vec![2.0, 3.0, 4.0], ..sample::generated() };
        assert_eq!(tpot_ms(&stopped_early), Some(3.5));
    }

    #[test]
    fn a_row_that_has_stopped_decodes_nothing() {
        // One row makes 8 tokens, the other stops after its third: 7 + 2 tokens in 7 ms.
        let record = Record { batch: 2, tokens_processed: Some(2 * 8 + 8 + 3), ..sample::generated() };
        assert_eq!(tpot_ms(&record), Some(1.0));
        assert_eq!(decode_tok_s(&record), Some(9.0 / 7.0 * 1000.0));
    }

    #[test]
    fn what_has_no_second_token_has_no_decoding() {
        let one = Record { new_tokens: 1, token_ms: vec![2.0], ..sample::generated() };
        let at_once = Record { ttft_ms: Some(9.0), ..sample::generated() };
        let unknown = Record { ttft_ms: None, ..sample::generated() };
        for record in [one, at_once, unknown, sample::ok()] {
            assert_eq!((tpot_ms(&record), decode_tok_s(&record)), (None, None));
        }
    }
}
