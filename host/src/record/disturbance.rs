//! What the machine did beside a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a run that gave a measurement is not valid: the machine was not the run's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Disturbance {
    /// The class of reason.
    pub kind: DisturbanceKind,
    /// One line: what was found, what was expected, what to do.
    pub message: String,
}

/// The classes of disturbance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisturbanceKind {
    /// Other processes, or other virtual machines, used the processors.
    Busy,
    /// The machine moved memory to or from swap, or the worker waited for its own pages from the disk.
    Swapped,
    /// A processor or GPU lowered its clock, or the container's CPU quota was used up.
    Throttled,
}

impl DisturbanceKind {
    /// The name in records and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Swapped => "swapped",
            Self::Throttled => "throttled",
        }
    }
}
