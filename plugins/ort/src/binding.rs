//! Tensors over memory that outlives a run, and the run itself, through ONNX Runtime's C interface.
//!
//! `ort`'s safe `IoBinding` takes outputs only in memory of its own and clones what it is given, so a cache whose
//! shape grows with every token cannot be bound without allocating. Here an `OrtValue` is a view: [`Memory`] owns
//! the bytes, a [`Tensor`] says which of them and in what shape, [`Runner::run`] writes outputs where their tensors
//! point. All `unsafe` of a session is in this module.

use crate::cudart::Cudart;
use crate::element::Element;
use crate::error::from_ort;
use crate::options::Device;
use inferhost_plugin_api::Error;
use ort::AsPointer;
use ort::logging::LogLevel;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{NoSelectedOutputs, RunOptions};
use ort::sys::OrtValue;
use std::ffi::{CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::rc::Rc;

/// Where a session's memory comes from: the host, and the device its cache lives on.
pub(crate) struct Memories {
    /// Memory that this code reads and writes: page-locked where there is a device, so that it copies it without a
    /// buffer of the driver's between.
    pub(crate) host: Rc<Source>,
    /// Memory that only the runtime touches; the host's own on CPU.
    pub(crate) device: Rc<Source>,
    /// What the caller's own memory is.
    pub(crate) pageable: Rc<Source>,
}

/// An allocator of the runtime's, with how its memory is made ready.
pub(crate) struct Source {
    allocator: Allocator,
    /// What tensors in its memory say of it.
    info: MemoryInfo<'static>,
    reach: Reach,
}

/// Who can touch memory.
enum Reach {
    /// This code. The runtime's word for page-locked memory differs from version to version, so it is not asked.
    Host,
    /// The device, which this fills for us.
    Device(Cudart),
}

impl Memories {
    /// For a session that runs on `device`.
    pub(crate) fn new(runner: &Runner, device: Device) -> Result<Self, Error> {
        let info = |place, number, memory| {
            MemoryInfo::new(place, i32::from(number), AllocatorType::Device, memory)
                .map_err(|e| from_ort("name the device's memory", &e))
        };
        let source = |of: MemoryInfo<'static>, info, reach| {
            let allocator = Allocator::new(&runner.session, of);
            allocator
                .map(|allocator| Rc::new(Source { allocator, info, reach }))
                .map_err(|e| from_ort("reach the device's memory", &e))
        };
        let cpu = || info(AllocationDevice::CPU, 0, MemoryType::Default);
        let pageable = source(cpu()?, cpu()?, Reach::Host)?;
        let Device::Cuda(number) = device else {
            return Ok(Self { host: Rc::clone(&pageable), device: Rc::clone(&pageable), pageable });
        };
        let pinned = info(AllocationDevice::CUDA_PINNED, number, MemoryType::CPU)?;
        // Its tensors say that they lie in common memory: an output that says it is page-locked is not copied to from
        // the device (1.31 stops at "dst_data != src_data was false"). The driver goes by the address.
        let host = source(pinned, cpu()?, Reach::Host)?;
        let cuda = || info(AllocationDevice::CUDA, number, MemoryType::Default);
        let device = source(cuda()?, cuda()?, Reach::Device(Cudart::new(number)?))?;
        Ok(Self { host, device, pageable })
    }

    /// Whether results should go to [`host`](Self::host) and not to the caller's memory where they are few.
    pub(crate) fn are_apart(&self) -> bool {
        !Rc::ptr_eq(&self.host, &self.pageable)
    }
}

/// A block of memory of the runtime's.
struct Block {
    start: *mut u8,
    bytes: usize,
    source: Rc<Source>,
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `start` came from this allocator and is freed once, here.
        unsafe { self.source.allocator.free(self.start) };
    }
}

/// Memory that tensors can lie in; it lives as long as the last of them.
pub(crate) struct Memory(Rc<Block>);

impl Memory {
    /// At least `bytes` bytes, all zero: an attention over a cache multiplies what lies beyond a row's end by nothing,
    /// and what lies there must therefore not be NaN.
    pub(crate) fn new(source: &Rc<Source>, bytes: usize) -> Result<Self, Error> {
        let bytes = bytes.max(1);
        let block = source.allocator.alloc::<u8>(bytes).map_err(|e| from_ort("allocate memory", &e))?;
        let start: *mut u8 = block.into_raw().cast();
        let block = Block { start, bytes, source: Rc::clone(source) };
        match &source.reach {
            // SAFETY: the block has this many bytes and nothing else knows of it yet.
            Reach::Host => unsafe { ptr::write_bytes(start, 0, bytes) },
            // SAFETY: the same, on the device that the allocator is of.
            Reach::Device(cudart) => unsafe { cudart.zero(start, bytes)? },
        }
        Ok(Self(Rc::new(block)))
    }

    /// Bytes in all.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes
    }

    /// The first `len` elements, to read and write between runs; empty where they do not fit or lie elsewhere.
    pub(crate) fn slice_mut<T: Plain>(&mut self, len: usize) -> &mut [T] {
        let fits = len.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes <= self.0.bytes);
        let on_host = matches!(self.0.source.reach, Reach::Host);
        if !fits || !self.0.start.cast::<T>().is_aligned() || !on_host {
            return &mut [];
        }
        // SAFETY: the bytes are there, aligned and initialised (zeroed at birth), and any bits are a valid `T`.
        // `&mut self` keeps other slices out; tensors over the same bytes are touched only while a `Runner` runs,
        // and no lane holds a slice across a run.
        unsafe { std::slice::from_raw_parts_mut(self.0.start.cast(), len) }
    }
}

