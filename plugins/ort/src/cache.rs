//! `past_key_values` of a lane, in two blocks of memory that take turns.
//!
//! A graph concatenates: each run reads a past of n positions and writes a present of n + new ones. This step's
//! present lies in one block in exactly the shape the graph gives it; the next step reads it there as its past and
//! writes its own present to the other. Nothing is copied but what the graph itself copies, and nothing is
//! allocated while a row grows within the capacity it was started with.

use crate::binding::{Memory, Tensor};
use crate::signature::CachePort;
use inferhost_plugin_api::Error;
use ort::memory::Allocator;
use std::rc::Rc;

/// Each layer's keys and values start at a multiple of this many bytes, as the runtime's own tensors do.
const ALIGNMENT: usize = 256;

/// The cache of the rows of one lane.
pub(crate) struct KvCache {
    ports: Rc<[CachePort]>,
    allocator: Rc<Allocator>,
    /// Rows times positions that each block has room for.
    room: usize,
    blocks: [Block; 2],
    /// Tensors of no positions, the past of a first run.
    empty: Block,
    /// Which block holds the past.
    past: usize,
    batch: usize,
    filled: usize,
}

/// One block with the tensors that lie in it.
#[derive(Default)]
struct Block {
    memory: Option<Memory>,
    tensors: Vec<Tensor<'static>>,
    /// Rows and positions of those tensors.
    shape: (usize, usize),
}

impl KvCache {
    /// Without memory yet.
    pub(crate) fn new(ports: Rc<[CachePort]>, allocator: Rc<Allocator>) -> Self {
        let blocks = [Block::default(), Block::default()];
        Self { ports, allocator, room: 0, blocks, empty: Block::default(), past: 1, batch: 0, filled: 0 }
    }

    /// Forgets all positions and makes sure that `batch` rows can grow to `capacity` positions.
    pub(crate) fn start(&mut self, batch: usize, capacity: usize) -> Result<(), Error> {
        if batch * capacity > self.room {
            self.blocks = [Block::default(), Block::default()];
            self.room = batch * capacity;
        }
        (self.past, self.batch, self.filled) = (1, batch, 0);
        self.empty.shape_to(&self.ports, &self.allocator, 0, (batch, 0))
    }

    /// Positions that every row has so far, padding included.
    pub(crate) fn filled(&self) -> usize {
        self.filled
    }

    /// Makes room for a present that has `new` positions more than the past.
    pub(crate) fn make_present(&mut self, new: usize) -> Result<(), Error> {
        let shape = (self.batch, self.filled + new);
        let made = self.blocks[1 - self.past].shape_to(&self.ports, &self.allocator, self.room, shape);
        if made.is_err() {
            // A call that asked for too much must not make the next, smaller one ask for as much.
            (self.blocks, self.room) = (Default::default(), 0);
        }
        made
    }

    /// What the next run reads.
    pub(crate) fn past(&self) -> &[Tensor<'static>] {
        if self.filled == 0 { &self.empty.tensors } else { &self.blocks[self.past].tensors }
    }

    /// What the next run writes, once [made](Self::make_present).
    pub(crate) fn present(&self) -> &[Tensor<'static>] {
        &self.blocks[1 - self.past].tensors
    }

    /// After a run over `new` positions: its present is the next one's past.
    pub(crate) fn advance(&mut self, new: usize) {
        self.filled += new;
        self.past = 1 - self.past;
    }
}

impl Block {
    /// Lays the tensors out for `shape`. Repeated runs of one shape find them as they were.
    fn shape_to(
        &mut self,
        ports: &[CachePort],
        allocator: &Rc<Allocator>,
        room: usize,
        shape: (usize, usize),
    ) -> Result<(), Error> {
        if self.shape == shape && self.tensors.len() == ports.len() {
            return Ok(());
        }
        self.tensors.clear();
        self.shape = shape;
        let stride = |port: &CachePort| {
            (port.heads * port.head_dim * room * port.element.size()).next_multiple_of(ALIGNMENT)
        };
        let memory = match &mut self.memory {
            Some(memory) => memory,
            none => none.insert(Memory::new(allocator, ports.iter().map(stride).sum())?),
        };
        let mut offset = 0;
        for port in ports {
            let dims = [shape.0, port.heads, shape.1, port.head_dim];
            self.tensors.push(Tensor::within(memory, offset, &dims, port.element)?);
            offset += stride(port);
        }
        Ok(())
    }
}
