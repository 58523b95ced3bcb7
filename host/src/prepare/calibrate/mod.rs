//! Calibration: which ranges a model's activations keep to, so that 8 bits can be spread over them once and for all.
//!
//! A graph that gives every product's input in place of logits runs over a corpus in a worker; its histograms are
//! kept in the cache, and every method works from them.

mod corpus;
mod histogram;
mod range;
mod store;

pub use corpus::{ROWS, TOKENS};
pub use histogram::Histogram;
pub use range::{Grid, Spread};
pub(super) use store::{Plan, Seen, histograms};

use super::artifact::Method;
use std::collections::BTreeMap;
use std::path::Path;

/// The calibrations' folder in the cache.
pub(super) const FOLDER: &str = "calibrations";

/// Runs a graph and counts what it gives.
pub trait Observer {
    /// Runs the graph in `folder` over `batches` and counts the values of its output by group: the last dimension is
    /// `widths` wide in turn, and whatever follows is left out.
    ///
    /// # Errors
    /// One line that says why it could not be run.
    fn observe(
        &mut self,
        folder: &Path,
        widths: &[u32],
        batches: &[Vec<Vec<u32>>],
    ) -> Result<Vec<Histogram>, String>;
}

/// By matrix: the range of what it is multiplied with.
#[derive(Debug, Default)]
pub(super) struct Ranges(BTreeMap<String, (f32, f32)>);

impl Ranges {
    pub(super) fn new(seen: &BTreeMap<String, Histogram>, method: Method) -> Self {
        Self(seen.iter().map(|(name, histogram)| (name.clone(), range::range(histogram, method))).collect())
    }

    /// How 8 bits are spread over the input of `matrix`; over nothing where it was not seen.
    pub(super) fn grid(&self, matrix: &str, spread: Spread) -> Grid {
        range::grid(self.0.get(matrix).copied().unwrap_or_default(), spread)
    }
}
