//! An open model: the three calls, their results copied from candle's tensors into the host's buffers.

use crate::attention::RowCache;
use crate::internal;
use crate::model::Model;
use crate::ops::{Real, with_values};
use candle_core::{DType, Device, Tensor, WithDType};
use inferhost_plugin_api::decode::{NextLogits, StepModel, generate};
use inferhost_plugin_api::{
    Batch, Error, GenerateOptions, Logits, Positions, RVec, Session, SessionInfo, TokenSink,
};
use rayon::ThreadPool;
use rayon::prelude::*;

/// Logits are made for this many positions at once: those of a whole window would take more memory than GPT-2.
const POSITIONS_AT_ONCE: usize = 128;

/// A model, and what is kept between the calls and steps.
pub struct CandleSession {
    model: Model,
    info: SessionInfo,
    pool: ThreadPool,
    dtype: DType,
    /// One per row of the batch that runs; the last call's rows until the next call.
    caches: Vec<RowCache>,
    next: Logits,
}

impl CandleSession {
    pub(crate) fn new(model: Model, info: SessionInfo, pool: ThreadPool, dtype: DType) -> Self {
        Self { model, info, pool, dtype, caches: Vec::new(), next: Logits::default() }
    }

    /// Runs the batch from empty caches of the rows' lengths and `room` more positions, and returns its states.
    fn fill(&mut self, batch: Batch<'_>, room: usize) -> Result<Tensor, Error> {
        let (model, tokens, lengths) = (&self.model, batch.tokens.as_slice(), batch.lengths.as_slice());
        // The old caches go first, so that two are never there at once.
        self.caches.clear();
        let caches = lengths.iter().map(|&length| model.row_cache(length as usize + room));
        self.caches = caches.collect::<Result<_, _>>().map_err(internal)?;
        let caches = &mut self.caches;
        self.pool.install(|| model.forward(tokens, lengths, Some(caches))).map_err(internal)
    }

    /// Runs the batch and keeps nothing.
    fn run(&self, batch: Batch<'_>) -> Result<Tensor, Error> {
        let (model, tokens, lengths) = (&self.model, batch.tokens.as_slice(), batch.lengths.as_slice());
        self.pool.install(|| model.forward(tokens, lengths, None)).map_err(internal)
    }

    /// Hands the logits of every position of `states` to `take`, a chunk at a time, with the first position's
    /// number.
    fn each_chunk<T: Real>(
        &self,
        states: &Tensor,
        mut take: impl FnMut(usize, &[T]) + Send,
    ) -> candle_core::Result<()> {
        let positions = states.dim(0)?;
        self.pool.install(|| {
            for first in (0..positions).step_by(POSITIONS_AT_ONCE) {
                let count = POSITIONS_AT_ONCE.min(positions - first);
                let logits = self.model.logits(&states.narrow(0, first, count)?)?;
                with_values::<T, _>(&logits, |values| take(first, values))?;
            }
            Ok(())
        })
    }

    fn write_logits(&self, states: &Tensor, logits: &mut Logits) -> Result<(), Error> {
        let vocab = self.model.config().vocab_size();
        let len = states.dim(0).map_err(internal)? * vocab;
        if self.dtype == DType::F64 {
            let out = logits.as_f64_mut(vocab, len);
            self.each_chunk::<f64>(states, |first, values| copy_to(out, first * vocab, values))
        } else {
            let out = logits.as_f32_mut(vocab, len);
            self.each_chunk::<f32>(states, |first, values| copy_to(out, first * vocab, values))
        }
        .map_err(internal)
    }

    /// The logits of each row's last position, in the session's own buffer.
    fn next_logits(&mut self, states: &Tensor, lengths: &[u32]) -> Result<NextLogits<'_>, Error> {
        let last = last_positions(states, lengths).map_err(internal)?;
        let mut next = std::mem::take(&mut self.next);
        let written = self.write_logits(&last, &mut next);
        self.next = next;
        written?;
        Ok((&self.next).into())
    }

    fn target_logprobs<T: Real>(&self, states: &Tensor, targets: &[Option<u32>]) -> Result<Vec<f64>, Error> {
        let vocab = self.model.config().vocab_size();
        let mut found = Vec::with_capacity(targets.len());
        self.each_chunk::<T>(states, |first, values| {
            let rows = values.par_chunks(vocab).zip(&targets[first..]);
            let chunk: Vec<Option<f64>> =
                rows.map(|(logits, target)| target.map(|id| logprob(logits, id as usize))).collect();
            found.extend(chunk.into_iter().flatten());
        })
        .map_err(internal)?;
        Ok(found)
    }
}

impl Session for CandleSession {
    fn info(&self) -> SessionInfo {
        self.info.clone()
    }

    fn prefill(&mut self, batch: Batch<'_>, positions: Positions, logits: &mut Logits) -> Result<(), Error> {
        let states = self.fill(batch, 0)?;
        let wanted = match positions {
            Positions::All => states,
            Positions::Last => last_positions(&states, &batch.lengths).map_err(internal)?,
        };
        self.write_logits(&wanted, logits)
    }

    fn generate(
        &mut self,
        batch: Batch<'_>,
        options: &GenerateOptions<'_>,
        sink: &mut dyn TokenSink,
    ) -> Result<(), Error> {
        generate(self, batch, options, sink)
    }

    fn logprobs(&mut self, batch: Batch<'_>, logprobs: &mut RVec<f64>) -> Result<(), Error> {
        let states = self.run(batch)?;
        // What follows each position; nothing follows the last of a row.
        let follows = |row: &'_ [u32]| row[1..].iter().copied().map(Some).chain([None]).collect::<Vec<_>>();
        let targets: Vec<Option<u32>> = batch.iter().flat_map(follows).collect();
        let found = match self.dtype {
            DType::F64 => self.target_logprobs::<f64>(&states, &targets)?,
            _ => self.target_logprobs::<f32>(&states, &targets)?,
        };
        logprobs.extend(found);
        Ok(())
    }
}

impl StepModel for CandleSession {
    fn start(&mut self, batch: Batch<'_>, capacity: usize) -> Result<NextLogits<'_>, Error> {
        let room = capacity.saturating_sub(batch.longest());
        let states = if room == 0 { self.run(batch)? } else { self.fill(batch, room)? };
        self.next_logits(&states, &batch.lengths)
    }

    fn step(&mut self, tokens: &[u32]) -> Result<NextLogits<'_>, Error> {
        let lengths = vec![1; tokens.len()];
        let (model, caches) = (&self.model, &mut self.caches);
        let states = self.pool.install(|| model.forward(tokens, &lengths, Some(caches))).map_err(internal)?;
        self.next_logits(&states, &lengths)
    }
}

fn copy_to<T: Copy>(out: &mut [T], start: usize, values: &[T]) {
    out[start..start + values.len()].copy_from_slice(values);
}

/// The states of each row's last position.
fn last_positions(states: &Tensor, lengths: &[u32]) -> candle_core::Result<Tensor> {
    if lengths.len() == states.dim(0)? {
        return Ok(states.clone());
    }
    let ends = lengths.iter().scan(0, |end, length| {
        *end += length;
        Some(*end - 1)
    });
    states.index_select(&Tensor::from_iter(ends, &Device::Cpu)?, 0)
}

/// ln softmax(logits)[id], summed in f64.
fn logprob<T: Real>(logits: &[T], id: usize) -> f64 {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |most, &v| most.max(WithDType::to_f64(v)));
    let total: f64 = logits.iter().map(|&v| (WithDType::to_f64(v) - largest).exp()).sum();
    WithDType::to_f64(logits[id]) - largest - total.ln()
}
