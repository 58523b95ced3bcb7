//! Standard output, written so that a closed pipe ends the program quietly.

use crate::error::AppError;
use std::io::{self, ErrorKind, Write};

/// Prints `text` and a line break.
///
/// # Errors
/// Where standard output takes nothing, for another reason than that its reader has left.
pub fn print(text: &str) -> Result<(), AppError> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(AppError::failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints `value` as JSON on one line.
///
/// # Errors
/// As [`print()`].
pub fn print_json<T: serde::Serialize>(value: &T) -> Result<(), AppError> {
    print(&serde_json::to_string(value).map_err(AppError::failed)?)
}
