//! Rows that share a run: their tokens, mask and positions as the graph's inputs, their cache, their logits.
//!
//! Rows of different lengths are padded on the left, so that the last position is every row's own last; the mask
//! hides the padding and positions count from the first real token. A graph without those inputs gets one lane per
//! length. Buffers and tensors stay from call to call: a repeated shape makes nothing anew.

use crate::binding::{Element, Memories, Memory, Runner, Tensor};
use crate::cache::KvCache;
use crate::signature::{IntPort, Signature};
use half::f16;
use half::slice::HalfFloatSliceExt;
use inferhost_plugin_api::{Error, Positions};
use ort::memory::Allocator;
use std::rc::Rc;

/// Where a run's logits go.
pub(crate) enum Target<'a> {
    /// Straight into the caller's floats.
    Caller(&'a mut [f32]),
    /// Into the lane's own buffer, to be read with [`Lane::each_row`].
    Own,
}

/// Rows in flight.
pub(crate) struct Lane {
    /// Which rows of the batch these are.
    rows: Vec<usize>,
    lengths: Vec<usize>,
    /// Positions that the next run feeds to each row.
    fed: usize,
    /// Length of the longest row when the lane was started: the others are padded to it.
    padded: usize,
    capacity: usize,
    ids: IntInput,
    mask: Option<IntInput>,
    positions: Option<IntInput>,
    keep: Option<IntInput>,
    branch: Option<IntInput>,
    cache: KvCache,
    logits: OwnLogits,
}

impl Lane {
    /// Without rows yet.
    pub(crate) fn new(signature: &Signature, memories: &Memories) -> Self {
        let input = |port: &IntPort| IntInput::new(port, Rc::clone(&memories.host));
        Self {
            rows: Vec::new(),
            lengths: Vec::new(),
            fed: 0,
            padded: 0,
            capacity: 0,
            ids: input(&signature.ids),
            mask: signature.mask.as_ref().map(input),
            positions: signature.positions.as_ref().map(input),
            keep: signature.keep.as_ref().map(input),
            branch: signature.branch.as_ref().map(input),
            cache: KvCache::new(signature.cache.as_slice().into(), Rc::clone(&memories.device)),
            logits: OwnLogits::new(signature, Rc::clone(&memories.host)),
        }
    }

    /// Whether all its rows have one length.
    pub(crate) fn is_uniform(&self) -> bool {
        self.lengths.iter().all(|&length| length == self.padded)
    }

    /// Positions of which the next run gives logits.
    pub(crate) fn positions_out(&self, wanted: Positions) -> usize {
        match wanted {
            Positions::Last if self.keep.is_some() => 1,
            _ => self.fed,
        }
    }

    /// Takes the rows `group` of `batch`, from an empty cache that can grow to `capacity` positions.
    pub(crate) fn start(
        &mut self,
        batch: &[&[u32]],
        group: Vec<usize>,
        capacity: usize,
    ) -> Result<(), Error> {
        self.lengths.clear();
        self.lengths.extend(group.iter().map(|&row| batch[row].len()));
        self.rows = group;
        self.padded = self.lengths.iter().copied().max().unwrap_or(0);
        (self.fed, self.capacity) = (self.padded, capacity);
        self.cache.start(self.rows.len(), capacity)?;
        let padded = self.padded;
        let ids = self.rows.iter().flat_map(|&row| {
            let tokens = batch[row];
            std::iter::repeat_n(0, padded - tokens.len()).chain(tokens.iter().map(|&id| i64::from(id)))
        });
        self.ids.set([self.rows.len(), padded], 0, ids)?;
        self.set_places()
    }

    /// Feeds every row its token out of `tokens`, one for each row of the whole batch.
    pub(crate) fn step(&mut self, tokens: &[u32]) -> Result<(), Error> {
        self.fed = 1;
        let ids = self.rows.iter().map(|&row| i64::from(tokens[row]));
        self.ids.set([self.rows.len(), 1], 0, ids)?;
        self.set_places()
    }

    /// Mask and positions of what is about to be fed.
    fn set_places(&mut self) -> Result<(), Error> {
        let (filled, batch) = (self.cache.filled(), self.rows.len());
        let total = filled + self.fed;
        let padding = self.lengths.iter().map(|&length| self.padded - length);
        if let Some(mask) = &mut self.mask {
            let seen = padding.clone().flat_map(|pad| (0..total).map(move |at| i64::from(at >= pad)));
            mask.set([batch, total], batch * self.capacity, seen)?;
        }
        if let Some(positions) = &mut self.positions {
            let places = padding.flat_map(|pad| (filled..total).map(move |at| at.saturating_sub(pad) as i64));
            positions.set([batch, self.fed], 0, places)?;
        }
        if let Some(branch) = &mut self.branch {
            branch.set([1, 1], 0, std::iter::once(i64::from(filled > 0)))?;
        }
        Ok(())
    }

