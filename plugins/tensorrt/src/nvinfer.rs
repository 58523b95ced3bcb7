//! The few calls of TensorRT that run an engine, with names made C strings once: a step makes hundreds of them.
//!
//! A context's activations lie in memory that the session gives it, so that all contexts of an engine share one block.
//! What uses it runs on one stream, one after the other.

use crate::error::from_tensorrt;
use crate::log;
use crate::memory::{DeviceMemory, Stream};
use cxx::UniquePtr;
use inferhost_plugin_api::Error;
use std::ffi::{CStr, CString, c_void};
use trtx::trtx_sys::nvinfer1::{
    self, Dims64, EngineStat, ExecutionContextAllocationStrategy, OptProfileSelector,
};
use trtx::{DataType, TensorIOMode, TensorLocation};

/// An input or output as the engine tells it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Port {
    pub(crate) name: CString,
    pub(crate) is_input: bool,
    pub(crate) kind: DataType,
    /// -1 where a dimension is not fixed.
    pub(crate) dims: Vec<i64>,
    /// Whether TensorRT reads it in the host's memory, since shapes depend on it.
    pub(crate) on_host: bool,
}

/// The least or the most of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Least,
    Most,
}

/// A deserialised engine. Fields are dropped in order: contexts have gone before, the runtime goes last.
pub(crate) struct Engine {
    engine: UniquePtr<nvinfer1::ICudaEngine>,
    _runtime: UniquePtr<nvinfer1::IRuntime>,
}

impl Engine {
    /// # Errors
    /// What TensorRT says: a plan of another version or device, a damaged one, memory.
    pub(crate) fn deserialize(
        mut runtime: UniquePtr<nvinfer1::IRuntime>,
        plan: &[u8],
        host_code: bool,
    ) -> Result<Self, Error> {
        log::take_errors();
        if host_code {
            runtime.pin_mut().setEngineHostCodeAllowed(true);
        }
        // SAFETY: the plan is that many bytes, and is not needed after the call.
        let engine = unsafe { runtime.pin_mut().deserializeCudaEngine(plan.as_ptr().cast(), plan.len()) };
        if engine.is_null() {
            return Err(from_tensorrt("deserialise it"));
        }
        // SAFETY: the object is whole and nobody else's.
        Ok(Self { engine: unsafe { UniquePtr::from_raw(engine) }, _runtime: runtime })
    }

    /// All inputs and outputs.
    pub(crate) fn ports(&self) -> Vec<Port> {
        let engine = &self.engine;
        let names = (0..engine.getNbIOTensors()).filter_map(|index| {
            let name = engine.getIOTensorName(index);
            // SAFETY: a name that is not null is a C string that lives as long as the engine.
            (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_owned())
        });
        let port = |name: CString| {
            let text = name.as_ptr();
            // SAFETY: all of these read the name during the call.
            let (mode, kind, location, dims) = unsafe {
                (
                    engine.getTensorIOMode(text),
                    engine.getTensorDataType(text),
                    engine.getTensorLocation(text),
                    engine.getTensorShape(text),
                )
            };
            Port {
                is_input: TensorIOMode::from(mode) == TensorIOMode::kINPUT,
                kind: kind.into(),
                dims: sizes(&dims),
                on_host: TensorLocation::from(location) == TensorLocation::kHOST,
                name,
            }
        };
        names.map(port).collect()
    }

    pub(crate) fn profiles(&self) -> usize {
        usize::try_from(self.engine.getNbOptimizationProfiles()).unwrap_or(0)
    }

    /// An input's least or largest shape in a profile.
    pub(crate) fn profile_shape(&self, name: &CStr, profile: usize, end: End) -> Vec<i64> {
        let selector = match end {
            End::Least => OptProfileSelector::kMIN,
            End::Most => OptProfileSelector::kMAX,
        };
        let profile = i32::try_from(profile).unwrap_or(-1);
        // SAFETY: the name is read during the call.
        sizes(&unsafe { self.engine.getProfileShape(name.as_ptr(), profile, selector) })
    }

