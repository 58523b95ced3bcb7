//! Appending lines to a file that stays readable when the disk fills up or the host dies.

use serde::de::IgnoredAny;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

/// What appending asks of a file. A trait so that a test can stand in for a disk that is full.
pub(super) trait Tail: Write {
    /// Cuts the file to `len` bytes and goes on writing there.
    fn cut(&mut self, len: u64) -> io::Result<()>;
    /// Returns when what was written is on the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Whether the file still has a name: one that was deleted takes what is written, and nobody will find it.
    fn is_there(&self) -> io::Result<bool>;
}

impl Tail for File {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.seek(SeekFrom::Start(len)).map(|_| ())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    #[cfg(unix)]
    fn is_there(&self) -> io::Result<bool> {
        Ok(std::os::unix::fs::MetadataExt::nlink(&self.metadata()?) > 0)
    }

    /// Elsewhere an open file cannot be deleted.
    #[cfg(not(unix))]
    fn is_there(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// A file of whole lines.
#[derive(Debug)]
pub(super) struct LineLog<F> {
    file: F,
    /// Bytes of whole lines.
    len: u64,
}

impl<F: Tail> LineLog<F> {
    /// Goes on after `len` bytes of whole lines; what follows them is cut off.
    pub(super) fn new(mut file: F, len: u64) -> io::Result<Self> {
        file.cut(len)?;
        Ok(Self { file, len })
    }

    /// Writes one line, its newline included, in a single call, and returns when it is on the disk. After an error the
    /// file is as it was before.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if !self.file.is_there()? {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the file was deleted while it was written to",
            ));
        }
        self.write(line, F::sync)
    }

    /// The same of lines that the system may write when it likes: a machine that loses its power loses them.
    pub(super) fn append_unsynced(&mut self, lines: &[u8]) -> io::Result<()> {
        self.write(lines, |_| Ok(()))
    }

    fn write(&mut self, lines: &[u8], then: fn(&mut F) -> io::Result<()>) -> io::Result<()> {
        match self.file.write_all(lines).and_then(|()| then(&mut self.file)) {
            Ok(()) => {
                self.len += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Where even this fails, readers leave the torn line out and the next writer cuts it off.
                let _ = self.file.cut(self.len);
                Err(error)
            }
        }
    }

    /// Takes the last `len` bytes, whole lines, back.
    pub(super) fn take_back(&mut self, len: usize) {
        let before = self.len.saturating_sub(len as u64);
        // Where this fails, the lines stay, and they are whole.
        if self.file.cut(before).is_ok() {
            self.len = before;
        }
    }
}

/// How many of `bytes` are whole lines: all, but for a last line that has no newline or is no JSON.
pub(super) fn whole_lines(bytes: &[u8]) -> usize {
    let after_newline = |bytes: &[u8]| bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let end = after_newline(bytes);
    if end < bytes.len() || end == 0 {
        return end;
    }
    let start = after_newline(&bytes[..end - 1]);
    let is_json = serde_json::from_slice::<IgnoredAny>(&bytes[start..end]).is_ok();
    if is_json { end } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_line_can_be_torn() {
        for (bytes, whole) in [
            ("", 0),
            ("{\"a\":1}\n", 8),
            ("{\"a\":1}\n{\"a\":", 8),
            ("{\"a\":1}\n{\"a\":2}", 8),
            ("{\"a\":1}\n{\"a\":\n", 8),
            ("{\"a\":1}\n\0\0\0\n", 8),
            ("{\"a\":\n{\"a\":1}\n", 14),
            ("{\"a", 0),
            ("\n", 0),
        ] {
            assert_eq!(whole_lines(bytes.as_bytes()), whole, "{bytes:?}");
        }
    }

    /// A disk with room for so many bytes.
    struct SmallDisk {
        content: Vec<u8>,
        room: usize,
    }

    impl Write for SmallDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fitting = bytes.len().min(self.room - self.content.len());
            if fitting == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.content.extend_from_slice(&bytes[..fitting]);
            Ok(fitting)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Tail for SmallDisk {
        fn cut(&mut self, len: u64) -> io::Result<()> {
            self.content.truncate(usize::try_from(len).unwrap());
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn is_there(&self) -> io::Result<bool> {
            Ok(true)
        }
    }

    #[test]
    fn a_line_that_does_not_fit_leaves_nothing_behind() {
        let mut log = LineLog::new(SmallDisk { content: Vec::new(), room: 12 }, 0).unwrap();
        log.append(b"{\"a\":1}\n").unwrap();
        let error = log.append(b"{\"a\":2}\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(log.file.content, b"{\"a\":1}\n");

        log.file.room = 16;
        log.append(b"{\"a\":3}\n").unwrap();
        assert_eq!(log.file.content, b"{\"a\":1}\n{\"a\":3}\n");
    }
}
