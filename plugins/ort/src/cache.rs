//! `past_key_values` of a lane, in memory that outlives the runs.
//!
//! A graph that concatenates reads a past of n positions and writes a present of n + new ones: two blocks take
//! turns. This step's present lies in one of them in exactly the shape the graph gives it; the next step reads it
//! there as its past and writes its own present to the other. A graph that grows its cache in place gets one block,
//! in the shape of the full capacity, as past and present at once. Either way nothing is copied but what the graph
//! itself copies, and nothing is allocated while a row grows within the capacity it was started with.

use crate::binding::{Memory, Source, Tensor};
use crate::conventions::Growth;
use crate::signature::CachePort;
use inferhost_plugin_api::Error;
use std::rc::Rc;

/// Each layer's keys and values start at a multiple of this many bytes, as the runtime's own tensors do.
const ALIGNMENT: usize = 256;

/// The cache of the rows of one lane.
pub(crate) struct KvCache {
    ports: Rc<[CachePort]>,
    growth: Growth,
    allocator: Rc<Source>,
    /// Rows times positions that each block has room for.
    room: usize,
    blocks: [Block; 2],
    /// Tensors of no positions, the past of a first run.
    empty: Block,
    /// Which block holds the past.
    past: usize,
    batch: usize,
    capacity: usize,
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
    pub(crate) fn new(ports: Rc<[CachePort]>, growth: Growth, allocator: Rc<Source>) -> Self {
        let blocks = [Block::default(), Block::default()];
        let empty = Block::default();
        Self { ports, growth, allocator, room: 0, blocks, empty, past: 1, batch: 0, capacity: 0, filled: 0 }
    }

    /// Forgets all positions and makes sure that `batch` rows can grow to `capacity` positions.
    pub(crate) fn start(&mut self, batch: usize, capacity: usize) -> Result<(), Error> {
        if batch * capacity > self.room {
            self.blocks = [Block::default(), Block::default()];
            // A quarter more than before at least: without a cache, rows grow by one from start to start.
            self.room = (batch * capacity).max(self.room + self.room / 4);
        }
        (self.past, self.batch, self.capacity, self.filled) = (1, batch, capacity, 0);
        match self.growth {
            Growth::Concatenated => self.empty.shape_to(&self.ports, &self.allocator, 0, (batch, 0)),
            Growth::InPlace => self.shape_block(0, capacity),
        }
    }

    /// Positions that every row has so far, padding included.
    pub(crate) fn filled(&self) -> usize {
        self.filled
    }

    /// Positions that every row can have.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether a run must be given a present that nobody will read: without it, an operator that works in place
    /// would make one of its own and copy the whole past to it.
    pub(crate) fn is_in_place(&self) -> bool {
        self.growth == Growth::InPlace
    }

    /// Makes room for a present that has `new` positions more than the past.
    pub(crate) fn make_present(&mut self, new: usize) -> Result<(), Error> {
        let total = self.filled + new;
        match self.growth {
            Growth::Concatenated => self.shape_block(1 - self.past, total),
            Growth::InPlace if total <= self.capacity => Ok(()),
            Growth::InPlace => {
                let capacity = self.capacity;
                Err(Error::internal(format!("{total} positions in a cache of {capacity}")))
            }
        }
    }

    fn shape_block(&mut self, block: usize, positions: usize) -> Result<(), Error> {
        let shape = (self.batch, positions);
        let made = self.blocks[block].shape_to(&self.ports, &self.allocator, self.room, shape);
        if made.is_err() {
            // A call that asked for too much must not make the next, smaller one ask for as much.
            (self.blocks, self.room) = (Default::default(), 0);
        }
        made
    }

    /// What the next run reads.
    pub(crate) fn past(&self) -> &[Tensor<'static>] {
        match self.growth {
            Growth::InPlace => &self.blocks[0].tensors,
            Growth::Concatenated if self.filled == 0 => &self.empty.tensors,
            Growth::Concatenated => &self.blocks[self.past].tensors,
        }
    }

    /// What the next run writes, once [made](Self::make_present).
    pub(crate) fn present(&self) -> &[Tensor<'static>] {
        match self.growth {
            Growth::InPlace => &self.blocks[0].tensors,
            Growth::Concatenated => &self.blocks[1 - self.past].tensors,
        }
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
        allocator: &Rc<Source>,
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
