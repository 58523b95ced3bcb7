//! How often something happened, and how sure that is.

use crate::stats::{Interval, wilson};
use schemars::JsonSchema;
use serde::Serialize;

/// A share with its denominator.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Rate {
    /// How often it happened.
    pub count: u64,
    /// Of how many.
    pub of: u64,
    /// The share; none of none.
    pub share: Option<f64>,
    /// Wilson's 95% interval.
    pub ci95: Option<Interval>,
}

impl Rate {
    pub(super) fn of(count: u64, of: u64) -> Self {
        Self { count, of, share: (of > 0).then(|| count as f64 / of as f64), ci95: wilson(count, of) }
    }
}
