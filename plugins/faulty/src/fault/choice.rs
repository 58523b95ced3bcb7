//! One fault of several, chosen at random and yet the same each time.

use crate::model::mix;
use crate::options::{Fault, Options};
use inferhost_plugin_api::Error;
use std::fs::OpenOptions;
use std::io::Write;

/// The random choices of one session.
pub(super) struct Choice {
    seed: u64,
}

impl Choice {
    /// For the next session, where a `count_file` counts them.
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        let session = match &options.count_file {
            Some(path) if !options.faults.is_empty() => OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .and_then(|mut file| file.write_all(b".").and_then(|()| file.metadata()))
                .map_err(|e| Error::invalid(format!("cannot use count_file {}: {e}", path.display())))?
                .len(),
            _ => 0,
        };
        Ok(Self { seed: mix(options.seed ^ mix(session)) })
    }

    /// What the call of that number meets.
    pub(super) fn of_call(&self, index: u64, options: &Options) -> Option<Fault> {
        let chosen = mix(self.seed ^ mix(index));
        // 53 bits, as many as a double holds.
        let uniform = (chosen >> 11) as f64 / (1u64 << 53) as f64;
        let at = mix(chosen) % options.faults.len().max(1) as u64;
        (uniform < options.rate).then(|| options.faults.get(usize::try_from(at).ok()?).copied())?
    }
}
