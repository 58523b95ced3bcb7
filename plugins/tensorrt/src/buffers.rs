//! All memory of a session's calls but the activations: allocated when a call needs more than any before it, and never
//! while it runs.
//!
//! The cache lies in two blocks that take turns: a run reads its past in the one and writes its present, in exactly the
//! shape that the engine gives it, to the other, where the next run finds its past. Nothing is copied but what the engine
//! itself copies.

use crate::contract::Contract;
use crate::memory::{DeviceMemory, Pinned};
use bytemuck::Zeroable;
use cudarc::driver::CudaContext;
use inferhost_plugin_api::Error;
use std::ffi::c_void;
use std::sync::Arc;

/// TensorRT wants every tensor to begin at a multiple of this many bytes.
const ALIGNMENT: usize = 256;
/// Half of the staging memory for logits, in elements of 16 bits: a half is filled while the other is read.
pub(crate) const HALF: usize = 2 << 20;

/// What a call is going to need.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    pub(crate) rows: usize,
    /// Most positions that a run feeds to each row.
    pub(crate) fed: usize,
    /// Most positions of each row that a run gives logits of.
    pub(crate) kept: usize,
    /// Most positions that a present holds.
    pub(crate) capacity: usize,
    /// Whether runs follow that read a past.
    pub(crate) steps: bool,
}

/// See above.
pub(crate) struct Buffers {
    context: Arc<CudaContext>,
    /// `input_ids`, i64.
    pub(crate) ids: Staged<i64>,
    /// `position_ids`, i64.
    pub(crate) positions: Staged<i64>,
    /// `attention_mask`, i64.
    pub(crate) mask: Staged<i64>,
    /// Positions before each row's first token.
    pub(crate) padding: Staged<u32>,
    /// The token chosen for each row.
    pub(crate) tokens: Staged<u32>,
    /// What follows each position, of which logprobs are wanted.
    pub(crate) next: Staged<u32>,
    pub(crate) logprobs: Staged<f64>,
    pub(crate) logits: DeviceMemory,
    /// Two halves.
    pub(crate) staging: Pinned<u16>,
    /// 0 and 1, for `num_logits_to_keep`.
    keep: [Staged<i64>; 2],
    blocks: [DeviceMemory; 2],
    /// A past of no positions lies somewhere, too.
    nowhere: DeviceMemory,
    /// Rows times positions that a block has room for.
    room: usize,
    generation: u64,
}

impl Buffers {
    /// # Errors
    /// [`OutOfMemory`](inferhost_plugin_api::ErrorKind::OutOfMemory).
    pub(crate) fn new(context: &Arc<CudaContext>) -> Result<Self, Error> {
        let nothing = || DeviceMemory::nothing(context);
        let mut keep = [Staged::new(context, 1)?, Staged::new(context, 1)?];
        keep[1].pinned.as_mut_slice()[0] = 1;
        Ok(Self {
            context: Arc::clone(context),
            ids: Staged::nothing(context),
            positions: Staged::nothing(context),
            mask: Staged::nothing(context),
            padding: Staged::nothing(context),
            tokens: Staged::nothing(context),
            next: Staged::nothing(context),
            logprobs: Staged::nothing(context),
            logits: nothing(),
            staging: Pinned::new(context, 2 * HALF)?,
            keep,
            blocks: [nothing(), nothing()],
            nowhere: DeviceMemory::new(context, ALIGNMENT)?,
            room: 0,
            generation: 0,
        })
    }

    /// Changes whenever anything has moved, and what was captured with the old addresses is void.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Makes room for a call; the device must be idle. After an error there is no room for anything, so that a call that
    /// asked for too much does not leave the next, smaller one without.
    ///
    /// # Errors
    /// [`OutOfMemory`](inferhost_plugin_api::ErrorKind::OutOfMemory).
    pub(crate) fn reserve(&mut self, needs: &Needs, contract: &Contract) -> Result<(), Error> {
        if self.grow(needs, contract).is_ok() {
            return Ok(());
        }
        // Once more without what earlier calls had: then there is room for this one alone.
        self.release();
        let made = self.grow(needs, contract);
        if made.is_err() {
            self.release();
        }
        made
    }

    fn release(&mut self) {
        let context = &self.context;
        self.generation += 1;
        self.room = 0;
        self.blocks = [DeviceMemory::nothing(context), DeviceMemory::nothing(context)];
        self.logits = DeviceMemory::nothing(context);
        for words in [&mut self.ids, &mut self.positions, &mut self.mask] {
            *words = Staged::nothing(context);
        }
        for words in [&mut self.padding, &mut self.tokens, &mut self.next] {
            *words = Staged::nothing(context);
        }
        self.logprobs = Staged::nothing(context);
    }

