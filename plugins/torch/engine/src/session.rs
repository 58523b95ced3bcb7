//! An open model: the three calls, from batches to libtorch's tensors and back.

use crate::attention::{KvCache, Span};
use crate::error::Outcome;
use crate::model::Model;
use crate::shim::InferenceMode;
use inferhost_plugin_api::abi::RawFloats;
use inferhost_plugin_api::decode::{NextLogits, StepModel, generate};
use inferhost_plugin_api::{
    Batch, Error, GenerateOptions, Logits, Positions, RVec, Session, SessionInfo, TokenSink,
};
use tch::{Kind, Tensor};

/// Logits are made for this many positions at once: those of a whole window would take more memory than GPT-2.
const POSITIONS_AT_ONCE: i64 = 128;

/// A model, and what is kept between the calls and steps.
pub(crate) struct TorchSession {
    model: Model,
    info: SessionInfo,
    threads: i32,
    cache: Option<KvCache>,
    /// Where the next step's tokens stand.
    next: Option<Span>,
    logits: Logits,
}

impl TorchSession {
    pub(crate) fn new(model: Model, info: SessionInfo, threads: i32) -> Self {
        Self { model, info, threads, cache: None, next: None, logits: Logits::default() }
    }

    /// What holds for every call. Sessions of one process may differ in threads.
    fn begin(&self) -> InferenceMode {
        if tch::get_num_threads() != self.threads {
            tch::set_num_threads(self.threads);
        }
        InferenceMode::enter()
    }

    /// Runs a batch from its beginning, with a cache of `capacity` positions where it is not 0.
    fn start_batch(&mut self, batch: Batch<'_>, capacity: i64) -> Outcome<Tensor> {
        let model = &self.model;
        let span = Span::of_batch(batch, model.device())?;
        if capacity == 0 {
            self.next = None;
            return model.forward(&ids(batch, model)?, &span, None);
        }
        if !self.cache.as_ref().is_some_and(|cache| cache.suits(span.rows(), capacity)) {
            // The old one goes first, so that two are never there at once.
            self.cache = None;
            self.cache = Some(model.cache(span.rows(), capacity)?);
        }
        let states = model.forward(&ids(batch, model)?, &span, self.cache.as_ref())?;
        self.next = Some(span.next());
        Ok(states)
    }

    fn next_token(&mut self, tokens: &[u32]) -> Outcome<Tensor> {
        let Some(span) = self.next.take() else {
            return Err(Error::internal("a step without a start").into());
        };
        let ids: Vec<i64> = tokens.iter().map(|&id| i64::from(id)).collect();
        let ids = Tensor::f_from_slice(&ids)?.f_unsqueeze(1)?.f_to_device(self.model.device())?;
        let states = self.model.forward(&ids, &span, self.cache.as_ref())?;
        self.next = Some(span.next());
        Ok(states)
    }

    /// The logits of each row's last column, in the session's own buffer.
    fn next_logits(&mut self, states: &Tensor, rows: usize) -> Outcome<NextLogits<'_>> {
        let last = last_columns(states, rows)?;
        let mut logits = std::mem::take(&mut self.logits);
        let written = write_logits(&self.model, &last, &mut logits);
        self.logits = logits;
        written?;
        Ok(match &self.logits.values {
            RawFloats::F32(values) => NextLogits::F32(values),
            RawFloats::F64(values) => NextLogits::F64(values),
        })
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
        Ok(self.next_logits(&states, batch.rows())?)
    }

    fn step(&mut self, tokens: &[u32]) -> Result<NextLogits<'_>, Error> {
        let states = self.next_token(tokens)?;
        Ok(self.next_logits(&states, tokens.len())?)
    }
}

/// Token ids `[rows, tokens]`, padded on the left with 0.
fn ids(batch: Batch<'_>, model: &Model) -> Outcome<Tensor> {
    let width = batch.longest();
    let mut ids = vec![0i64; batch.rows() * width];
    for (columns, row) in ids.chunks_mut(width).zip(batch.iter()) {
        for (column, &id) in columns[width - row.len()..].iter_mut().zip(row) {
            *column = i64::from(id);
        }
    }
    let shape = [batch.rows() as i64, width as i64];
    Ok(Tensor::f_from_slice(&ids)?.f_reshape(shape)?.f_to_device(model.device())?)
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
        let (start, length) = (first as usize * vocab, count as usize * vocab);
        let all = total as usize * vocab;
        if model.kind() == Kind::Double {
            values.f_copy_data(&mut logits.as_f64_mut(vocab, all)[start..start + length], length)?;
        } else {
            values.f_copy_data(&mut logits.as_f32_mut(vocab, all)[start..start + length], length)?;
        }
    }
    Ok(())
}
