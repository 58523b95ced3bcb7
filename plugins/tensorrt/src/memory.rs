//! Memory of the device, pinned memory of the host, and the stream that all work of a session goes to.
//!
//! Work of a stream runs in order and later than it was asked for, so whoever asks for a copy keeps both ends alive, and
//! leaves the host's alone, until [`Stream::synchronize`] has returned.

use crate::error::from_cuda;
use bytemuck::Zeroable;
use cudarc::driver::{CudaContext, result, sys};
use inferhost_plugin_api::{Error, ErrorKind};
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

/// What this plugin calls beyond what [`driver`](crate::driver) has looked for: cudarc panics where one is missing.
const FUNCTIONS: [&str; 20] = [
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuModuleLoadData",
    "cuModuleGetFunction",
    "cuModuleUnload",
    "cuLaunchKernel",
    "cuCtxGetCurrent",
];

/// A stream of a device's primary context.
pub(crate) struct Stream {
    context: Arc<CudaContext>,
    raw: sys::CUstream,
}

impl Stream {
    /// # Errors
    /// [`ErrorKind::RuntimeMissing`] where the driver is too old for what this plugin calls.
    pub(crate) fn new(context: &Arc<CudaContext>) -> Result<Self, Error> {
        // SAFETY: a context exists, so the driver's library is there.
        let library = unsafe { sys::culib() };
        for function in FUNCTIONS {
            // SAFETY: the function is looked for and not called.
            if unsafe { library.get::<*const ()>(function.as_bytes()) }.is_err() {
                let message = format!("the CUDA driver has no {function}; install one for CUDA 12 or later");
                return Err(Error::new(ErrorKind::RuntimeMissing, message));
            }
        }
        context.bind_to_thread().map_err(|e| from_cuda("take the device into use", e))?;
        let raw = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(|e| from_cuda("make a stream", e))?;
        Ok(Self { context: Arc::clone(context), raw })
    }

    /// To be called at the start of every call: the device's context is a thread's.
    pub(crate) fn enter(&self) -> Result<(), Error> {
        self.context.bind_to_thread().map_err(|e| from_cuda("take the device into use", e))
    }

    pub(crate) fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    pub(crate) fn raw(&self) -> sys::CUstream {
        self.raw
    }

    /// Waits until all that was asked for is done.
    pub(crate) fn synchronize(&self) -> Result<(), Error> {
        // SAFETY: the stream is this one's own.
        unsafe { result::stream::synchronize(self.raw) }.map_err(|e| from_cuda("run on the device", e))
    }

    /// Asks for a copy of the first `count` of `from` to the beginning of `to`.
    ///
    /// # Safety
    /// Until [`synchronize`](Self::synchronize) returns, both live and `from` is not written.
    pub(crate) unsafe fn upload<T: Copy>(
        &self,
        from: &Pinned<T>,
        count: usize,
        to: &DeviceMemory,
    ) -> Result<(), Error> {
        let bytes = count * size_of::<T>();
        if count > from.count || bytes > to.bytes {
            return Err(Error::internal(format!("an upload of {bytes} bytes runs past its buffers")));
        }
        let from = from.start.as_ptr().cast::<c_void>();
        // SAFETY: both ends hold that many bytes, and the caller keeps them.
        unsafe { sys::cuMemcpyHtoDAsync_v2(to.start, from, bytes, self.raw) }
            .result()
            .map_err(|e| from_cuda("copy to the device", e))
    }