    fn grow(&mut self, needs: &Needs, contract: &Contract) -> Result<(), Error> {
        let (context, rows) = (Arc::clone(&self.context), needs.rows);
        let logits = rows * needs.kept * contract.vocab * contract.logits_element.size();
        // A run prepares the mask of the next one, the last run too.
        let moved = [
            self.ids.reserve(&context, rows * needs.fed)?,
            self.positions.reserve(&context, rows * needs.fed)?,
            self.mask.reserve(&context, rows * (needs.capacity + 1))?,
            self.padding.reserve(&context, rows)?,
            self.tokens.reserve(&context, rows)?,
            grown(&context, &mut self.logits, logits)?,
            self.grow_cache(&context, needs, contract)?,
        ];
        self.generation += u64::from(moved.contains(&true));
        Ok(())
    }

    fn grow_cache(
        &mut self,
        context: &Arc<CudaContext>,
        needs: &Needs,
        contract: &Contract,
    ) -> Result<bool, Error> {
        let positions = needs.rows * needs.capacity;
        let mut moved = positions > self.room;
        if moved {
            self.blocks = [DeviceMemory::nothing(context), DeviceMemory::nothing(context)];
            // A quarter more than before at least: without a cache, rows grow by one from run to run.
            self.room = positions.max(self.room + self.room / 4);
        }
        let bytes = self.stride(contract) * contract.cache.len();
        let used = if needs.steps { 2 } else { 1 };
        for block in &mut self.blocks[..used] {
            if block.bytes() == 0 {
                *block = DeviceMemory::new(context, bytes)?;
                moved = true;
            }
        }
        Ok(moved)
    }

    /// Makes room for logprobs of as many positions.
    ///
    /// # Errors
    /// [`OutOfMemory`](inferhost_plugin_api::ErrorKind::OutOfMemory).
    pub(crate) fn reserve_logprobs(&mut self, positions: usize) -> Result<(), Error> {
        let context = Arc::clone(&self.context);
        self.next.reserve(&context, positions)?;
        self.logprobs.reserve(&context, positions).map(drop)
    }

    fn stride(&self, contract: &Contract) -> usize {
        (self.room * contract.cache_bytes()).next_multiple_of(ALIGNMENT)
    }

    /// Where tensor number `port` of the cache lies in `block`; a past of no positions where there is no block.
    pub(crate) fn cache(&self, contract: &Contract, block: Option<usize>, port: usize) -> *mut c_void {
        match block {
            Some(block) => self.blocks[block].start().wrapping_byte_add(port * self.stride(contract)),
            None => self.nowhere.start(),
        }
    }

    /// Where the number lies that asks for the last position's logits, or for all.
    pub(crate) fn keep(&self, last: bool, on_host: bool) -> *mut c_void {
        let keep = &self.keep[usize::from(last)];
        if on_host { keep.pinned.start() } else { keep.device.start() }
    }

    /// The numbers that ask for logits, to be uploaded once.
    pub(crate) fn keeps(&self) -> &[Staged<i64>] {
        &self.keep
    }
}

/// Memory of the device with its counterpart of the host.
pub(crate) struct Staged<T> {
    pub(crate) device: DeviceMemory,
    pub(crate) pinned: Pinned<T>,
}

impl<T: Zeroable + Copy> Staged<T> {
    fn nothing(context: &Arc<CudaContext>) -> Self {
        Self { device: DeviceMemory::nothing(context), pinned: Pinned::nothing(context) }
    }

    fn new(context: &Arc<CudaContext>, count: usize) -> Result<Self, Error> {
        let device = DeviceMemory::new(context, count * size_of::<T>())?;
        Ok(Self { device, pinned: Pinned::new(context, count)? })
    }

    /// Room for `count` elements; whether it has moved.
    fn reserve(&mut self, context: &Arc<CudaContext>, count: usize) -> Result<bool, Error> {
        if count > self.pinned.count() {
            self.pinned = Pinned::new(context, count.max(self.pinned.count() / 4 * 5))?;
        }
        grown(context, &mut self.device, self.pinned.count() * size_of::<T>())
    }
}

/// Gives `memory` room for as many bytes; whether it has moved. The old goes first: both may not fit.
fn grown(context: &Arc<CudaContext>, memory: &mut DeviceMemory, bytes: usize) -> Result<bool, Error> {
    if bytes <= memory.bytes() {
        return Ok(false);
    }
    let more = memory.bytes() / 4 * 5;
    *memory = DeviceMemory::nothing(context);
    *memory = match DeviceMemory::new(context, bytes.max(more)) {
        Err(_) if more > bytes => DeviceMemory::new(context, bytes)?,
        made => made?,
    };
    Ok(true)
}
