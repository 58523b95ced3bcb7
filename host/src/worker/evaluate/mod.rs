//! An evaluation's part that a worker does: one call of the plugin for a batch of windows, and what its output says of
//! the tokens that followed. Logits never leave as messages: the baseline's are handed on in shared memory, and every
//! other backend reduces its own against them here, so that only numbers per token and sums go back.

mod divergence;
mod exp;
mod shared;
mod vector;

pub use shared::SharedLogits;

use super::engine::{Engine, Say, misuse, nanos};
use super::protocol::{Divergence, EvaluateRequest, EvaluateResult, EvaluateTask, Failure, FromWorker};
use crate::record::{DegradedKind, Stage};
use divergence::{Logit, Position};
use inferhost_plugin_api::abi::RawFloats;
use inferhost_plugin_api::{Batch, Logits, Positions};
use std::ops::Range;
use std::time::Instant;

impl Engine {
    /// Makes the call that `request` asks for and reduces its output.
    pub(super) fn evaluate(
        &mut self,
        request: &EvaluateRequest,
        say: Say<'_>,
    ) -> Result<EvaluateResult, Failure> {
        let start = Instant::now();
        let session = self.session.as_mut().ok_or_else(|| misuse(Stage::Run, "no model is open"))?;
        let (batch, buffers) = (request.rows.batch(), &mut self.buffers);
        let vocab_size = session.info().vocab_size;
        buffers.logprobs.clear();
        let called = match request.task {
            EvaluateTask::Logprobs => session.logprobs(batch, &mut buffers.logprobs),
            EvaluateTask::Share | EvaluateTask::Compare(_) => {
                session.prefill(batch, Positions::All, &mut buffers.logits)
            }
        };
        called.map_err(|error| Failure::from_plugin(Stage::Run, &error))?;
        let call_ns = nanos(start.elapsed());
        say(FromWorker::Entered(Stage::Verify));
        let windows = Windows::new(batch, &request.first_scored);
        let mut result = match &request.task {
            EvaluateTask::Logprobs => windows.of_logprobs(&buffers.logprobs),
            EvaluateTask::Share => windows.shared(&buffers.logits, vocab_size),
            EvaluateTask::Compare(reference) => windows.compared(&buffers.logits, vocab_size, reference),
        }
        .map_err(invalid)?;
        if let Some(value) = result.logprobs.iter().find(|value| !value.is_finite() || **value > 1e-6) {
            return Err(invalid(format!("{value} is no log-probability; a logit may be NaN or infinite")));
        }
        (result.call_ns, result.total_ns) = (call_ns, nanos(start.elapsed()));
        Ok(result)
    }
}

fn invalid(message: String) -> Failure {
    Failure { stage: Stage::Verify, kind: DegradedKind::InvalidOutput, message, bad_input: false }
}

/// The windows of a batch, and from which token on each is scored.
struct Windows<'a> {
    batch: Batch<'a>,
    first_scored: &'a [u32],
}

impl<'a> Windows<'a> {
    fn new(batch: Batch<'a>, first_scored: &'a [u32]) -> Self {
        Self { batch, first_scored }
    }

    /// For every window: where its first token lies in the batch, its tokens, the first one scored.
    fn iter(&self) -> impl Iterator<Item = (usize, &'a [u32], usize)> {
        let first = self.first_scored.iter().map(|&first| first as usize);
        self.batch.iter().zip(first).scan(0, |next, (row, first)| {
            let start = *next;
            *next += row.len();
            Some((start, row, first.clamp(1, row.len())))
        })
    }

    /// The positions, counted over the batch, whose next token is scored, one range a window, and these tokens.
    fn scored(&self) -> impl Iterator<Item = (Range<usize>, &'a [u32])> {
        self.iter().map(|(start, row, first)| (start + first - 1..start + row.len() - 1, &row[first..]))
    }

    fn of_logprobs(&self, logprobs: &[f64]) -> Result<EvaluateResult, String> {
        let wanted = self.batch.total_tokens() - self.batch.rows();
        if logprobs.len() != wanted {
            return Err(format!("wrong shape: {} log-probabilities, expected {wanted}", logprobs.len()));
        }
        // A row has one log-probability fewer than tokens.
        let of_row = |(number, (start, row, first)): (usize, (usize, &[u32], usize))| {
            logprobs[start - number..][first - 1..row.len() - 1].iter().copied()
        };
        let logprobs = self.iter().enumerate().flat_map(of_row).collect();
        Ok(EvaluateResult { logprobs, ..EvaluateResult::default() })
    }

    fn shared(&self, logits: &Logits, vocab_size: u32) -> Result<EvaluateResult, String> {
        let vocab = self.check(logits, vocab_size)?;
        let logprobs = match &logits.values {
            RawFloats::F32(values) => self.logprobs(values, vocab),
            RawFloats::F64(values) => self.logprobs(values, vocab),
        };
        let shared = Some(SharedLogits::new(logits, self.span())?);
        Ok(EvaluateResult { logprobs, shared, ..EvaluateResult::default() })
    }

