//! Greedy decode steps: the token is chosen on the device and is there the next step's input, so that one id a row is all
//! that crosses the bus.

use super::{Runner, Wanted, set_addresses, set_shapes};
use crate::graph::{Graph, Place};
use crate::kernels::NextToken;
use crate::layout::narrow;
use crate::nvinfer::Context;
use crate::profile::covering;
use inferhost_plugin_api::Error;
use inferhost_plugin_api::shapes::Shape;

impl Runner {
    /// Asks for the token that follows the last run in every row, to be read by [`tokens`](Self::tokens), and for the inputs
    /// of the step after it.
    pub(crate) fn choose(&self) -> Result<(), Error> {
        let (buffers, rows) = (&self.buffers, self.layout.rows());
        let of = NextToken {
            logits: &buffers.logits,
            rows: narrow(rows),
            kept: narrow(self.kept),
            total: narrow(self.layout.total()),
            padding: &buffers.padding.device,
            tokens: &buffers.tokens.device,
            ids: &buffers.ids.device,
            positions: &buffers.positions.device,
            mask: &buffers.mask.device,
        };
        // SAFETY: `start` has made all of these large enough; they are kept until the call has waited for the device.
        unsafe {
            self.kernels.next_token(&self.stream, &of)?;
            self.stream.download(&buffers.tokens.device, 0, &buffers.tokens.pinned, 0..rows)
        }
    }

    /// Waits for the tokens that were chosen.
    pub(crate) fn tokens(&mut self) -> Result<&[u32], Error> {
        self.wait()?;
        Ok(&self.buffers.tokens.pinned.as_slice()[..self.layout.rows()])
    }

    /// Asks for a step whose input [`choose`](Self::choose) has left on the device, and for its token: by a graph where
    /// there is one, into which it is captured where there can be one.
    pub(crate) fn step(&mut self) -> Result<(), Error> {
        let shape = self.layout.shape();
        let place = Place { rows: shape.batch, past: shape.past, block: self.past };
        self.graphs.forget_before(self.buffers.generation());
        if let Some(graph) = self.graphs.find(&place) {
            graph.launch(&self.stream)?;
            self.is_idle = false;
            self.advance(Wanted::Last);
            return Ok(());
        }
        if self.graphs.make_room()? {
            match self.run_apart(&shape) {
                Ok(context) => return self.capture(place, context),
                Err(error) => self.graphs.give_up(&error)?,
            }
        }
        self.run(Wanted::Last)?;
        self.choose()
    }

    /// Asks for a run in a context that will have no other shape: a capture is void once its context has had one.
    fn run_apart(&mut self, shape: &Shape) -> Result<Context, Error> {
        // SAFETY: contexts are dropped before the memory and the engine, and all runs go to one stream.
        let mut context = unsafe { self.engine.context(&self.activations) }?;
        if let Err(error) = self.ask_of(&mut context, shape) {
            // What it has asked for already may still need it.
            self.stream.synchronize()?;
            return Err(error);
        }
        self.advance(Wanted::Last);
        Ok(context)
    }

    fn ask_of(&self, context: &mut Context, shape: &Shape) -> Result<(), Error> {
        let profile = covering(&self.profiles, &(*shape).into())?;
        context.set_profile(profile, &self.stream)?;
        set_shapes(context, &self.contract, shape)?;
        // SAFETY: all of it lies in buffers that `start` has made large enough, kept until the call has waited.
        unsafe {
            set_addresses(context, &self.contract, &self.buffers, self.past, Wanted::Last)?;
            context.enqueue(&self.stream)
        }
    }

    /// Captures, for the calls to come, the step that `context` has just been asked for: TensorRT wants a run before a
    /// capture.
    fn capture(&mut self, place: Place, mut context: Context) -> Result<(), Error> {
        let chosen = self.choose();
        let graph = Graph::record(&self.stream, || {
            // SAFETY: as in `ask_of`; a captured step is forgotten when the buffers move.
            unsafe { context.enqueue(&self.stream) }?;
            self.choose()
        });
        match graph {
            Ok(graph) => self.graphs.keep(place, graph, context),
            Err(error) => {
                // The run that it has been asked for needs the context.
                self.stream.synchronize()?;
                self.graphs.give_up(&error)?;
            }
        }
        chosen
    }
}
