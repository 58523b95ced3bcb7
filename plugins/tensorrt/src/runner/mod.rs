//! Runs of an engine: a shape's profile, where its inputs and outputs lie, and what is asked of the device, in order.
//!
//! All work of a call goes to one stream. What brings results to the host ([`read`]) waits for the device, nothing else
//! does, and nothing allocates after [`Runner::start`], but for a step ([`step`]) that is captured for the first time.

mod read;
mod step;

use crate::buffers::{Buffers, Needs};
use crate::contract::Contract;
use crate::graph::Graphs;
use crate::kernels::Kernels;
use crate::layout::{Layout, narrow};
use crate::memory::{DeviceMemory, Stream};
use crate::nvinfer::{Context, Engine};
use crate::profile::covering;
use inferhost_plugin_api::Error;
#[cfg(doc)]
use inferhost_plugin_api::ErrorKind;
use inferhost_plugin_api::shapes::{Profile, Shape, Shapes, Span};

/// Of which positions a run gives logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Last,
    All,
}

/// See above. Fields are dropped in order: contexts before the memory that they use and before the engine, all of it
/// before the stream.
pub(crate) struct Runner {
    graphs: Graphs,
    context: Context,
    /// Profile and shape that the context is set to.
    set: Option<(usize, Shape)>,
    buffers: Buffers,
    activations: DeviceMemory,
    kernels: Kernels,
    engine: Engine,
    contract: Contract,
    profiles: Vec<Profile>,
    stream: Stream,
    layout: Layout,
    /// Which block of the cache holds the past; none while it is empty.
    past: Option<usize>,
    /// Of how many positions of each row the last run gave logits.
    kept: usize,
    is_idle: bool,
}

impl Runner {
    /// # Errors
    /// What TensorRT and the driver say, [`ErrorKind::OutOfMemory`] above all.
    pub(crate) fn new(
        mut engine: Engine,
        contract: Contract,
        profiles: Vec<Profile>,
        stream: Stream,
        graphs: Graphs,
    ) -> Result<Self, Error> {
        let activations = DeviceMemory::new(stream.context(), engine.activation_bytes())?;
        // SAFETY: the fields of this struct are dropped in an order that keeps them, and all runs go to one stream.
        let context = unsafe { engine.context(&activations) }?;
        let buffers = Buffers::new(stream.context())?;
        let kernels = Kernels::new(stream.context(), contract.logits_element, narrow(contract.vocab))?;
        for keep in buffers.keeps() {
            // SAFETY: the buffers live until the stream is synchronised, and nothing writes them.
            unsafe { stream.upload(&keep.pinned, 1, &keep.device) }?;
        }
        stream.synchronize()?;
        let (layout, set, past) = (Layout::default(), None, None);
        let (kept, is_idle) = (0, true);
        Ok(Self {
            graphs,
            context,
            set,
            buffers,
            activations,
            kernels,
            engine,
            contract,
            profiles,
            stream,
            layout,
            past,
            kept,
            is_idle,
        })
    }

    pub(crate) fn contract(&self) -> &Contract {
        &self.contract
    }

    pub(crate) fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// To be called at the start of every call: forgets what the last one left, if it failed.
    pub(crate) fn enter(&mut self) -> Result<(), Error> {
        self.stream.enter()?;
        self.graphs.next_call();
        if !self.is_idle {
            self.set = None;
            self.stream.synchronize()?;
            self.is_idle = true;
        }
        Ok(())
    }

    /// Lays `rows` out, padded to `fed` positions, in an empty cache that can grow to `capacity` positions.
    ///
    /// # Errors
    /// [`ErrorKind::ShapeNotCovered`] where the engine does not run one of the shapes that this takes, and
    /// [`ErrorKind::OutOfMemory`].
    pub(crate) fn start(
        &mut self,
        rows: &[&[u32]],
        fed: usize,
        capacity: usize,
        wanted: Wanted,
    ) -> Result<(), Error> {
        let batch = Span::of(narrow(rows.len()));
        covering(&self.profiles, &Shapes::prefill(batch, Span::of(narrow(fed))))?;
        for past in fed..capacity {
            covering(&self.profiles, &Shapes::decode(batch, Span::of(narrow(past))))?;
        }
        self.layout.start(rows.iter().map(|row| row.len()), fed);
        self.past = None;
        let kept = self.contract.kept(fed, wanted == Wanted::Last);
        let needs = Needs { rows: rows.len(), fed, kept, capacity: capacity.max(fed), steps: capacity > fed };
        self.buffers.reserve(&needs, &self.contract)?;
        self.layout.write_ids(rows.iter().copied(), self.buffers.ids.pinned.as_mut_slice());
        let padding = self.layout.padding();
        self.buffers.padding.pinned.as_mut_slice()[..padding.len()].copy_from_slice(padding);
        self.upload()?;
        let padding = &self.buffers.padding;
        // SAFETY: the buffers are kept, and the host's side is left alone, until the call has waited for the device.
        unsafe { self.stream.upload(&padding.pinned, rows.len(), &padding.device) }
    }

