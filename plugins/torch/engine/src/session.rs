//! An open model: the three calls, from batches to libtorch's tensors and back.

use crate::attention::{KvCache, Span};
use crate::error::Outcome;
use crate::model::Model;
use crate::replay::Replay;
use crate::shim::InferenceMode;
use inferhost_plugin_api::decode::{NextLogits, StepModel, generate};
use inferhost_plugin_api::{
    Batch, Error, GenerateOptions, Logits, Positions, RVec, Session, SessionInfo, TokenSink,
};
use tch::{Device, Kind, Tensor};

/// Logits are made for this many positions at once: those of a whole window would take more memory than GPT-2.
const POSITIONS_AT_ONCE: i64 = 128;

/// A model, and what is kept between the calls and steps.
pub(crate) struct TorchSession {
    model: Model,
    info: SessionInfo,
    threads: i32,
    // Before the cache that its graphs write into.
    replay: Replay,
    cache: Option<KvCache>,
    /// Where the next step's tokens stand.
    next: Option<Span>,
    logits: Logits,
}

impl TorchSession {
    pub(crate) fn new(model: Model, info: SessionInfo, threads: i32, replay: Replay) -> Self {
        Self { model, info, threads, replay, cache: None, next: None, logits: Logits::default() }
    }

    /// What holds for every call. Sessions of one process may differ in threads.
    fn begin(&self) -> InferenceMode {
        tch::set_num_threads(self.threads);
        self.replay.enter();
        InferenceMode::enter()
    }

    /// Runs a batch from its beginning, with a cache of `capacity` positions where it is not 0.
    fn start_batch(&mut self, batch: Batch<'_>, capacity: i64) -> Outcome<Tensor> {
        let device = self.model.device();
        let (span, ids) = (Span::of_batch(batch, device)?, ids(batch, device)?);
        self.next = None;
        if capacity == 0 {
            return self.model.forward(&ids, &span, None);
        }
        self.make_room(span.rows(), capacity)?;
        let states = self.model.forward(&ids, &span, self.cache.as_ref())?;
        self.next = Some(span.next());
        Ok(states)
    }

    fn make_room(&mut self, rows: i64, capacity: i64) -> Outcome<()> {
        let fixed = self.replay.is_wanted();
        if let Some(cache) = self.cache.as_mut().filter(|cache| cache.suits(rows, capacity, fixed)) {
            return if fixed { cache.clear() } else { Ok(()) };
        }
        // The old one goes first, with the graph that writes into it, so that two are never there at once.
        self.replay.clear();
        self.cache = None;
        self.cache = Some(self.model.cache(rows, capacity)?);
        Ok(())
    }

    /// Feeds one token to every row; the logits that follow, `[rows, vocab_size]`.
    fn next_token(&mut self, tokens: &[u32]) -> Outcome<Tensor> {
        let (Some(span), Some(cache)) = (self.next.take(), &self.cache) else {
            return Err(Error::internal("a step without a start").into());
        };
        let ids: Vec<i64> = tokens.iter().map(|&id| i64::from(id)).collect();
        let ids = Tensor::f_from_slice(&ids)?.f_to_device(self.model.device())?;
        let logits = if self.replay.is_wanted() {
            self.replay.step(&self.model, cache, &span, &ids)?
        } else {
            self.model.logits(&self.model.forward(&ids, &span, Some(cache))?)?
        };
        self.next = Some(span.next());
        Ok(logits)
    }

    /// Logits `[rows, vocab_size]` in the session's own buffer.
    fn next_logits(&mut self, logits: &Tensor) -> Outcome<NextLogits<'_>> {
        let vocab = self.model.config().vocab_size();
        copy_logits(logits, 0, logits.numel(), vocab, &mut self.logits)?;
        Ok((&self.logits).into())
    }

    fn prefill_batch(&mut self, batch: Batch<'_>, positions: Positions, logits: &mut Logits) -> Outcome<()> {
        let states = self.start_batch(batch, batch.longest() as i64)?;
        let wanted = match positions {
            Positions::Last => last_columns(&states, batch.rows())?,
            Positions::All => real_columns(&states, batch)?,
        };
        write_logits(&self.model, &wanted, logits)
    }

    fn logprobs_of_batch(&mut self, batch: Batch<'_>, logprobs: &mut RVec<f64>) -> Outcome<()> {
        let states = self.start_batch(batch, 0)?;
        let states = real_columns(&states, batch)?;
        let follows: Vec<i64> = batch.tokens.iter().skip(1).map(|&id| i64::from(id)).chain([0]).collect();
        let follows = Tensor::f_from_slice(&follows)?.f_to_device(states.device())?;
        let mut found = Vec::with_capacity(batch.total_tokens());
        let total = states.size()[0];
        for first in (0..total).step_by(POSITIONS_AT_ONCE as usize) {
            let count = POSITIONS_AT_ONCE.min(total - first);
            let logits = self.model.logits(&states.f_narrow(0, first, count)?)?;
            let chosen = logits.f_gather(1, &follows.f_narrow(0, first, count)?.f_unsqueeze(1)?, false)?;
            let logprob = chosen.f_squeeze_dim(1)?.f_sub(&logits.f_logsumexp([1], false)?)?;
            found.extend(Vec::<f64>::try_from(logprob.f_to_kind(Kind::Double)?)?);
        }
        // Nothing follows a row's last token.
        let mut position = 0;
        for &length in batch.lengths.as_slice() {
            let length = length as usize;
            logprobs.extend(found[position..position + length - 1].iter().copied());
            position += length;
        }
        Ok(())
    }
}

