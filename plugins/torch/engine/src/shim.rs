//! The safe side of `shim/*.cpp`: what tch lacks of libtorch.

pub(crate) mod program;

use crate::error::{Fault, Outcome};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{NonNull, null, null_mut};
use std::slice::from_raw_parts_mut;
use tch::{Kind, Tensor};

/// libtorch's `at::Tensor`.
type Raw = *mut c_void;

unsafe extern "C" {
    fn ih_free_text(text: *mut c_char);
    fn ih_inference_begin() -> *mut c_void;
    fn ih_inference_end(guard: *mut c_void);
    fn ih_return_memory(at_once: c_int);
    fn ih_has_onednn() -> c_int;
    fn ih_cpu_capability() -> *mut c_char;
    fn ih_allow_tf32(allow: c_int);
    fn ih_own_stream(index: c_int, native: *mut *mut c_void, error: *mut *mut c_char) -> *mut c_void;
    fn ih_stream_enter(stream: *mut c_void);
    fn ih_onednn_pack(weight: Raw, error: *mut *mut c_char) -> Raw;
    fn ih_onednn_linear(
        input: Raw,
        packed: Raw,
        bias: Raw,
        activation: *const c_char,
        algorithm: *const c_char,
        error: *mut *mut c_char,
    ) -> Raw;
    fn ih_onednn_linear_with(
        input: Raw,
        packed: Raw,
        bias: Raw,
        other: Raw,
        how: *const c_char,
        error: *mut *mut c_char,
    ) -> Raw;
    fn ih_int8_quantize(weight: Raw, at_once: i64, scales: *mut Raw, error: *mut *mut c_char) -> Raw;
    fn ih_int4_pack(weight: Raw, group: i64, scales_and_zeros: *mut Raw, error: *mut *mut c_char) -> Raw;
    fn ih_dynamic_pack(weight: Raw, bias: Raw, error: *mut *mut c_char) -> *mut c_void;
    fn ih_dynamic_free(packed: *mut c_void);
    fn ih_dynamic_linear(
        input: Raw,
        packed: *mut c_void,
        reduce_range: c_int,
        error: *mut *mut c_char,
    ) -> Raw;
}

/// No bookkeeping for gradients on this thread while it lives.
pub(crate) struct InferenceMode {
    guard: *mut c_void,
    /// The mode is the thread's.
    _not_send: PhantomData<*const ()>,
}

impl InferenceMode {
    pub(crate) fn enter() -> Self {
        // SAFETY: takes nothing; what it gives is ended once, on this thread, as the type cannot leave it.
        Self { guard: unsafe { ih_inference_begin() }, _not_send: PhantomData }
    }
}

impl Drop for InferenceMode {
    fn drop(&mut self) {
        // SAFETY: see `enter`.
        unsafe { ih_inference_end(self.guard) }
    }
}

/// Whether freed memory goes back to the system at once, as a model's loading wants it, or is kept, as its running does.
pub(crate) fn return_memory(at_once: bool) {
    // SAFETY: sets parameters of the allocator.
    unsafe { ih_return_memory(at_once.into()) }
}

/// Whether libtorch has oneDNN and may use it.
pub(crate) fn has_onednn() -> bool {
    // SAFETY: takes nothing and reads a setting.
    unsafe { ih_has_onednn() != 0 }
}

/// The vector instructions of libtorch's own kernels, as `AVX512`.
pub(crate) fn cpu_capability() -> String {
    // SAFETY: null or a C string of its own.
    unsafe { taken(ih_cpu_capability()) }.unwrap_or_default()
}

/// Whether CUDA may round f32 operands to TF32, for the whole process.
pub(crate) fn allow_tf32(allow: bool) {
    // SAFETY: sets a flag.
    unsafe { ih_allow_tf32(allow.into()) }
}

/// A CUDA stream of libtorch's, kept for the life of the process: the default one cannot be captured.
#[derive(Clone, Copy)]
pub(crate) struct OwnStream {
    stream: NonNull<c_void>,
    /// The driver's handle.
    pub(crate) native: *mut c_void,
}

impl OwnStream {
    /// One of CUDA device `index`.
    pub(crate) fn new(index: c_int) -> Outcome<Self> {
        let (mut error, mut native) = (null_mut(), null_mut());
        // SAFETY: libtorch checks the index and keeps its streams.
        let stream = unsafe { ih_own_stream(index, &raw mut native, &raw mut error) };
        NonNull::new(stream).map(|stream| Self { stream, native }).ok_or_else(|| failed(error))
    }

    /// Makes it the one that this thread's work goes to.
    pub(crate) fn enter(self) {
        // SAFETY: made by `new` and never freed.
        unsafe { ih_stream_enter(self.stream.as_ptr()) }
    }
}

/// `weight` `[outputs, inputs]` in the layout of oneDNN's products.
pub(crate) fn onednn_pack(weight: &Tensor) -> Outcome<Tensor> {
    // SAFETY: the tensor lives through the call.
    made(|error| unsafe { ih_onednn_pack(raw(weight), error) })
}

/// `input` `[rows, inputs]` times a packed weight, plus bias, through oneDNN's activation of that name.
pub(crate) fn onednn_linear(
    input: &Tensor,
    packed: &Tensor,
    bias: Option<&Tensor>,
    activation: &CStr,
    algorithm: Option<&CStr>,
) -> Outcome<Tensor> {
    let algorithm = algorithm.map_or(null(), CStr::as_ptr);
    made(|error| {
        // SAFETY: tensors and strings live through the call; null stands for none.
        unsafe {
            ih_onednn_linear(
                raw(input),
                raw(packed),
                raw_or_null(bias),
                activation.as_ptr(),
                algorithm,
                error,
            )
        }
    })
}

