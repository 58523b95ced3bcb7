//! Standard output, written so that a closed pipe ends the program quietly.

use crate::error::AppError;
use crate::text::{one_line, printable};
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Prints `text` and a line break, without what a terminal would obey.
///
/// # Errors
/// Where standard output takes nothing, for another reason than that its reader has left.
pub fn print(text: &str) -> Result<(), AppError> {
    write(&printable(text))
}

/// Says `what` on standard error, where it is no error that it cannot be said.
pub fn say(what: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(what));
}

/// Says on standard error, on one line, something the user should know.
pub fn note(what: &str) {
    say(&format!("note: {}", one_line(what)));
}

fn write(text: &str) -> Result<(), AppError> {
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
    write(&harmless_json(&serde_json::to_string(value).map_err(AppError::failed)?))
}

/// JSON leaves some characters in its strings as they are that a terminal obeys; the same text with them escaped.
fn harmless_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_the_same_without_what_a_terminal_obeys() {
        let strings = ["\u{1b}[2J", "\u{9b}2J\u{7f}", "é\n"];
        let json = harmless_json(&serde_json::to_string(&strings).unwrap());
        assert!(!json.contains(char::is_control), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), strings);
    }
}