    fn compared(
        &self,
        logits: &Logits,
        vocab_size: u32,
        reference: &SharedLogits,
    ) -> Result<EvaluateResult, String> {
        let vocab = self.check(logits, vocab_size)?;
        let positions = match (&logits.values, reference.values(vocab_size, self.span().len())?) {
            (RawFloats::F32(own), shared::Values::F32(reference)) => self.compare(reference, own, vocab),
            (RawFloats::F32(own), shared::Values::F64(reference)) => self.compare(reference, own, vocab),
            (RawFloats::F64(own), shared::Values::F32(reference)) => self.compare(reference, own, vocab),
            (RawFloats::F64(own), shared::Values::F64(reference)) => self.compare(reference, own, vocab),
        };
        let mut sums = Divergence::default();
        for position in &positions {
            sums.positions += 1;
            sums.values += u64::from(vocab_size);
            sums.kl += position.kl;
            sums.same_top += u64::from(position.same_top);
            sums.difference_sum += position.difference_sum;
            sums.difference_max = sums.difference_max.max(position.difference_max);
        }
        let logprobs = positions.iter().map(|position| position.logprob).collect();
        Ok(EvaluateResult { logprobs, divergence: Some(sums), ..EvaluateResult::default() })
    }

    /// The vocabulary's size, where the logits are of every position.
    fn check(&self, logits: &Logits, vocab_size: u32) -> Result<usize, String> {
        let positions = self.batch.total_tokens();
        if vocab_size == 0
            || logits.vocab_size != vocab_size
            || logits.len() != positions * vocab_size as usize
        {
            return Err(format!(
                "wrong shape: {} logits of a vocabulary of {}, expected {positions} positions x {vocab_size}",
                logits.len(),
                logits.vocab_size
            ));
        }
        Ok(vocab_size as usize)
    }

    /// From the first position scored to the last: all that another backend needs.
    fn span(&self) -> Range<usize> {
        let start = self.scored().map(|(positions, _)| positions.start).next().unwrap_or(0);
        start..self.scored().map(|(positions, _)| positions.end).last().unwrap_or(start)
    }

    fn logprobs<T: Logit>(&self, logits: &[T], vocab: usize) -> Vec<f64> {
        let of_window = |(positions, targets): (Range<usize>, &[u32])| {
            divergence::logprobs(&logits[positions.start * vocab..positions.end * vocab], vocab, targets)
        };
        self.scored().flat_map(of_window).collect()
    }

    fn compare<R: Logit, T: Logit>(&self, reference: &[R], own: &[T], vocab: usize) -> Vec<Position> {
        let offset = self.span().start;
        let of_window = |(positions, targets): (Range<usize>, &[u32])| {
            let reference = &reference[(positions.start - offset) * vocab..(positions.end - offset) * vocab];
            let own = &own[positions.start * vocab..positions.end * vocab];
            divergence::compare(reference, own, vocab, targets)
        };
        self.scored().flat_map(of_window).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferhost_plugin_api::Rows;

    fn logits(positions: usize, of: impl Fn(usize, usize) -> f64) -> Logits {
        let mut logits = Logits::default();
        let values = logits.as_f64_mut(3, positions * 3);
        for (index, value) in values.iter_mut().enumerate() {
            *value = of(index / 3, index % 3);
        }
        logits
    }

    /// Two windows, of which the second is scored from its third token on.
    #[test]
    fn each_scored_token_is_looked_up_at_the_position_before_it() {
        let rows = Rows::new(&[vec![0, 1, 2], vec![2, 0, 1, 2]]);
        let windows = Windows::new(rows.batch(), &[1, 2]);
        let scored: Vec<_> = windows.scored().collect();
        assert_eq!(scored, [(0..2, &[1, 2][..]), (4..6, &[1, 2][..])]);
        assert_eq!(windows.span(), 0..6);

        let own = logits(7, |position, id| (position * id) as f64 / 4.0);
        let alone = windows.shared(&own, 3).unwrap();
        let shared = alone.shared.as_ref().unwrap();
        let same = windows.compared(&own, 3, shared).unwrap();
        assert_eq!(alone.logprobs, same.logprobs);
        let sums = same.divergence.unwrap();
        assert_eq!((sums.positions, sums.same_top, sums.values, sums.difference_max), (4, 4, 12, 0.0));
        // Position 5 has logits (0, 1.25, 2.5), and token 2 follows it.
        let expected = 2.5 - (1.0 + 1.25_f64.exp() + 2.5_f64.exp()).ln();
        assert!((same.logprobs[3] - expected).abs() < 1e-14);

        let all = windows.of_logprobs(&[-1.0, -2.0, -3.0, -4.0, -5.0]).unwrap();
        assert_eq!(all.logprobs, [-1.0, -2.0, -4.0, -5.0]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let rows = Rows::new(&[vec![0, 1, 2]]);
        let windows = Windows::new(rows.batch(), &[1]);
        assert!(windows.of_logprobs(&[-1.0]).unwrap_err().contains("1 log-probabilities, expected 2"));
        let short = logits(2, |_, _| 0.0);
        assert!(windows.shared(&short, 3).err().unwrap().contains("6 logits"));
        let own = logits(3, |_, _| 0.0);
        let reference = SharedLogits::new(&short, 0..1).unwrap();
        assert!(windows.compared(&own, 3, &reference).err().unwrap().contains("baseline"));
    }
}