impl Session for TorchSession {
    fn info(&self) -> SessionInfo {
        self.info.clone()
    }

    fn prefill(&mut self, batch: Batch<'_>, positions: Positions, logits: &mut Logits) -> Result<(), Error> {
        let _mode = self.begin();
        Ok(self.prefill_batch(batch, positions, logits)?)
    }

    fn generate(
        &mut self,
        batch: Batch<'_>,
        options: &GenerateOptions<'_>,
        sink: &mut dyn TokenSink,
    ) -> Result<(), Error> {
        let _mode = self.begin();
        generate(self, batch, options, sink)
    }

    fn logprobs(&mut self, batch: Batch<'_>, logprobs: &mut RVec<f64>) -> Result<(), Error> {
        let _mode = self.begin();
        Ok(self.logprobs_of_batch(batch, logprobs)?)
    }
}

impl StepModel for TorchSession {
    fn start(&mut self, batch: Batch<'_>, capacity: usize) -> Result<NextLogits<'_>, Error> {
        let capacity = if capacity > batch.longest() { capacity as i64 } else { 0 };
        let states = self.start_batch(batch, capacity)?;
        let logits = self.model.logits(&last_columns(&states, batch.rows())?)?;
        Ok(self.next_logits(&logits)?)
    }

    fn step(&mut self, tokens: &[u32]) -> Result<NextLogits<'_>, Error> {
        let logits = self.next_token(tokens)?;
        Ok(self.next_logits(&logits)?)
    }
}

/// The token ids of each row, padded on the left with 0 to the longest, `[rows * tokens]`.
fn ids(batch: Batch<'_>, device: Device) -> Outcome<Tensor> {
    let width = batch.longest();
    let mut ids = vec![0i64; batch.rows() * width];
    for (columns, row) in ids.chunks_mut(width).zip(batch.iter()) {
        for (column, &id) in columns[width - row.len()..].iter_mut().zip(row) {
            *column = i64::from(id);
        }
    }
    Ok(Tensor::f_from_slice(&ids)?.f_to_device(device)?)
}

/// Of states `[rows * tokens, width]`, those of the last column.
fn last_columns(states: &Tensor, rows: usize) -> Outcome<Tensor> {
    let size = states.size();
    let tokens = size[0] / rows as i64;
    if tokens == 1 {
        return Ok(states.shallow_clone());
    }
    Ok(states.f_reshape([rows as i64, tokens, size[1]])?.f_select(1, tokens - 1)?)
}

/// Of states `[rows * tokens, width]`, those that are not of padding, rows one after another.
fn real_columns(states: &Tensor, batch: Batch<'_>) -> Outcome<Tensor> {
    if batch.is_uniform() {
        return Ok(states.shallow_clone());
    }
    let width = batch.longest() as i64;
    let columns = (0i64..).zip(batch.lengths.as_slice()).flat_map(|(row, &length)| {
        let end = (row + 1) * width;
        end - i64::from(length)..end
    });
    let columns = Tensor::f_from_slice(&columns.collect::<Vec<_>>())?.f_to_device(states.device())?;
    Ok(states.f_index_select(0, &columns)?)
}

/// The logits of states, a chunk at a time, into the host's buffer.
fn write_logits(model: &Model, states: &Tensor, logits: &mut Logits) -> Outcome<()> {
    let (total, vocab) = (states.size()[0], model.config().vocab_size());
    for first in (0..total).step_by(POSITIONS_AT_ONCE as usize) {
        let count = POSITIONS_AT_ONCE.min(total - first);
        let values = model.logits(&states.f_narrow(0, first, count)?)?;
        copy_logits(&values, first as usize * vocab, total as usize * vocab, vocab, logits)?;
    }
    Ok(())
}

/// `values` into a buffer of `all` logits from `start` on.
fn copy_logits(values: &Tensor, start: usize, all: usize, vocab: usize, to: &mut Logits) -> Outcome<()> {
    let length = values.numel();
    if values.kind() == Kind::Double {
        values.f_copy_data(&mut to.as_f64_mut(vocab, all)[start..start + length], length)?;
    } else {
        values.f_copy_data(&mut to.as_f32_mut(vocab, all)[start..start + length], length)?;
    }
    Ok(())
}