/// `input` `[rows, inputs]` times a packed weight, plus bias, and `other` added (`add`) or multiplied (`mul`).
pub(crate) fn onednn_linear_with(
    input: &Tensor,
    packed: &Tensor,
    bias: Option<&Tensor>,
    other: &Tensor,
    how: &CStr,
) -> Outcome<Tensor> {
    made(|error| {
        // SAFETY: tensors and strings live through the call; null stands for none.
        unsafe {
            ih_onednn_linear_with(raw(input), raw(packed), raw_or_null(bias), raw(other), how.as_ptr(), error)
        }
    })
}

/// `weight` `[outputs, inputs]` in 8 bits and a bfloat16 scale for each output, made for `at_once` outputs at a time.
///
/// Here and not with tch's operators: one of those that takes a number panics where memory runs out.
pub(crate) fn int8_quantize(weight: &Tensor, at_once: i64) -> Outcome<(Tensor, Tensor)> {
    let mut scales = null_mut();
    // SAFETY: the tensor lives through the call.
    let quantized = made(|error| unsafe { ih_int8_quantize(raw(weight), at_once, &raw mut scales, error) })?;
    // SAFETY: set where the call succeeded, to a tensor that nobody else frees.
    Ok((quantized, unsafe { Tensor::from_ptr(scales.cast()) }))
}

/// `weight` `[outputs, inputs]` in 4 bits, packed, and scales and zeros of each `group`, `[groups, outputs, 2]`.
pub(crate) fn int4_pack(weight: &Tensor, group: i64) -> Outcome<(Tensor, Tensor)> {
    let mut scales_and_zeros = null_mut();
    // SAFETY: the tensor lives through the call.
    let packed = made(|error| unsafe { ih_int4_pack(raw(weight), group, &raw mut scales_and_zeros, error) })?;
    // SAFETY: set where the call succeeded, to a tensor that nobody else frees.
    Ok((packed, unsafe { Tensor::from_ptr(scales_and_zeros.cast()) }))
}

/// A matrix in 8 bits with a scale for each output, packed for FBGEMM, with its bias.
pub(crate) struct DynamicWeight(NonNull<c_void>);

impl DynamicWeight {
    /// From `weight` `[outputs, inputs]` in f32.
    pub(crate) fn pack(weight: &Tensor, bias: Option<&Tensor>) -> Outcome<Self> {
        let mut error = null_mut();
        // SAFETY: tensors live through the call; null stands for none.
        let packed = unsafe { ih_dynamic_pack(raw(weight), raw_or_null(bias), &raw mut error) };
        NonNull::new(packed).map(Self).ok_or_else(|| failed(error))
    }

    /// `input` `[rows, inputs]` in f32 through the layer.
    pub(crate) fn forward(&self, input: &Tensor, reduce_range: bool) -> Outcome<Tensor> {
        made(|error| {
            // SAFETY: the packed weight lives as long as self, the tensor through the call.
            unsafe { ih_dynamic_linear(raw(input), self.0.as_ptr(), reduce_range.into(), error) }
        })
    }
}

impl Drop for DynamicWeight {
    fn drop(&mut self) {
        // SAFETY: made by `ih_dynamic_pack` and freed once.
        unsafe { ih_dynamic_free(self.0.as_ptr()) }
    }
}

/// The memory of a tensor of zeros, dense and on the CPU, to be filled.
pub(crate) fn bytes_mut(tensor: &mut Tensor) -> &mut [u8] {
    let length = tensor.numel() * tensor.kind().elt_size_in_bytes();
    debug_assert!(
        tensor.is_contiguous() && tensor.device() == tch::Device::Cpu && tensor.kind() != Kind::QInt8
    );
    if length == 0 {
        return &mut [];
    }
    // SAFETY: dense CPU memory of that many bytes that were written before, borrowed as long as the tensor.
    unsafe { from_raw_parts_mut(tensor.data_ptr().cast::<u8>(), length) }
}

fn raw(tensor: &Tensor) -> Raw {
    tensor.as_ptr().cast_mut().cast()
}

fn raw_or_null(tensor: Option<&Tensor>) -> Raw {
    tensor.map_or(null_mut(), raw)
}

/// The tensor that `call` makes.
fn made(call: impl FnOnce(*mut *mut c_char) -> Raw) -> Outcome<Tensor> {
    let mut error = null_mut();
    let tensor = call(&raw mut error);
    if tensor.is_null() {
        return Err(failed(error));
    }
    // SAFETY: the shim gives a tensor of its own that nobody else frees.
    Ok(unsafe { Tensor::from_ptr(tensor.cast()) })
}

fn failed(error: *mut c_char) -> Fault {
    // SAFETY: null or a C string that the shim left for us.
    let text = unsafe { taken(error) }.unwrap_or_else(|| "libtorch gave no reason".into());
    Fault::of_libtorch(&text)
}

/// # Safety
/// `text` is null or a C string of the shim's that nobody else frees.
unsafe fn taken(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let copy = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: the caller's promise.
    unsafe { ih_free_text(text) };
    Some(copy)
}