    /// Feeds every row its token, chosen by the host.
    pub(crate) fn feed(&mut self, tokens: &[u32]) -> Result<(), Error> {
        let ids = self.buffers.ids.pinned.as_mut_slice();
        ids.iter_mut().zip(tokens).for_each(|(to, &id)| *to = i64::from(id));
        self.upload()
    }

    /// Token ids, positions and mask of the next run.
    fn upload(&mut self) -> Result<(), Error> {
        let (layout, buffers, stream) = (&self.layout, &mut self.buffers, &self.stream);
        layout.write_positions(buffers.positions.pinned.as_mut_slice());
        layout.write_mask(&mut buffers.mask.pinned.as_mut_slice()[..layout.rows() * layout.total()]);
        let count = layout.rows() * layout.fed();
        self.is_idle = false;
        // SAFETY: the buffers are kept, and the host's side is left alone, until the call has waited for the device.
        unsafe {
            stream.upload(&buffers.ids.pinned, count, &buffers.ids.device)?;
            stream.upload(&buffers.positions.pinned, count, &buffers.positions.device)?;
            stream.upload(&buffers.mask.pinned, layout.rows() * layout.total(), &buffers.mask.device)
        }
    }

    /// Asks for a run over what was laid out, and goes on to the next step.
    pub(crate) fn run(&mut self, wanted: Wanted) -> Result<(), Error> {
        let shape = self.layout.shape();
        let profile = covering(&self.profiles, &shape.into())?;
        self.is_idle = false;
        let set = self.set.take();
        if set.is_none_or(|(set, _)| set != profile) {
            self.context.set_profile(profile, &self.stream)?;
        }
        if set != Some((profile, shape)) {
            set_shapes(&mut self.context, &self.contract, &shape)?;
        }
        // SAFETY: all of it lies in buffers that `start` has made large enough, kept until the call has waited.
        unsafe {
            set_addresses(&mut self.context, &self.contract, &self.buffers, self.past, wanted)?;
            self.context.enqueue(&self.stream)?;
        }
        self.set = Some((profile, shape));
        self.advance(wanted);
        Ok(())
    }

    fn advance(&mut self, wanted: Wanted) {
        self.kept = self.contract.kept(self.layout.fed(), wanted == Wanted::Last);
        self.past = Some(present(self.past));
        self.layout.advance();
    }
}

fn set_shapes(context: &mut Context, contract: &Contract, shape: &Shape) -> Result<(), Error> {
    let [rows, fed, past] = [shape.batch, shape.tokens, shape.past].map(|size| size as usize);
    context.set_shape(&contract.ids, &[rows, fed])?;
    context.set_shape(&contract.positions, &[rows, fed])?;
    context.set_shape(&contract.mask, &[rows, past + fed])?;
    let dims = [rows, contract.kv_heads, past, contract.head_size];
    contract.cache.iter().try_for_each(|port| context.set_shape(&port.past, &dims))
}

/// # Safety
/// What `buffers` hold is large enough for the shape, and outlives the run.
unsafe fn set_addresses(
    context: &mut Context,
    contract: &Contract,
    buffers: &Buffers,
    past: Option<usize>,
    wanted: Wanted,
) -> Result<(), Error> {
    let places = [
        (&contract.ids, &buffers.ids.device),
        (&contract.positions, &buffers.positions.device),
        (&contract.mask, &buffers.mask.device),
        (&contract.logits, &buffers.logits),
    ];
    for (name, memory) in places {
        // SAFETY: the caller answers for size and life.
        unsafe { context.set_address(name, memory.start()) }?;
    }
    if let Some(keep) = &contract.keep {
        let number = buffers.keep(wanted == Wanted::Last, keep.on_host);
        // SAFETY: one number lies there for as long as the buffers live.
        unsafe { context.set_address(&keep.name, number) }?;
    }
    for (index, port) in contract.cache.iter().enumerate() {
        // SAFETY: the caller answers for size and life.
        unsafe {
            context.set_address(&port.past, buffers.cache(contract, past, index))?;
            context.set_address(&port.present, buffers.cache(contract, Some(present(past)), index))?;
        }
    }
    Ok(())
}

/// The block that a run's present goes to, given that of its past.
fn present(past: Option<usize>) -> usize {
    past.map_or(0, |past| 1 - past)
}

impl Drop for Runner {
    fn drop(&mut self) {
        // What is dropped now must not be in use, and freeing needs the device's context.
        let _ = self.stream.enter();
        let _ = self.stream.synchronize();
    }
}
