//! What a worker prints, kept in its log file up to a bound, and the end of it in memory. A plugin that prints
//! without end costs neither disk nor memory, and is never blocked.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Bytes of a worker's output that its log keeps.
const LOG_LIMIT: usize = 1 << 20;
/// Bytes of its end that are kept in memory.
const TAIL_LIMIT: usize = 8 << 10;

/// The log of one worker.
pub(super) struct OutputLog {
    tail: Arc<Mutex<VecDeque<u8>>>,
    ended: Receiver<()>,
}

impl OutputLog {
    /// Copies what comes out of `source` into `file` until it closes.
    ///
    /// # Errors
    /// Where the system has no thread for it.
    pub(super) fn start(source: impl Read + Send + 'static, file: File) -> io::Result<Self> {
        let tail = Arc::new(Mutex::new(VecDeque::with_capacity(TAIL_LIMIT)));
        let (done, ended) = channel();
        let kept = Arc::clone(&tail);
        std::thread::Builder::new().spawn(move || {
            copy(source, file, &kept);
            let _ = done.send(());
        })?;
        Ok(Self { tail, ended })
    }

    /// The last lines, after the worker has ended. A grandchild may hold the pipe open, so the wait is bounded.
    pub(super) fn last_lines(&self) -> String {
        let _ = self.ended.recv_timeout(Duration::from_millis(500));
        let tail = self.tail.lock().map(|tail| tail.iter().copied().collect::<Vec<u8>>());
        String::from_utf8_lossy(&tail.unwrap_or_default()).into_owned()
    }
}

/// The log at `path`. Its folder may have been removed, but is not made where the run folder itself is gone.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let failed = |e: io::Error| io::Error::new(e.kind(), format!("create its log {}: {e}", path.display()));
    let create = || File::create(path);
    let again = |e: io::Error| match path.parent() {
        Some(folder) if e.kind() == io::ErrorKind::NotFound => fs::create_dir(folder).and_then(|()| create()),
        _ => Err(e),
    };
    create().or_else(again).map_err(failed)
}

fn copy(mut source: impl Read, mut file: File, tail: &Mutex<VecDeque<u8>>) {
    let mut buffer = vec![0; 64 << 10];
    let mut room = LOG_LIMIT;
    while let Ok(read @ 1..) = source.read(&mut buffer) {
        let kept = read.min(room);
        // A full disk loses the log, not the run.
        let _ = file.write_all(&buffer[..kept]);
        if kept < read && room > 0 {
            let _ = writeln!(file, "\n[log cut here: the worker printed more than {LOG_LIMIT} bytes]");
        }
        room -= kept;
        if let Ok(mut tail) = tail.lock() {
            tail.extend(&buffer[read.saturating_sub(TAIL_LIMIT)..read]);
            let extra = tail.len().saturating_sub(TAIL_LIMIT);
            tail.drain(..extra);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_in_the_file_and_its_end_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let flood = [vec![b'x'; LOG_LIMIT + 1], b"\nthe end\n".to_vec()].concat();
        let log = OutputLog::start(io::Cursor::new(flood), File::create(&path).unwrap()).unwrap();
        assert!(log.last_lines().ends_with("\nthe end\n"));
        let size = fs::metadata(&path).unwrap().len();
        assert!((LOG_LIMIT as u64..LOG_LIMIT as u64 + 100).contains(&size), "{size}");
    }
}
