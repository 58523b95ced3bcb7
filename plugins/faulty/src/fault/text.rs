//! Too much of it, or none that anyone can read.

use inferhost_plugin_api::Error;
use std::io::Write;

const MB: usize = 1_000_000;

/// So many megabytes of letters.
pub(crate) fn long_text(megabytes: u64) -> String {
    "faulty ".repeat(usize::try_from(megabytes).unwrap_or(usize::MAX).saturating_mul(MB) / 7)
}

pub(super) fn print_flood(megabytes: u64) -> Result<(), Error> {
    let line = [b"faulty".repeat(16).as_slice(), b"\n"].concat();
    let block = line.repeat(MB / line.len());
    for _ in 0..megabytes {
        std::io::stdout().write_all(&block).map_err(|e| failed(&e))?;
        std::io::stderr().write_all(&block).map_err(|e| failed(&e))?;
    }
    std::io::stdout().flush().map_err(|e| failed(&e))
}

/// Every byte there is, sequences that a terminal obeys, and no line break.
pub(super) fn print_garbage() -> Result<(), Error> {
    let bytes: Vec<u8> = (0..=u8::MAX).filter(|&byte| byte != b'\n').collect();
    let terminal = b"\x1b]0;title\x07\x1b[2J\x1b[31m\xe2\x80\xae";
    for _ in 0..64 {
        std::io::stderr().write_all(&[bytes.as_slice(), terminal].concat()).map_err(|e| failed(&e))?;
    }
    Ok(())
}

fn failed(error: &std::io::Error) -> Error {
    Error::internal(format!("cannot write the flood: {error}"))
}
