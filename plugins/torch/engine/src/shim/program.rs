//! Exported programs, of both forms.

use super::{Raw, failed, raw, taken};
use crate::error::{Fault, Outcome};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr::{NonNull, null, null_mut};
use tch::Tensor;

unsafe extern "C" {
    fn ih_program_open(
        path: *const c_char,
        model: *const c_char,
        cuda: c_int,
        error: *mut *mut c_char,
    ) -> *mut c_void;
    fn ih_program_free(program: *mut c_void);
    fn ih_program_describe(program: *mut c_void, error: *mut *mut c_char) -> *mut c_char;
    fn ih_program_run(
        program: *mut c_void,
        inputs: *const Raw,
        slots: *const c_int,
        count: usize,
        error: *mut *mut c_char,
    ) -> *mut c_void;
    fn ih_results_free(results: *mut c_void);
    fn ih_results_count(results: *mut c_void) -> usize;
    fn ih_results_name(results: *mut c_void, at: usize) -> *const c_char;
    fn ih_results_take(results: *mut c_void, at: usize) -> Raw;
    fn ih_library_folder() -> *mut c_char;
    fn ih_load_library(path: *const c_char, error: *mut *mut c_char) -> c_int;
}

/// A loaded program.
pub(crate) struct Program(NonNull<c_void>);

/// What one run gave, in the program's order.
pub(crate) struct Results {
    pub(crate) tensors: Vec<Tensor>,
    /// Of each, where the program says them with every run.
    pub(crate) names: Vec<String>,
}

impl Program {
    /// Loads the AOTInductor package's `model`, or a TorchScript file where there is none, for CUDA device `cuda` or the
    /// CPU.
    pub(crate) fn open(path: &Path, model: Option<&str>, cuda: Option<u8>) -> Outcome<Self> {
        let path = c_string(&path.to_string_lossy())?;
        let model = model.map(c_string).transpose()?;
        let model = model.as_ref().map_or(null(), |model| model.as_ptr());
        let mut error = null_mut();
        // SAFETY: the strings live through the call.
        let program =
            unsafe { ih_program_open(path.as_ptr(), model, cuda.map_or(-1, c_int::from), &raw mut error) };
        NonNull::new(program).map(Self).ok_or_else(|| failed(error))
    }

    /// Lines of a key and what belongs to it.
    pub(crate) fn describe(&self) -> Outcome<String> {
        let mut error = null_mut();
        // SAFETY: the program lives as long as self; the text is ours.
        let text = unsafe { taken(ih_program_describe(self.0.as_ptr(), &raw mut error)) };
        text.ok_or_else(|| failed(error))
    }

    /// Runs it, with `inputs` for the arguments of those numbers. Nothing is checked here: a package reads whatever lies
    /// where it expects a tensor of another type or size.
    pub(crate) fn run(&self, inputs: &[Tensor], slots: &[c_int]) -> Outcome<Results> {
        if inputs.len() != slots.len() {
            return Err(Fault::of_libtorch("as many inputs as places for them were expected"));
        }
        let raws: Vec<Raw> = inputs.iter().map(raw).collect();
        let mut error = null_mut();
        // SAFETY: the program lives as long as self, the tensors through the call; both arrays have that length.
        let results = unsafe {
            ih_program_run(self.0.as_ptr(), raws.as_ptr(), slots.as_ptr(), raws.len(), &raw mut error)
        };
        if results.is_null() {
            return Err(failed(error));
        }
        // SAFETY: a handle just made; places are below its count, each is taken once, and it is freed once, at the end.
        unsafe {
            let count = ih_results_count(results);
            let name = |at| {
                let name = ih_results_name(results, at);
                (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
            };
            let names = (0..count).filter_map(name).collect();
            let tensors =
                (0..count).map(|at| Tensor::from_ptr(ih_results_take(results, at).cast())).collect();
            ih_results_free(results);
            Ok(Results { tensors, names })
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: made by `ih_program_open` and freed once.
        unsafe { ih_program_free(self.0.as_ptr()) }
    }
}

/// Where libtorch's own libraries lie; none where the system does not say.
pub(crate) fn library_folder() -> Option<PathBuf> {
    // SAFETY: null or a C string of its own.
    unsafe { taken(ih_library_folder()) }.map(PathBuf::from)
}

/// Loads a shared library for good. Its initialisers run, so it is one that belongs to libtorch.
pub(crate) fn load_library(path: &Path) -> Result<(), String> {
    let path = CString::new(path.to_string_lossy().as_ref()).map_err(|e| e.to_string())?;
    let mut error = null_mut();
    // SAFETY: the string lives through the call.
    match unsafe { ih_load_library(path.as_ptr(), &raw mut error) } {
        0 => Ok(()),
        // SAFETY: null or a C string that the shim left for us.
        _ => Err(unsafe { taken(error) }.unwrap_or_default()),
    }
}

fn c_string(text: &str) -> Outcome<CString> {
    CString::new(text).map_err(|_| Fault::of_libtorch("a path or name holds a zero byte"))
}