    /// Asks for a copy of `to`, in elements, from what lies `skipped` bytes into `from`.
    ///
    /// # Safety
    /// Until [`synchronize`](Self::synchronize) returns, both live and `to` is neither read nor written.
    pub(crate) unsafe fn download<T: Copy>(
        &self,
        from: &DeviceMemory,
        skipped: usize,
        to: &Pinned<T>,
        range: Range<usize>,
    ) -> Result<(), Error> {
        let bytes = range.len() * size_of::<T>();
        if range.end > to.count || skipped + bytes > from.bytes {
            return Err(Error::internal(format!("a download of {bytes} bytes runs past its buffers")));
        }
        // SAFETY: the range lies within the allocation.
        let to = unsafe { to.start.as_ptr().add(range.start) }.cast::<c_void>();
        // SAFETY: both ends hold that many bytes, and the caller keeps them.
        unsafe { sys::cuMemcpyDtoHAsync_v2(to, from.start + skipped as u64, bytes, self.raw) }
            .result()
            .map_err(|e| from_cuda("copy from the device", e))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.enter();
        // SAFETY: made by `new`, destroyed once.
        let _ = unsafe { result::stream::destroy(self.raw) };
    }
}

/// Memory of the device; begins at a multiple of 256, as TensorRT wants it.
pub(crate) struct DeviceMemory {
    context: Arc<CudaContext>,
    start: sys::CUdeviceptr,
    bytes: usize,
}

impl DeviceMemory {
    /// None at all.
    pub(crate) fn nothing(context: &Arc<CudaContext>) -> Self {
        Self { context: Arc::clone(context), start: 0, bytes: 0 }
    }

    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub(crate) fn new(context: &Arc<CudaContext>, bytes: usize) -> Result<Self, Error> {
        if bytes == 0 {
            return Ok(Self::nothing(context));
        }
        // SAFETY: a context is this thread's.
        let start = unsafe { result::malloc_sync(bytes) }
            .map_err(|e| from_cuda(&format!("allocate {bytes} bytes on the device"), e))?;
        Ok(Self { context: Arc::clone(context), start, bytes })
    }

    /// Where it begins.
    pub(crate) fn start(&self) -> *mut c_void {
        self.start as *mut c_void
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if self.start == 0 {
            return;
        }
        let _ = self.context.bind_to_thread();
        // SAFETY: made by `new`, freed once; the driver waits for work that uses it.
        let _ = unsafe { result::free_sync(self.start) };
    }
}

/// Page-locked memory of the host, which the device copies to and from by itself.
pub(crate) struct Pinned<T> {
    context: Arc<CudaContext>,
    start: NonNull<T>,
    count: usize,
    of: PhantomData<T>,
}

impl<T: Zeroable + Copy> Pinned<T> {
    /// None at all.
    pub(crate) fn nothing(context: &Arc<CudaContext>) -> Self {
        Self { context: Arc::clone(context), start: NonNull::dangling(), count: 0, of: PhantomData }
    }

    /// `count` zeros.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub(crate) fn new(context: &Arc<CudaContext>, count: usize) -> Result<Self, Error> {
        if count == 0 {
            return Ok(Self::nothing(context));
        }
        let bytes = count * size_of::<T>();
        let failed = |e| from_cuda(&format!("allocate {bytes} bytes of pinned memory"), e);
        // SAFETY: a context is this thread's.
        let start = unsafe { result::malloc_host(bytes, 0) }.map_err(failed)?.cast::<T>();
        let Some(start) = NonNull::new(start) else {
            return Err(Error::new(ErrorKind::OutOfMemory, format!("no {bytes} bytes of pinned memory")));
        };
        // SAFETY: that many elements were just allocated.
        unsafe { start.write_bytes(0, count) };
        Ok(Self { context: Arc::clone(context), start, count, of: PhantomData })
    }

    /// Nothing may be on its way to or from it.
    pub(crate) fn as_slice(&self) -> &[T] {
        // SAFETY: it was allocated with that many elements, all of them zeros at first.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }

    /// Nothing may be on its way to or from it.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above, and it is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.count) }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Where it begins.
    pub(crate) fn start(&self) -> *mut c_void {
        self.start.as_ptr().cast()
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        if self.count == 0 {
            return;
        }
        let _ = self.context.bind_to_thread();
        // SAFETY: made by `new`, freed once.
        let _ = unsafe { result::free_host(self.start.as_ptr().cast()) };
    }
}
