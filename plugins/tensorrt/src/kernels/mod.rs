//! What follows a run of the engine on the device: the next tokens, which are the next step's input, and logprobs.
//!
//! `kernels.cu` is their source and `kernels.ptx` what the driver compiles for its device; `compile.py` makes the one of
//! the other, so that neither a compiler nor CUDA's headers are needed to build this plugin.

use crate::element::Element;
use crate::error::from_cuda;
use crate::memory::{DeviceMemory, Stream};
use cudarc::driver::{CudaContext, result, sys};
use inferhost_plugin_api::Error;
use std::ffi::{CString, c_void};
use std::sync::Arc;

const PTX: &str = include_str!("kernels.ptx");
/// In place of a token: its row's logits hold NaN or have no finite maximum; no logprob is asked for.
pub(crate) const NONE: u32 = inferhost_plugin_api::decode::NO_TOKEN;
/// Most threads of a block.
const THREADS: u32 = 1024;

/// The kernels for logits of one type.
pub(crate) struct Kernels {
    context: Arc<CudaContext>,
    module: sys::CUmodule,
    next_token: sys::CUfunction,
    logprob: sys::CUfunction,
    threads: u32,
    vocab: u32,
}

/// Where the next token of each row comes from, and where what the next step reads goes.
pub(crate) struct NextToken<'a> {
    /// `[rows, kept, vocab]`.
    pub(crate) logits: &'a DeviceMemory,
    pub(crate) rows: u32,
    pub(crate) kept: u32,
    /// Positions of the next step's mask, its own included.
    pub(crate) total: u32,
    /// `[rows]`, u32.
    pub(crate) padding: &'a DeviceMemory,
    /// `[rows]`, u32.
    pub(crate) tokens: &'a DeviceMemory,
    /// `[rows, 1]`, i64.
    pub(crate) ids: &'a DeviceMemory,
    /// `[rows, 1]`, i64.
    pub(crate) positions: &'a DeviceMemory,
    /// `[rows, total]`, i64.
    pub(crate) mask: &'a DeviceMemory,
}

impl Kernels {
    /// Compiles them for the device.
    pub(crate) fn new(context: &Arc<CudaContext>, logits: Element, vocab: u32) -> Result<Self, Error> {
        let failed = |e| from_cuda("compile this plugin's kernels for the device", e);
        let text = CString::new(PTX).map_err(|e| Error::internal(e.to_string()))?;
        // SAFETY: the image is PTX that ends in NUL.
        let module = unsafe { result::module::load_data(text.as_ptr().cast()) }.map_err(failed)?;
        let null = std::ptr::null_mut();
        let threads = vocab.clamp(1, THREADS).next_multiple_of(32);
        // From here on a failure drops the module.
        let mut kernels =
            Self { context: Arc::clone(context), module, next_token: null, logprob: null, threads, vocab };
        kernels.next_token = kernels.function(&format!("next_token_{}", logits.name()))?;
        kernels.logprob = kernels.function(&format!("logprob_{}", logits.name()))?;
        Ok(kernels)
    }

    fn function(&self, name: &str) -> Result<sys::CUfunction, Error> {
        let text = CString::new(name).map_err(|e| Error::internal(e.to_string()))?;
        // SAFETY: the module is loaded.
        unsafe { result::module::get_function(self.module, text) }
            .map_err(|e| from_cuda(&format!("find the kernel {name}"), e))
    }

    /// Asks for the likeliest token of every row, or [`NONE`], and for the next step's inputs.
    ///
    /// # Safety
    /// The memory holds what [`NextToken`] says, and lives until the stream is synchronised.
    pub(crate) unsafe fn next_token(&self, stream: &Stream, of: &NextToken<'_>) -> Result<(), Error> {
        let (mut logits, mut kept, mut vocab) = (of.logits.start(), of.kept, self.vocab);
        let (mut padding, mut total) = (of.padding.start(), of.total);
        let (mut tokens, mut ids) = (of.tokens.start(), of.ids.start());
        let (mut positions, mut mask) = (of.positions.start(), of.mask.start());
        let mut arguments = [
            argument(&mut logits),
            argument(&mut kept),
            argument(&mut vocab),
            argument(&mut padding),
            argument(&mut total),
            argument(&mut tokens),
            argument(&mut ids),
            argument(&mut positions),
            argument(&mut mask),
        ];
        // SAFETY: as many arguments of those types as the kernel has; the caller answers for the memory.
        unsafe { self.launch(self.next_token, of.rows, stream, &mut arguments) }
    }

    /// Asks for ln p, f64, of the tokens `next` `[positions]`, u32, by `logits` `[positions, vocab]`: NaN where the logits
    /// hold NaN or have no finite maximum, 0 where the token is [`NONE`].
    ///
    /// # Safety
    /// As for [`next_token`](Self::next_token).
    pub(crate) unsafe fn logprobs(
        &self,
        stream: &Stream,
        positions: u32,
        logits: &DeviceMemory,
        next: &DeviceMemory,
        to: &DeviceMemory,
    ) -> Result<(), Error> {
        let (mut logits, mut vocab) = (logits.start(), self.vocab);
        let (mut next, mut to) = (next.start(), to.start());
        let mut arguments =
            [argument(&mut logits), argument(&mut vocab), argument(&mut next), argument(&mut to)];
        // SAFETY: as above.
        unsafe { self.launch(self.logprob, positions, stream, &mut arguments) }
    }

    /// # Safety
    /// The arguments are those of the kernel.
    unsafe fn launch(
        &self,
        kernel: sys::CUfunction,
        blocks: u32,
        stream: &Stream,
        arguments: &mut [*mut c_void],
    ) -> Result<(), Error> {
        let (grid, block) = ((blocks, 1, 1), (self.threads, 1, 1));
        // SAFETY: kernel and stream live; the arguments are copied before this returns.
        unsafe { result::launch_kernel(kernel, grid, block, 0, stream.raw(), arguments) }
            .map_err(|e| from_cuda("launch a kernel", e))
    }
}

fn argument<T>(value: &mut T) -> *mut c_void {
    std::ptr::from_mut(value).cast()
}

impl Drop for Kernels {
    fn drop(&mut self) {
        let _ = self.context.bind_to_thread();
        // SAFETY: loaded by `new`, unloaded once.
        let _ = unsafe { result::module::unload(self.module) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use std::fmt::Write;

    #[test]
    fn the_ptx_is_made_of_the_source() {
        let digest = Sha256::digest(include_bytes!("kernels.cu"));
        let mut hex = String::new();
        digest.iter().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
        let first = PTX.lines().next().unwrap();
        assert!(first.ends_with(&hex), "kernels.cu has changed since `{first}`; run compile.py beside it");
        for element in [Element::F32, Element::F16, Element::Bf16] {
            for kernel in ["next_token", "logprob"] {
                let entry = format!(".visible .entry {kernel}_{}(", element.name());
                assert!(PTX.contains(&entry), "{entry}");
            }
        }
    }
}
