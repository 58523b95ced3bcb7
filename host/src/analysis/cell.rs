//! One cell's runs in figures. The definitions are those of the table of metrics in the README.

use super::group::{Call, Group, Scenario};
use super::is_ok;
use super::resources::Resources;
use crate::accuracy::Verdict;
use crate::manifest::Manifest;
use crate::record::{DegradedKind, Record};
use crate::stats::{Summary, summary};
use serde::Serialize;
use std::collections::BTreeMap;

/// What the runs of one cell say. Figures are over the ok runs alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CellSummary {
    /// The model.
    pub model: String,
    /// The backend.
    pub backend: String,
    /// The scenario.
    pub scenario: Scenario,
    /// What was called.
    pub call: Call,
    /// Records of the cell.
    pub recorded: u64,
    /// Those with a valid measurement.
    pub ok: u64,
    /// Those without, by kind.
    pub degraded: BTreeMap<DegradedKind, u64>,
    /// Milliseconds around the plugin's call.
    pub latency_ms: Summary,
    /// Tokens processed over latency, per second.
    pub throughput_tok_s: Summary,
    /// Mean throughput over the baseline's, above 1 where this backend is faster; none without both.
    pub throughput_ratio: Option<f64>,
    /// Milliseconds to the first token in host memory.
    pub ttft_ms: Summary,
    /// Milliseconds per token after the first, for 2 new tokens and more.
    pub tpot_ms: Summary,
    /// Tokens per second after each row's first, for 2 new tokens and more.
    pub decode_tok_s: Summary,
    /// The worker's largest resident set, MB (10^6 bytes).
    pub rss_peak_mb: Option<f64>,
    /// What the runs used.
    pub resources: Resources,
    /// What the accuracy gate says of the backend on this model; none where it was not evaluated.
    pub accuracy: Option<Verdict>,
}

impl CellSummary {
    pub(super) fn of(group: &Group<'_>, manifest: &Manifest) -> Self {
        let ok: Vec<&Record> = group.records.iter().copied().filter(|record| is_ok(record)).collect();
        let over = |metric: fn(&Record) -> Option<f64>| -> Summary {
            summary(&ok.iter().filter_map(|record| metric(record)).collect::<Vec<_>>())
        };
        let resources = Resources::of(&group.records).sized(manifest, group.key.model, group.key.backend);
        Self {
            model: group.key.model.into(),
            backend: group.key.backend.into(),
            scenario: group.key.scenario.to_owned(),
            call: group.key.call,
            recorded: group.records.len() as u64,
            ok: ok.len() as u64,
            degraded: degraded(&group.records),
            latency_ms: over(|record| record.latency_ms),
            throughput_tok_s: over(|record| record.throughput_tok_s),
            throughput_ratio: None,
            ttft_ms: over(|record| record.ttft_ms),
            tpot_ms: over(tpot_ms),
            decode_tok_s: over(decode_tok_s),
            rss_peak_mb: resources.rss_peak_mb.max,
            resources,
            accuracy: None,
        }
    }
}

fn degraded(records: &[&Record]) -> BTreeMap<DegradedKind, u64> {
    let mut kinds = BTreeMap::new();
    for reason in records.iter().filter_map(|record| record.degraded.as_ref()) {
        *kinds.entry(reason.kind).or_default() += 1;
    }
    kinds
}

/// Milliseconds after the first step, and the steps made in them.
fn decode(record: &Record) -> Option<(f64, f64)> {
    // Generation may stop at end-of-sequence, so the steps made count, not those asked for.
    let steps = record.token_ms.len().checked_sub(1).filter(|&steps| steps > 0)?;
    let time = record.latency_ms? - record.ttft_ms?;
    (time > 0.0).then_some((time, steps as f64))
}

fn tpot_ms(record: &Record) -> Option<f64> {
    decode(record).map(|(time, steps)| time / steps)
}

fn decode_tok_s(record: &Record) -> Option<f64> {
    let (time, _) = decode(record)?;
    // Rows may stop at different steps, so the tokens made are counted.
    let prompts_and_first = u64::from(record.batch) * (u64::from(record.prompt_tokens) + 1);
    let tokens = record.tokens_processed?.checked_sub(prompts_and_first)?;
    Some(tokens as f64 / time * 1000.0)
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
