//! Standard output, written so that a closed pipe ends the program quietly.

use crate::error::AppError;
use crate::text::printable;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Prints `text` and a line break.
///
/// # Errors
/// Where standard output takes nothing, for another reason than that its reader has left.
pub fn print(text: &str) -> Result<(), AppError> {
    let mut out = io::stdout().lock();
    written(writeln!(out, "{text}").and_then(|()| out.flush()))
}

fn written(result: io::Result<()>) -> Result<(), AppError> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(AppError::failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints `text` at once and without a line break; on a terminal without what a terminal would obey.
///
/// # Errors
/// As [`print()`].
pub fn print_part(text: &str) -> Result<(), AppError> {
    let mut out = io::stdout().lock();
    let text = if out.is_terminal() { printable(text) } else { text.into() };
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Prints `value` as JSON on one line.
///
/// # Errors
/// As [`print()`].
pub fn print_json<T: serde::Serialize>(value: &T) -> Result<(), AppError> {
    print(&serde_json::to_string(value).map_err(AppError::failed)?)
}
