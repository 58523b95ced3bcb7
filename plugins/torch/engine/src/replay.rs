//! Decode steps whose shapes never change, so that CUDA can capture one and replay it: what launching hundreds of small
//! kernels costs is paid once.
//!
//! A captured step reads its token ids, its column and the rows' padding from tensors of its own, and attends to the whole
//! cache under a mask. libtorch's allocator does not know of the graph, and hands out again what the captured step freed;
//! that is harmless because all that outlives a replay here, weights, tables, cache and those inputs, was allocated before
//! the capture and is kept, and inputs are written before each replay.

use crate::attention::{KvCache, Span, number};
use crate::error::{Fault, Outcome};
use crate::model::Model;
use crate::options::{Device as DeviceOption, Options};
use crate::shim::OwnStream;
use cudarc::driver::{result, sys};
use inferhost_plugin_api::Error;
use tch::{Device, Kind, Tensor};

/// Makes steps of fixed shapes run on the CPU too, uncaptured: how a machine without a GPU tests their arithmetic.
const FIXED_STEPS: &str = "INFERHOST_TORCH_FIXED_STEPS";

/// How steps are run, and the step that is ready to be replayed.
pub(crate) struct Replay {
    wanted: bool,
    /// The stream that all work of a call goes to; none on the CPU.
    stream: Option<OwnStream>,
    step: Option<FixedStep>,
}

impl Replay {
    /// As `options` say.
    pub(crate) fn new(options: &Options, device: Device) -> Outcome<Self> {
        let stream = match (options.device, device) {
            (DeviceOption::Cuda(number), Device::Cuda(_)) => Some(OwnStream::new(number.into())?),
            _ => None,
        };
        let wanted = match stream {
            Some(_) => options.cuda_graph.unwrap_or(true),
            None => std::env::var_os(FIXED_STEPS).is_some(),
        };
        Ok(Self { wanted, stream, step: None })
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// How steps are run, for a reader of a report.
    pub(crate) fn describe(&self) -> &'static str {
        match (self.wanted, self.stream) {
            (false, _) => "growing with the cache",
            (true, None) => "of fixed shape",
            (true, Some(_)) => "CUDA graph",
        }
    }

    /// To be called at the start of every call: what is this thread's.
    pub(crate) fn enter(&self) {
        if let Some(stream) = self.stream {
            stream.enter();
        }
    }

    /// Forgets what was captured.
    pub(crate) fn clear(&mut self) {
        self.step = None;
    }

    /// Feeds `ids` `[rows]` at `span`; the logits that follow. The first step of a shape runs as it is, which makes what
    /// is made once (tables, workspaces); the second is captured.
    pub(crate) fn step(
        &mut self,
        model: &Model,
        cache: &KvCache,
        span: &Span,
        ids: &Tensor,
    ) -> Outcome<Tensor> {
        let fits = self.step.as_ref().is_some_and(|step| step.rows() == span.rows());
        if !fits {
            self.step = None;
        }
        let step = match &mut self.step {
            Some(step) => step,
            empty => empty.insert(FixedStep::new(span)?),
        };
        step.set(span, ids)?;
        let Some(stream) = self.stream else { return step.run(model, cache) };
        if !step.has_run {
            step.has_run = true;
            return step.run(model, cache);
        }
        if step.captured.is_none() {
            let captured = Captured::of(stream, model, || step.run(model, cache));
            // What cannot be captured once cannot be the next time.
            self.wanted = captured.is_ok();
            step.captured = Some(captured?);
        }
        match &step.captured {
            Some(captured) => captured.launch(stream),
            None => Err(Error::internal("a step was not captured").into()),
        }
    }
}

/// A step and its inputs.
struct FixedStep {
    /// `[rows]`.
    ids: Tensor,
    /// `[1]`.
    column: Tensor,
    /// `[rows]`.
    padding: Tensor,
    has_run: bool,
    captured: Option<Captured>,
}

impl FixedStep {
    fn new(span: &Span) -> Outcome<Self> {
        let padding = Tensor::f_zeros_like(&span.padding()?)?;
        let of = (Kind::Int64, padding.device());
        let (ids, column) = (Tensor::f_zeros([span.rows()], of)?, Tensor::f_zeros([1], of)?);
        Ok(Self { ids, column, padding, has_run: false, captured: None })
    }

    fn rows(&self) -> i64 {
        self.ids.size()[0]
    }

    fn set(&mut self, span: &Span, ids: &Tensor) -> Outcome<()> {
        self.ids.f_copy_(ids)?;
        self.column.f_copy_(&number(span.past(), self.column.device())?)?;
        self.padding.f_copy_(&span.padding()?)?;
        Ok(())
    }

    fn run(&self, model: &Model, cache: &KvCache) -> Outcome<Tensor> {
        let span = Span::at_column(&self.column, &self.padding, cache.capacity());
        model.logits(&model.forward(&self.ids, &span, Some(cache))?)
    }
}

/// A graph, ready to be launched, and where its result appears.
struct Captured {
    graph: sys::CUgraphExec,
    logits: Tensor,
    /// A table of the model's that the graph reads, and that the model may replace.
    _table: Option<Tensor>,
}

impl Captured {
    /// Captures what `work` sends to `stream`, without running it.
    fn of(stream: OwnStream, model: &Model, work: impl FnOnce() -> Outcome<Tensor>) -> Outcome<Self> {
        let stream = stream.native.cast();
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream is libtorch's own and lives as long as the process.
        unsafe { result::stream::begin_capture(stream, mode) }.map_err(|e| failed("begin to capture", e))?;
        let made = work();
        // SAFETY: as above; a capture is ended however the work went.
        let graph = unsafe { result::stream::end_capture(stream) }.map_err(|e| failed("capture", e));
        let graph = graph?;
        let ready = made.and_then(|logits| {
            // SAFETY: the graph was just captured.
            let ready = unsafe { result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0)) };
            Ok((ready.map_err(|e| failed("make ready", e))?, logits))
        });
        // SAFETY: what was instantiated does not need it any more.
        let _ = unsafe { result::graph::destroy(graph) };
        let (graph, logits) = ready?;
        Ok(Self { graph, logits, _table: model.table() })
    }

    fn launch(&self, stream: OwnStream) -> Outcome<Tensor> {
        // SAFETY: both live; what the graph reads and writes is kept by the step that owns it.
        unsafe { result::graph::launch(self.graph, stream.native.cast()) }
            .map_err(|e| failed("launch", e))?;
        Ok(self.logits.shallow_clone())
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        // SAFETY: made by `of`, destroyed once.
        let _ = unsafe { result::graph::exec_destroy(self.graph) };
    }
}

fn failed(what: &str, error: result::DriverError) -> Fault {
    Error::internal(format!(
        "failed to {what} a decode step as a CUDA graph: {error:?}; set cuda_graph = false to do without"
    ))
    .into()
}
