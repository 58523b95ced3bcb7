//! What a call computed, looked at where it lies: whether it is an output at all, its digest, and a copy by row
//! only where one is asked for.

use super::engine::Buffers;
use super::protocol::{Output, RunRequest};
use crate::digest::hex;
use crate::record::Mode;
use inferhost_plugin_api::abi::RawFloats;
use inferhost_plugin_api::{Batch, Logits};
use sha2::{Digest, Sha256};

/// A sound output of the shape that was asked for.
pub(super) enum Computed<'a> {
    Tokens(Vec<Vec<u32>>),
    Logits(&'a Logits),
    Logprobs(&'a [f64]),
}

impl<'a> Computed<'a> {
    /// The output in `buffers`.
    ///
    /// # Errors
    /// What makes it none, in one line.
    pub(super) fn verify(
        request: &RunRequest,
        buffers: &'a Buffers,
        vocab_size: u32,
    ) -> Result<Self, String> {
        match request.mode {
            Mode::Prefill => logits(request, &buffers.logits, vocab_size).map(Self::Logits),
            Mode::Generate => tokens(request, buffers, vocab_size).map(Self::Tokens),
            Mode::Logprobs => logprobs(request.rows.batch(), &buffers.logprobs).map(Self::Logprobs),
        }
    }

    /// Number of tokens that were generated.
    pub(super) fn new_tokens(&self) -> usize {
        match self {
            Self::Tokens(rows) => rows.iter().map(Vec::len).sum(),
            Self::Logits(_) | Self::Logprobs(_) => 0,
        }
    }

    /// SHA-256 over the token ids, or where there are none over the id of the largest logit of each position or
    /// the log-probabilities rounded to 3 decimals: backends that agree have one digest.
    pub(super) fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        match self {
            Self::Tokens(rows) => {
                for row in rows {
                    hasher.update((row.len() as u64).to_le_bytes());
                    row.iter().for_each(|id| hasher.update(id.to_le_bytes()));
                }
            }
            Self::Logits(logits) => {
                let vocab = logits.vocab_size as usize;
                match &logits.values {
                    RawFloats::F32(values) => values.chunks(vocab).for_each(|p| hasher.update(largest(p))),
                    RawFloats::F64(values) => values.chunks(vocab).for_each(|p| hasher.update(largest(p))),
                }
            }
            Self::Logprobs(values) => {
                values.iter().for_each(|p| hasher.update(((p * 1e3).round() as i64).to_le_bytes()));
            }
        }
        hex(&hasher.finalize())
    }

    /// A copy, by row of `batch`.
    pub(super) fn to_output(&self, batch: Batch<'_>) -> Output {
        match self {
            Self::Tokens(rows) => Output::Tokens(rows.clone()),
            Self::Logits(logits) => Output::Logits(logits.rows_f64()),
            Self::Logprobs(values) => {
                let mut rest = *values;
                let rows = batch.iter().map(|row| {
                    let (head, tail) = rest.split_at(row.len() - 1);
                    rest = tail;
                    head.to_vec()
                });
                Output::Logprobs(rows.collect())
            }
        }
    }
}

fn largest<T: PartialOrd + Copy>(logits: &[T]) -> [u8; 8] {
    let mut best = 0;
    for (id, value) in logits.iter().enumerate() {
        if *value > logits[best] {
            best = id;
        }
    }
    (best as u64).to_le_bytes()
}

fn logits<'a>(request: &RunRequest, logits: &'a Logits, vocab_size: u32) -> Result<&'a Logits, String> {
    let positions = request.positions.count(request.rows.batch());
    let wanted = positions * vocab_size as usize;
    if vocab_size == 0 || logits.vocab_size != vocab_size || logits.len() != wanted {
        return Err(format!(
            "wrong shape: {} logits of a vocabulary of {}, expected {positions} positions x {vocab_size}",
            logits.len(),
            logits.vocab_size
        ));
    }
    let bad = match &logits.values {
        RawFloats::F32(values) => values.iter().position(|x| !x.is_finite()),
        RawFloats::F64(values) => values.iter().position(|x| !x.is_finite()),
    };
    match bad {
        None => Ok(logits),
        Some(at) => Err(format!("logit {at} of {wanted} is NaN or infinite")),
    }
}

fn tokens(request: &RunRequest, buffers: &Buffers, vocab_size: u32) -> Result<Vec<Vec<u32>>, String> {
    let rows = buffers.tokens.by_row(request.rows.batch().rows())?;
    if let Some(id) = rows.iter().flatten().find(|&&id| id >= vocab_size) {
        return Err(format!("token {id} is outside the vocabulary of {vocab_size}"));
    }
    let asked = request.generate.max_new_tokens as usize;
    for (row, tokens) in rows.iter().enumerate() {
        let stopped = tokens.last().is_some_and(|id| request.generate.stop_tokens.contains(id));
        if tokens.len() > asked || (tokens.len() < asked && !stopped) {
            return Err(format!("row {row} has {} new tokens, {asked} were asked for", tokens.len()));
        }
    }
    Ok(rows)
}

fn logprobs<'a>(batch: Batch<'_>, logprobs: &'a [f64]) -> Result<&'a [f64], String> {
    let wanted = batch.total_tokens() - batch.rows();
    if logprobs.len() != wanted {
        return Err(format!("wrong shape: {} log-probabilities, expected {wanted}", logprobs.len()));
    }
    match logprobs.iter().find(|x| !x.is_finite() || **x > 1e-6) {
        None => Ok(logprobs),
        Some(value) => Err(format!("{value} is no log-probability")),
    }
}
