//! Tensors over memory that outlives a run, through ONNX Runtime's C interface.
//!
//! `ort`'s safe `IoBinding` takes outputs only in memory of its own and clones what it is given, so a cache whose
//! shape grows with every token cannot be bound without allocating. Here an `OrtValue` is a view: [`Memory`] owns
//! the bytes, a [`Tensor`] says which of them and in what shape, a [`Runner`] writes outputs where their tensors
//! point. All `unsafe` of a session is here, in [`runner`](crate::runner) and in [`cudart`](crate::cudart).

use crate::cudart::Cudart;
use crate::element::Element;
use crate::error::from_ort;
use crate::options::Device;
use crate::runner::Runner;
use inferhost_plugin_api::Error;
use ort::AsPointer;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::sys::OrtValue;
use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::rc::Rc;

/// Where a session's memory comes from: the host, and the device its cache lives on.
#[derive(Clone)]
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
    /// How many times memory was taken from it.
    taken: Cell<u32>,
}

impl Source {
    /// How many times memory was taken from it.
    pub(crate) fn taken(&self) -> u32 {
        self.taken.get()
    }
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
            let allocator = Allocator::new(runner.session(), of);
            allocator
                .map(|allocator| Rc::new(Source { allocator, info, reach, taken: Cell::new(0) }))
                .map_err(|e| from_ort("reach the device's memory", &e))
        };
        let cpu = || info(AllocationDevice::CPU, 0, MemoryType::Default);
        let pageable = source(cpu()?, cpu()?, Reach::Host)?;
        let Device::Cuda(number) = device else {
            return Ok(Self { host: Rc::clone(&pageable), device: Rc::clone(&pageable), pageable });
        };
        // Its tensors say that they lie in common memory: an output that says it is page-locked is not copied to from
        // the device (1.31 stops at "dst_data != src_data was false"). The driver goes by the address.
        let pinned = |number| {
            source(info(AllocationDevice::CUDA_PINNED, number, MemoryType::CPU)?, cpu()?, Reach::Host)
        };
        // Before 1.23 the runtime numbered it 0 whatever the device's number.
        let host = pinned(number).or_else(|_| pinned(0))?;
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
        source.taken.set(source.taken.get().wrapping_add(1));
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
        self.part_mut(0, len)
    }

    /// The `len` elements that begin `offset` bytes into it, likewise.
    pub(crate) fn part_mut<T: Plain>(&mut self, offset: usize, len: usize) -> &mut [T] {
        let end = len.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_add(offset));
        let is_host = matches!(self.0.source.reach, Reach::Host);
        if end.is_none_or(|end| end > self.0.bytes) || !is_host {
            return &mut [];
        }
        // SAFETY: the range was checked to lie in the block, so its start does too.
        let start = unsafe { self.0.start.add(offset) };
        if !start.cast::<T>().is_aligned() {
            return &mut [];
        }
        // SAFETY: the bytes are there, aligned and initialised (zeroed at birth), and any bits are a valid `T`.
        // `&mut self` keeps other slices out; tensors over the same bytes are touched only while a `Runner` runs,
        // and no lane holds a slice across a run.
        unsafe { std::slice::from_raw_parts_mut(start.cast(), len) }
    }

    /// Copies the first `bytes` bytes of `from`, between host and device too, and waits for them.
    pub(crate) fn copy_from(&mut self, from: &Self, bytes: usize) -> Result<(), Error> {
        if bytes > self.0.bytes.min(from.0.bytes) || Rc::ptr_eq(&self.0, &from.0) {
            return Err(Error::internal(format!("{bytes} bytes cannot be copied between these memories")));
        }
        match (&self.0.source.reach, &from.0.source.reach) {
            // SAFETY: both blocks have that many bytes and are not one; no slice of `self` lives meanwhile.
            (Reach::Host, Reach::Host) => unsafe {
                ptr::copy_nonoverlapping(from.0.start, self.0.start, bytes);
                Ok(())
            },
            // SAFETY: both blocks have that many bytes, live through the call, and no run is under way:
            // `Runner::run` returns when its own is over.
            (Reach::Device(cudart), _) | (_, Reach::Device(cudart)) => unsafe {
                cudart.copy(self.0.start, from.0.start, bytes)
            },
        }
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

impl Tensor<'_> {
    /// As the runtime's interface takes it.
    pub(crate) fn raw(&self) -> *mut OrtValue {
        self.value.as_ptr()
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
