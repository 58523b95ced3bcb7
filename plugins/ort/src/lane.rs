//! Rows that share a run: their tokens, mask and positions as the graph's inputs, their cache, their logits.
//!
//! Rows of different lengths are padded on the side that the graph wants. On the left, the last position is every
//! row's own last, the mask hides the padding and positions count from the first real token; on the right, each row
//! goes on at its own length. A graph without the inputs for that gets one lane per length. Buffers and tensors stay
//! from call to call: a repeated shape makes nothing anew.

use crate::binding::Memories;
use crate::buffers::{IntInput, OwnLogits};
use crate::cache::KvCache;
use crate::conventions::{Conventions, Padding};
use crate::fixed::FixedSteps;
use crate::runner::Runner;
use crate::signature::{IntPort, Signature};
use inferhost_plugin_api::{Error, Positions};
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
    padding: Padding,
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
    /// Where steps are captured.
    fixed: Option<FixedSteps>,
}

impl Lane {
    /// Without rows yet; `captures` where its steps go through a CUDA graph.
    pub(crate) fn new(
        signature: &Signature,
        conventions: Conventions,
        memories: &Memories,
        captures: bool,
    ) -> Self {
        let ports = signature.cache.as_slice().into();
        let input = |port: &IntPort| IntInput::new(port, Rc::clone(&memories.host));
        Self {
            rows: Vec::new(),
            padding: conventions.padding,
            lengths: Vec::new(),
            fed: 0,
            padded: 0,
            capacity: 0,
            ids: input(&signature.ids),
            mask: signature.mask.as_ref().map(input),
            positions: signature.positions.as_ref().map(input),
            keep: signature.keep.as_ref().map(input),
            branch: signature.branch.as_ref().map(input),
            cache: KvCache::new(ports, conventions.growth, Rc::clone(&memories.device)),
            logits: OwnLogits::new(signature, memories),
            fixed: captures.then(|| FixedSteps::new(signature, memories)),
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

    /// Takes the rows `group` of `batch`, from an empty cache that can grow by `more` positions after them.
    pub(crate) fn start(&mut self, batch: &[&[u32]], group: Vec<usize>, more: usize) -> Result<(), Error> {
        self.lengths.clear();
        self.lengths.extend(group.iter().map(|&row| batch[row].len()));
        self.rows = group;
        self.padded = self.lengths.iter().copied().max().unwrap_or(0);
        (self.fed, self.capacity) = (self.padded, self.padded + more);
        self.cache.start(self.rows.len(), self.capacity)?;
        let (padded, padding) = (self.padded, self.padding);
        let ids = self.rows.iter().flat_map(|&row| {
            let tokens = batch[row];
            let pad = padded - tokens.len();
            let (before, after) = if padding == Padding::Left { (pad, 0) } else { (0, pad) };
            let tokens = tokens.iter().map(|&id| i64::from(id));
            std::iter::repeat_n(0, before).chain(tokens).chain(std::iter::repeat_n(0, after))
        });
        self.ids.set([self.rows.len(), padded], ids)?;
        self.set_places()
    }

    /// Feeds every row its token out of `tokens`, one for each row of the whole batch.
    pub(crate) fn step(&mut self, tokens: &[u32]) -> Result<(), Error> {
        self.fed = 1;
        let ids = self.rows.iter().map(|&row| i64::from(tokens[row]));
        self.ids.set([self.rows.len(), 1], ids)?;
        self.set_places()
    }

    /// Mask and positions of what is about to be fed.
    fn set_places(&mut self) -> Result<(), Error> {
        let (filled, batch) = (self.cache.filled(), self.rows.len());
        let total = filled + self.fed;
        let left = self.padding == Padding::Left;
        let padding = self.lengths.iter().map(|&length| self.padded - length);
        if let Some(mask) = &mut self.mask {
            let real = |pad| if left { pad..total } else { 0..total - pad };
            mask.set_ranges([batch, total], self.capacity, padding.clone().map(real))?;
        }
        if let Some(positions) = &mut self.positions {
            // Padded on the right, a row begins at 0 and its later tokens lie where its padding was.
            let places = padding.flat_map(|pad| {
                let shift = if left || filled > 0 { pad } else { 0 };
                (filled..total).map(move |at| at.saturating_sub(shift) as i64)
            });
            positions.set([batch, self.fed], places)?;
        }
        if let Some(branch) = &mut self.branch {
            branch.set([1, 1], std::iter::once(i64::from(filled > 0)))?;
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
        let is_step = cached && self.fed == 1 && self.cache.filled() > 0;
        if is_step && self.fixed.is_some() && matches!(target, Target::Own) {
            return self.run_fixed(runner);
        }
        let out = self.positions_out(wanted);
        if let Some(keep) = &mut self.keep {
            keep.set([1, 1], std::iter::once(i64::from(wanted == Positions::Last)))?;
        }
        let present = if cached || self.cache.is_in_place() {
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

    /// Runs a step that [`step`](Self::step) laid out through its CUDA graph, to the lane's own logits.
    fn run_fixed(&mut self, runner: &mut Runner) -> Result<(), Error> {
        let Some(fixed) = &mut self.fixed else { return Ok(()) };
        self.cache.make_present(1)?;
        let rows = self.rows.len();
        let (total, padded) = (self.cache.filled() + 1, self.padded);
        let lengths = self.lengths.iter().map(|&length| total - (padded - length));
        let logits = self.logits.memory([rows, 1, self.logits.vocab])?;
        fixed.run(runner, &self.cache, self.ids.values(rows), lengths, logits)?;
        self.cache.advance(1);
        Ok(())
    }

    /// The [`Own`](Target::Own) logits of the last run as they lie, padding included.
    pub(crate) fn all_own_logits(&mut self) -> &[f32] {
        self.logits.read()
    }

    /// Every row of the batch that is in this lane, with the [`Own`](Target::Own) logits of its last run,
    /// `[positions, vocab]`, the padding left out.
    pub(crate) fn own_logits(&mut self) -> impl Iterator<Item = (usize, &[f32])> {
        let [_, out, vocab] = self.logits.shape;
        let (left, rows) = (self.padding == Padding::Left, self.rows.iter().zip(&self.lengths));
        let lanes = self.logits.read().chunks_exact((out * vocab).max(1));
        rows.zip(lanes).map(move |((&row, &length), logits)| {
            let own = length.min(out);
            let first = if left { out - own } else { 0 };
            (row, &logits[first * vocab..(first + own) * vocab])
        })
    }
}
