//! The run itself, through ONNX Runtime's C interface, over tensors that [`binding`](crate::binding) made.

use crate::binding::Tensor;
use crate::error::from_ort;
use inferhost_plugin_api::Error;
use ort::AsPointer;
use ort::logging::LogLevel;
use ort::session::{NoSelectedOutputs, RunOptions};
use ort::sys::{OrtRunOptions, OrtValue};
use std::ffi::{CString, c_char};

/// Names of a graph's inputs or outputs, made C strings once, with a place for each one's value.
struct Slots {
    _names: Vec<CString>,
    names: Vec<*const c_char>,
    values: Vec<*mut OrtValue>,
}

impl Slots {
    fn new<'n>(names: impl Iterator<Item = &'n str>) -> Result<Self, Error> {
        let names: Vec<CString> =
            names.map(CString::new).collect::<Result<_, _>>().map_err(|e| Error::invalid(e.to_string()))?;
        let pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        Ok(Self { values: Vec::with_capacity(pointers.len()), names: pointers, _names: names })
    }

    fn fill<'t, 'm: 't>(&mut self, tensors: impl Iterator<Item = &'t Tensor<'m>>) {
        self.values.clear();
        self.values.extend(tensors.take(self.names.len()).map(|tensor| tensor.raw()));
    }
}

/// A session with the order of its inputs and outputs.
pub(crate) struct Runner {
    session: ort::session::Session,
    options: RunOptions<NoSelectedOutputs>,
    graphs: Option<Graphs>,
    inputs: Slots,
    outputs: Slots,
}

/// Captured CUDA graphs of a session.
struct Graphs {
    /// Of runs that are captured or replayed; they say which graph.
    options: RunOptions<NoSelectedOutputs>,
    said: Option<u32>,
    count: u32,
}

/// Which graph a run is captured to or replayed from.
const GRAPH_ID: &str = "gpu_graph_id";
/// Of a run that is neither.
const NO_GRAPH: &str = "-1";

impl Runner {
    /// `inputs` and `outputs` name the graph's own, in the order in which [`run`](Self::run) takes them; `captures`
    /// where the session was made to capture CUDA graphs.
    pub(crate) fn new<'n>(
        session: ort::session::Session,
        captures: bool,
        inputs: impl Iterator<Item = &'n str>,
        outputs: impl Iterator<Item = &'n str>,
    ) -> Result<Self, Error> {
        let mut options = quiet()?;
        let mut graphs = None;
        if captures {
            options.set(GRAPH_ID, NO_GRAPH).map_err(|e| from_ort("set up runs", &e))?;
            graphs = Some(Graphs { options: quiet()?, said: None, count: 0 });
        }
        let (inputs, outputs) = (Slots::new(inputs)?, Slots::new(outputs)?);
        Ok(Self { session, options, graphs, inputs, outputs })
    }

    pub(crate) fn session(&self) -> &ort::session::Session {
        &self.session
    }

    /// Whether runs can be captured.
    pub(crate) fn captures(&self) -> bool {
        self.graphs.is_some()
    }

    /// The number of a graph that is not captured yet. The runtime's own default is 0.
    pub(crate) fn new_graph(&mut self) -> u32 {
        self.graphs.as_mut().map_or(0, |graphs| {
            graphs.count += 1;
            graphs.count
        })
    }

    /// Captures the run as that graph, or replays it. Inputs and outputs must lie on the device, where they lay when
    /// it was captured. Before it is captured the runtime runs it twice, which must give the same.
    pub(crate) fn replay<'t>(
        &mut self,
        graph: u32,
        inputs: impl Iterator<Item = &'t Tensor<'static>>,
        outputs: impl Iterator<Item = &'t Tensor<'static>>,
    ) -> Result<(), Error> {
        let Some(graphs) = &mut self.graphs else {
            return Err(Error::internal("a replay in a session that captures nothing"));
        };
        if graphs.said.replace(graph) != Some(graph) {
            graphs.options.set(GRAPH_ID, graph.to_string()).map_err(|e| from_ort("name a graph", &e))?;
        }
        let options = graphs.options.ptr();
        self.run_with(options, inputs, outputs)
    }

    /// Runs the graph. Outputs are written where their tensors point; those left off at the end are not asked for.
    ///
    /// They are whole when this returns, on a device too: unless a run's options say
    /// `disable_synchronize_execution_providers`, the runtime waits for the streams of every provider at a run's end,
    /// after the copies of outputs that lie on the host.
    pub(crate) fn run<'t, 'm: 't, 'o: 't>(
        &mut self,
        inputs: impl Iterator<Item = &'t Tensor<'m>>,
        outputs: impl Iterator<Item = &'t Tensor<'o>>,
    ) -> Result<(), Error> {
        let options = self.options.ptr();
        self.run_with(options, inputs, outputs)
    }

    /// `options` are this runner's own.
    fn run_with<'t, 'm: 't, 'o: 't>(
        &mut self,
        options: *const OrtRunOptions,
        inputs: impl Iterator<Item = &'t Tensor<'m>>,
        outputs: impl Iterator<Item = &'t Tensor<'o>>,
    ) -> Result<(), Error> {
        self.inputs.fill(inputs);
        self.outputs.fill(outputs);
        // SAFETY: both arrays hold as many names as values; the values live through the call, since their tensors
        // are borrowed for 't, and so does their memory. The session is borrowed mutably: one run at a time. No
        // reference to tensors' memory lives here meanwhile (`slice_mut`), so the runtime alone reads and writes it.
        // An input and an output share bytes only where the cache grows in place: they are then the same tensor,
        // past and present of one port, which the operator that keeps such a cache (GroupQueryAttention) documents;
        // an operator that does not would give an output of another shape, and the runtime refuses that.
        let status = unsafe {
            (ort::api().Run)(
                self.session.ptr_mut(),
                options,
                self.inputs.names.as_ptr(),
                self.inputs.values.as_ptr().cast(),
                self.inputs.values.len(),
                self.outputs.names.as_ptr(),
                self.outputs.values.len(),
                self.outputs.values.as_mut_ptr(),
            )
        };
        // SAFETY: the status is fresh from the call above and given up here.
        unsafe { ort::Error::result_from_status(status) }.map_err(|e| from_ort("run the graph", &e))
    }
}

/// The session was made to log everything, for its placement; its runs have nothing to say.
fn quiet() -> Result<RunOptions<NoSelectedOutputs>, Error> {
    let options = RunOptions::new().and_then(|mut options| {
        options.set_log_level(LogLevel::Error)?;
        Ok(options)
    });
    options.map_err(|e| from_ort("set up runs", &e))
}
