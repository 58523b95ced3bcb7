//! A failed call: its kind, which decides what the host makes of it, and one line for the reader.

use crate::abi::RawError;
use serde::{Deserialize, Serialize};

/// What kind of failure a call met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u32)]
pub enum ErrorKind {
    /// The caller's mistake: options, model file, batch.
    InvalidInput = 1,
    /// Right, but not something this plugin or device can do.
    Unsupported = 2,
    /// A library or device that the runtime needs is not there.
    RuntimeMissing = 3,
    /// Host or device memory ran out.
    OutOfMemory = 4,
    /// The artifact was built for other shapes.
    ShapeNotCovered = 5,
    /// NaN or infinity where a number should be.
    NumericalFault = 6,
    /// Anything else, panics included.
    Internal = 7,
}

impl ErrorKind {
    fn from_code(code: u32) -> Self {
        match code {
            1 => Self::InvalidInput,
            2 => Self::Unsupported,
            3 => Self::RuntimeMissing,
            4 => Self::OutOfMemory,
            5 => Self::ShapeNotCovered,
            6 => Self::NumericalFault,
            _ => Self::Internal,
        }
    }
}

/// A failed call.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// One line: what was found, what was expected, what to do.
    pub message: String,
}

impl Error {
    /// Any kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// [`ErrorKind::InvalidInput`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
}

impl From<RawError> for Error {
    fn from(raw: RawError) -> Self {
        Self { kind: ErrorKind::from_code(raw.kind), message: raw.message.into() }
    }
}

impl From<Error> for RawError {
    fn from(error: Error) -> Self {
        Self { kind: error.kind as u32, message: error.message.into() }
    }
}
