//! A range that holds a true value with a stated coverage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From `low` to `high`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// `half` to either side of `middle`; none where an end is not finite.
    pub fn around(middle: f64, half: f64) -> Option<Self> {
        let (low, high) = (middle - half, middle + half);
        (low.is_finite() && high.is_finite()).then_some(Self { low, high })
    }

    /// Whether `value` lies in it, ends included.
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}
