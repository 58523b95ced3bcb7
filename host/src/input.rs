//! Text that a user names a file for. The file may be a pipe; it may not be one without end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes of the largest config.
pub const CONFIG: u64 = 16 << 20;
/// Bytes of the largest list of token ids.
pub const TOKENS: u64 = 256 << 20;
/// Bytes of the largest corpus.
pub const CORPUS: u64 = 1 << 30;

/// The text of the file at `path`.
///
/// # Errors
/// What the system refused, text that is no UTF-8, and more than `most` bytes.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!(
            "it holds more than {} MiB, the most that is read",
            most >> 20
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("byte {at} is not UTF-8"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        std::fs::write(&path, "häl").unwrap();
        assert_eq!(text(&path, 4).unwrap(), "häl");
        assert!(text(&path, 3).unwrap_err().to_string().contains("more than 0 MiB"));
        std::fs::write(&path, b"ab\xff").unwrap();
        assert!(text(&path, 9).unwrap_err().to_string().contains("byte 2 is not UTF-8"));
        #[cfg(unix)]
        assert!(text(Path::new("/dev/zero"), 1 << 20).is_err());
    }
}