    /// Runs what [`start`](Self::start) or [`step`](Self::step) laid out; with `cached`, the lane can be stepped on.
    pub(crate) fn run(
        &mut self,
        runner: &mut Runner,
        wanted: Positions,
        cached: bool,
        target: Target<'_>,
    ) -> Result<(), Error> {
        let out = self.positions_out(wanted);
        if let Some(keep) = &mut self.keep {
            keep.set([1, 1], 0, std::iter::once(i64::from(wanted == Positions::Last)))?;
        }
        let present = if cached {
            self.cache.make_present(self.fed)?;
            self.cache.present()
        } else {
            &[]
        };
        let shape = [self.rows.len(), out, self.logits.vocab];
        let callers;
        let logits = match target {
            Target::Own => self.logits.tensor(shape)?,
            Target::Caller(floats) => {
                callers = self.logits.over(floats, &shape)?;
                &callers
            }
        };
        let optional = [&self.mask, &self.positions, &self.keep, &self.branch];
        let ints = std::iter::once(&self.ids).chain(optional.into_iter().flatten());
        let inputs = ints.filter_map(|input| input.tensor.as_ref()).chain(self.cache.past());
        runner.run(inputs, std::iter::once(logits).chain(present))?;
        if cached {
            self.cache.advance(self.fed);
        }
        Ok(())
    }

    /// Visits every row of the batch that is in this lane with the [`Own`](Target::Own) logits of its last run,
    /// `[positions, vocab]`, the padding left out.
    pub(crate) fn each_row(
        &mut self,
        mut visit: impl FnMut(usize, &[f32]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let [_, out, vocab] = self.logits.shape;
        let mut lanes = self.logits.read().chunks_exact((out * vocab).max(1));
        for (&row, &length) in self.rows.iter().zip(&self.lengths) {
            let logits = lanes.next().unwrap_or_default();
            visit(row, &logits[(out - length.min(out)) * vocab..])?;
        }
        Ok(())
    }
}

/// An input of whole numbers with its memory.
struct IntInput {
    element: Element,
    rank: usize,
    host: Rc<Allocator>,
    memory: Option<Memory>,
    tensor: Option<Tensor<'static>>,
    shape: [usize; 2],
}

impl IntInput {
    fn new(port: &IntPort, host: Rc<Allocator>) -> Self {
        Self { element: port.element, rank: port.rank, host, memory: None, tensor: None, shape: [0, 0] }
    }

    /// Sets shape and values; memory that must grow grows to `reserve` values at once.
    fn set(
        &mut self,
        shape: [usize; 2],
        reserve: usize,
        values: impl Iterator<Item = i64>,
    ) -> Result<(), Error> {
        let len = shape[0] * shape[1];
        let memory = match &mut self.memory {
            Some(memory) if memory.bytes() >= len * self.element.size() => memory,
            outgrown => {
                self.tensor = None;
                outgrown.insert(Memory::new(&self.host, len.max(reserve) * self.element.size())?)
            }
        };
        if self.tensor.is_none() || self.shape != shape {
            let dims: &[usize] = match self.rank {
                0 => &[],
                1 => &[len],
                _ => &shape,
            };
            self.tensor = Some(Tensor::within(memory, 0, dims, self.element)?);
            self.shape = shape;
        }
        match self.element {
            Element::I64 => memory.slice_mut(len).iter_mut().zip(values).for_each(|(to, value)| *to = value),
            Element::I32 => {
                memory.slice_mut(len).iter_mut().zip(values).for_each(|(to, value)| *to = value as i32);
            }
            _ => memory.slice_mut(len).iter_mut().zip(values).for_each(|(to, value)| *to = value as u8),
        }
        Ok(())
    }
}

/// Logits where the caller's buffer does not have the graph's shape or type.
struct OwnLogits {
    element: Element,
    vocab: usize,
    host: Rc<Allocator>,
    memory: Option<Memory>,
    tensor: Option<Tensor<'static>>,
    shape: [usize; 3],
    converted: Vec<f32>,
}

impl OwnLogits {
    fn new(signature: &Signature, host: Rc<Allocator>) -> Self {
        Self {
            element: signature.logits,
            vocab: signature.vocab_size,
            host,
            memory: None,
            tensor: None,
            shape: [0; 3],
            converted: Vec::new(),
        }
    }

    fn over<'m>(&self, floats: &'m mut [f32], shape: &[usize]) -> Result<Tensor<'m>, Error> {
        Tensor::over(&self.host, floats, shape)
    }

    fn tensor(&mut self, shape: [usize; 3]) -> Result<&Tensor<'static>, Error> {
        let bytes = shape.iter().product::<usize>() * self.element.size();
        let memory = match &mut self.memory {
            Some(memory) if memory.bytes() >= bytes => memory,
            outgrown => {
                self.tensor = None;
                // The smaller block goes first: two of these at once can be more than there is.
                *outgrown = None;
                outgrown.insert(Memory::new(&self.host, bytes)?)
            }
        };
        if self.shape != shape {
            self.tensor = None;
        }
        self.shape = shape;
        match &mut self.tensor {
            Some(tensor) => Ok(tensor),
            none => Ok(none.insert(Tensor::within(memory, 0, &shape, self.element)?)),
        }
    }

    fn read(&mut self) -> &[f32] {
        let len = self.shape.iter().product();
        match (&mut self.memory, self.element) {
            (None, _) => &[],
            (Some(memory), Element::F16) => {
                self.converted.resize(len, 0.0);
                memory.slice_mut::<f16>(len).convert_to_f32_slice(&mut self.converted);
                &self.converted
            }
            (Some(memory), _) => memory.slice_mut(len),
        }
    }
}