    /// Bytes that any context of this engine needs for activations, whatever its profile.
    pub(crate) fn activation_bytes(&self) -> usize {
        usize::try_from(self.engine.getDeviceMemorySizeV2()).unwrap_or(0)
    }

    /// Bytes of its weights; none where it does not say.
    pub(crate) fn weight_bytes(&self) -> Option<u64> {
        let bytes = self.engine.getEngineStat(EngineStat::kTOTAL_WEIGHTS_SIZE);
        u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)
    }

    /// A context with its activations in `activations`.
    ///
    /// # Safety
    /// The memory is [`activation_bytes`](Self::activation_bytes) long; it and this engine outlive the context, and whatever
    /// uses that memory runs on one stream.
    ///
    /// # Errors
    /// What TensorRT says.
    pub(crate) unsafe fn context(&mut self, activations: &DeviceMemory) -> Result<Context, Error> {
        log::take_errors();
        let strategy = ExecutionContextAllocationStrategy::kUSER_MANAGED;
        let context = self.engine.pin_mut().createExecutionContext(strategy);
        if context.is_null() {
            return Err(from_tensorrt("create an execution context"));
        }
        // SAFETY: the object is whole and nobody else's.
        let mut context = unsafe { UniquePtr::from_raw(context) };
        let bytes = i64::try_from(activations.bytes()).unwrap_or(i64::MAX);
        // SAFETY: the caller keeps the memory.
        unsafe { context.pin_mut().setDeviceMemoryV2(activations.start().cast(), bytes) };
        Ok(Context(context))
    }
}

fn sizes(dims: &Dims64) -> Vec<i64> {
    dims.d.iter().take(usize::try_from(dims.nbDims).unwrap_or(0)).copied().collect()
}

/// What runs an engine with one shape at a time.
pub(crate) struct Context(UniquePtr<nvinfer1::IExecutionContext>);

impl Context {
    /// Goes over to a profile; all shapes must be set after it.
    pub(crate) fn set_profile(&mut self, profile: usize, stream: &Stream) -> Result<(), Error> {
        let index = i32::try_from(profile).unwrap_or(-1);
        // SAFETY: the stream lives, and all that this context runs goes to it.
        let done = unsafe { self.0.pin_mut().setOptimizationProfileAsync(index, stream.raw().cast()) };
        told(done, || format!("switch to profile {profile}"))
    }

    /// Sets the shape of an input.
    pub(crate) fn set_shape(&mut self, name: &CStr, dims: &[usize]) -> Result<(), Error> {
        let mut shape = Dims64 { nbDims: i32::try_from(dims.len()).unwrap_or(-1), d: [0; 8] };
        for (to, &size) in shape.d.iter_mut().zip(dims) {
            *to = i64::try_from(size).unwrap_or(i64::MAX);
        }
        // SAFETY: name and shape are read during the call.
        let done = unsafe { self.0.pin_mut().setInputShape(name.as_ptr(), &shape) };
        told(done, || format!("give {} the shape {dims:?}", name.to_string_lossy()))
    }

    /// Says where an input lies or an output goes.
    ///
    /// # Safety
    /// At `address` there is room for the tensor, until what is enqueued next has run.
    pub(crate) unsafe fn set_address(&mut self, name: &CStr, address: *mut c_void) -> Result<(), Error> {
        // SAFETY: the caller keeps the memory; the name is read during the call.
        let done = unsafe { self.0.pin_mut().setTensorAddress(name.as_ptr(), address.cast()) };
        told(done, || format!("bind {}", name.to_string_lossy()))
    }

    /// Asks for a run.
    ///
    /// # Safety
    /// Shapes and addresses of all inputs and outputs are set, and the memory there lives until the stream is synchronised.
    pub(crate) unsafe fn enqueue(&mut self, stream: &Stream) -> Result<(), Error> {
        // SAFETY: as above, and the stream lives.
        let done = unsafe { self.0.pin_mut().enqueueV3(stream.raw().cast()) };
        told(done, || "enqueue a run".to_string())
    }
}

fn told(done: bool, what: impl Fn() -> String) -> Result<(), Error> {
    if done { Ok(()) } else { Err(from_tensorrt(&what())) }
}