/// Types of which any bits are a value.
///
/// # Safety
/// No padding and no invalid bits.
pub(crate) unsafe trait Plain: Copy {}
// SAFETY: any 32 bits are an f32.
unsafe impl Plain for f32 {}
// SAFETY: f16 is 16 bits, any of them a value.
unsafe impl Plain for half::f16 {}
// SAFETY: bf16 is 16 bits, any of them a value.
unsafe impl Plain for half::bf16 {}
// SAFETY: any 64 bits are an i64.
unsafe impl Plain for i64 {}
// SAFETY: any 32 bits are an i32.
unsafe impl Plain for i32 {}
// SAFETY: any 8 bits are a u8.
unsafe impl Plain for u8 {}

/// A shape over memory, as the runtime takes it. `'m` is the life of borrowed memory.
pub(crate) struct Tensor<'m> {
    value: NonNull<OrtValue>,
    _block: Option<Rc<Block>>,
    _borrowed: PhantomData<&'m mut [f32]>,
}

impl Tensor<'static> {
    /// A tensor whose first element lies `offset` bytes into `memory`.
    pub(crate) fn within(
        memory: &Memory,
        offset: usize,
        shape: &[usize],
        element: Element,
    ) -> Result<Self, Error> {
        let bytes = shape.iter().product::<usize>() * element.size();
        if offset + bytes > memory.bytes() {
            return Err(Error::internal(format!("a tensor of shape {shape:?} does not fit its memory")));
        }
        let block = Rc::clone(&memory.0);
        // SAFETY: the range was checked to lie in the block, so its start does too.
        let start = unsafe { block.start.add(offset) };
        let value = create(&block.source.info, start.cast(), bytes, shape, element)?;
        Ok(Self { value, _block: Some(block), _borrowed: PhantomData })
    }
}

impl<'m> Tensor<'m> {
    /// A tensor over the host's own floats.
    pub(crate) fn over(pageable: &Source, floats: &'m mut [f32], shape: &[usize]) -> Result<Self, Error> {
        if shape.iter().product::<usize>() != floats.len() {
            return Err(Error::internal(format!("a tensor of shape {shape:?} over {} floats", floats.len())));
        }
        let info = &pageable.info;
        let value = create(info, floats.as_mut_ptr().cast(), size_of_val(floats), shape, Element::F32)?;
        Ok(Self { value, _block: None, _borrowed: PhantomData })
    }
}

fn create(
    info: &MemoryInfo<'_>,
    start: *mut c_void,
    bytes: usize,
    shape: &[usize],
    element: Element,
) -> Result<NonNull<OrtValue>, Error> {
    let mut dims = [0i64; 8];
    for (dim, &size) in dims.iter_mut().zip(shape) {
        *dim = size as i64;
    }
    let rank = shape.len().min(dims.len());
    let mut value: *mut OrtValue = ptr::null_mut();
    let create = ort::api().CreateTensorWithDataAsOrtValue;
    // SAFETY: `start` has `bytes` bytes, `dims` has `rank` entries, and both outlive the call; the callers see to
    // it that the memory outlives the value.
    let status =
        unsafe { create(info.ptr(), start, bytes, dims.as_ptr(), rank, element.raw(), &raw mut value) };
    // SAFETY: the status is fresh from the call above and given up here.
    unsafe { ort::Error::result_from_status(status) }.map_err(|e| from_ort("make a tensor", &e))?;
    NonNull::new(value).ok_or_else(|| Error::internal("the runtime made no tensor and no error"))
}

impl Drop for Tensor<'_> {
    fn drop(&mut self) {
        // SAFETY: the value was created by `create` and is released once, here.
        unsafe { (ort::api().ReleaseValue)(self.value.as_ptr()) };
    }
}

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
        self.values.extend(tensors.take(self.names.len()).map(|tensor| tensor.value.as_ptr()));
    }
}

/// A session with the order of its inputs and outputs.
pub(crate) struct Runner {
    session: ort::session::Session,
    options: RunOptions<NoSelectedOutputs>,
    inputs: Slots,
    outputs: Slots,
}

impl Runner {
    /// `inputs` and `outputs` name the graph's own, in the order in which [`run`](Self::run) takes them.
    pub(crate) fn new<'n>(
        session: ort::session::Session,
        inputs: impl Iterator<Item = &'n str>,
        outputs: impl Iterator<Item = &'n str>,
    ) -> Result<Self, Error> {
        // The session was made to log everything, for its placement; its runs have nothing to say.
        let options = RunOptions::new().and_then(|mut options| {
            options.set_log_level(LogLevel::Error)?;
            Ok(options)
        });
        let options = options.map_err(|e| from_ort("set up runs", &e))?;
        Ok(Self { session, options, inputs: Slots::new(inputs)?, outputs: Slots::new(outputs)? })
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
                self.options.ptr(),
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
