//! Logits in memory that several processes see, so that a window's hundreds of megabytes cross by one copy. The system
//! frees it with the last process that holds it, however that ends.

use crate::platform::caught;
use inferhost_plugin_api::Logits;
use inferhost_plugin_api::abi::RawFloats;
use ipc_channel::ipc::IpcSharedMemory;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Logits of consecutive positions of one batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SharedLogits {
    memory: IpcSharedMemory,
    vocab_size: u32,
    double: bool,
}

/// In the type they were computed in.
pub(super) enum Values<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
}

impl SharedLogits {
    /// A copy of `positions` of `logits`.
    ///
    /// # Errors
    /// Where the system has no memory to share.
    pub(super) fn new(logits: &Logits, positions: Range<usize>) -> Result<Self, String> {
        let vocab = logits.vocab_size as usize;
        let values = positions.start * vocab..positions.end * vocab;
        let (bytes, double): (&[u8], bool) = match &logits.values {
            RawFloats::F32(logits) => (bytemuck::cast_slice(&logits[values]), false),
            RawFloats::F64(logits) => (bytemuck::cast_slice(&logits[values]), true),
        };
        // ipc-channel panics where the system refuses.
        let memory = caught(|| IpcSharedMemory::from_bytes(bytes))
            .ok_or_else(|| format!("the system has no {} MB of shared memory", bytes.len() / 1_000_000))?;
        Ok(Self { memory, vocab_size: logits.vocab_size, double })
    }

    /// The logits, which must be of so many positions and ids.
    ///
    /// # Errors
    /// Where they are not.
    pub(super) fn values(&self, vocab_size: u32, positions: usize) -> Result<Values<'_>, String> {
        let size = if self.double { 8 } else { 4 };
        if self.vocab_size != vocab_size || self.memory.len() != positions * vocab_size as usize * size {
            return Err(format!(
                "wrong shape: {positions} positions x {vocab_size}, the baseline has {} logits of a vocabulary of {}",
                self.memory.len() / size,
                self.vocab_size
            ));
        }
        let misplaced = |_| "shared memory begins at an odd address".to_string();
        if self.double {
            bytemuck::try_cast_slice(&self.memory).map(Values::F64).map_err(misplaced)
        } else {
            bytemuck::try_cast_slice(&self.memory).map(Values::F32).map_err(misplaced)
        }
    }
}
