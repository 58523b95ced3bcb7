//! Decode steps captured as CUDA graphs: what launching hundreds of small kernels costs is paid once for each shape.
//!
//! A step's shapes grow with the cache, so each has a graph of its own, replayed by the calls that come to the same place
//! again. The context that a graph was captured from is kept with it and runs nothing else. There are at most [`MOST`]:
//! those that neither this call nor the last one used make room for others, and what finds none runs as it is.

use crate::error::from_cuda;
use crate::memory::Stream;
use crate::nvinfer::Context;
use cudarc::driver::{result, sys};
use inferhost_plugin_api::Error;
use std::collections::HashMap;
use std::io::Write as _;

/// Most graphs that are kept: each holds a context's memory on the host and its launch on the device.
const MOST: usize = 512;

/// Whether steps are captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capture {
    Never,
    /// Where they can be; else they run as they are.
    Try,
    /// A step that cannot be is an error: what is measured is what was asked for.
    Demand,
}

impl From<Option<bool>> for Capture {
    fn from(cuda_graph: Option<bool>) -> Self {
        match cuda_graph {
            None => Self::Try,
            Some(true) => Self::Demand,
            Some(false) => Self::Never,
        }
    }
}

/// What a captured step depends on, beside the addresses of the buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) rows: u32,
    pub(crate) past: u32,
    /// Which block of the cache it reads.
    pub(crate) block: Option<usize>,
}

/// The steps captured so far.
pub(crate) struct Graphs {
    capture: Capture,
    kept: HashMap<Place, Captured>,
    generation: u64,
    call: u64,
}

impl Graphs {
    pub(crate) fn new(capture: Capture) -> Self {
        Self { capture, kept: HashMap::new(), generation: 0, call: 0 }
    }

    pub(crate) fn next_call(&mut self) {
        self.call += 1;
    }

    /// Forgets what was captured before the buffers moved to where they are in this generation.
    pub(crate) fn forget_before(&mut self, generation: u64) {
        if self.generation != generation {
            self.kept.clear();
            self.generation = generation;
        }
    }

    /// The step captured for that place.
    pub(crate) fn find(&mut self, place: &Place) -> Option<&Graph> {
        let captured = self.kept.get_mut(place)?;
        captured.used = self.call;
        Some(&captured.graph)
    }

    /// Whether another is to be captured.
    ///
    /// # Errors
    /// `Unsupported` where it must be and there are too many.
    pub(crate) fn make_room(&mut self) -> Result<bool, Error> {
        if self.kept.len() >= MOST {
            let call = self.call;
            self.kept.retain(|_, captured| captured.used + 1 >= call);
        }
        match (self.capture, self.kept.len() < MOST) {
            (Capture::Never, _) | (Capture::Try, false) => Ok(false),
            (_, true) => Ok(true),
            (Capture::Demand, false) => Err(Error::unsupported(format!(
                "one call has more than {MOST} decode steps, and no more are captured; leave cuda_graph = true out"
            ))),
        }
    }

    /// Keeps what was captured from `context`.
    pub(crate) fn keep(&mut self, place: Place, graph: Graph, context: Context) {
        self.kept.insert(place, Captured { graph, _context: context, used: self.call });
    }

    /// Captures nothing more: what failed once would fail each time. What has been captured is still good.
    ///
    /// # Errors
    /// `Unsupported` where steps must be captured.
    pub(crate) fn give_up(&mut self, error: &Error) -> Result<(), Error> {
        let why = &error.message;
        if self.capture == Capture::Demand {
            let what = "a decode step cannot be captured as a CUDA graph; leave cuda_graph = true out to run without";
            return Err(Error::unsupported(format!("{what}: {why}")));
        }
        self.capture = Capture::Never;
        // Not `eprintln`, which panics where stderr is closed.
        drop(writeln!(std::io::stderr(), "tensorrt: no more steps are captured as CUDA graphs: {why}"));
        Ok(())
    }
}

/// A step, with the context whose state and activations its graph reads and writes.
struct Captured {
    // Before the context, which it needs.
    graph: Graph,
    _context: Context,
    /// The last call that came by.
    used: u64,
}

/// What was captured, ready to be launched.
pub(crate) struct Graph(sys::CUgraphExec);

impl Graph {
    /// Captures what `work` asks `stream` for, without running it.
    pub(crate) fn record(stream: &Stream, work: impl FnOnce() -> Result<(), Error>) -> Result<Self, Error> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives.
        unsafe { result::stream::begin_capture(stream.raw(), mode) }
            .map_err(|e| from_cuda("begin to capture a step", e))?;
        let done = work();
        // SAFETY: as above; a capture is ended however the work went.
        let captured = unsafe { result::stream::end_capture(stream.raw()) };
        let graph = captured.map_err(|e| from_cuda("capture a step", e))?;
        if graph.is_null() {
            done?;
            return Err(Error::internal("failed to capture a step: what was asked for was not captured"));
        }
        let ready = done.and_then(|()| {
            // SAFETY: the graph was just captured.
            let ready = unsafe { result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0)) };
            ready.map_err(|e| from_cuda("make a captured step ready", e))
        });
        // SAFETY: what was instantiated does not need it any more.
        let _ = unsafe { result::graph::destroy(graph) };
        ready.map(Self)
    }

    /// Asks for what was captured.
    pub(crate) fn launch(&self, stream: &Stream) -> Result<(), Error> {
        // SAFETY: both live; what the graph reads and writes is kept as long as it is.
        unsafe { result::graph::launch(self.0, stream.raw()) }
            .map_err(|e| from_cuda("launch a captured step; set cuda_graph = false to do without", e))
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by `record`, destroyed once; the driver keeps what is still running.
        let _ = unsafe { result::graph::exec_destroy(self.0) };
    }
}
