//! One writer at a time: the lock of a run folder.

use super::{LOCK, StoreError};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a folder may be another's before this process gives up on it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Keeps every host from writing to a run folder, and changes nothing in it. Others may hold it too.
#[derive(Debug)]
pub struct Held {
    /// Held, not read: closing it lets writers in. None where no host has written there yet.
    _lock: Option<File>,
}

/// Holds the run folder at `folder`, to read it while it stays as it is.
///
/// # Errors
/// A folder that another host writes to; what the system refused.
pub fn hold(folder: &Path) -> Result<Held, StoreError> {
    let path = folder.join(LOCK);
    // Opening a pipe would wait for its writer.
    if !path.is_file() {
        return Ok(Held { _lock: None });
    }
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Held { _lock: None }),
        Err(source) => return Err(StoreError::Io { action: "open", path, source }),
    };
    patiently(folder, || file.try_lock_shared())?;
    Ok(Held { _lock: Some(file) })
}

/// The lock of the one writer of `folder`.
pub(super) fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(StoreError::io("open", &path))?;
    patiently(folder, || file.try_lock())?;
    Ok(file)
}

fn patiently(folder: &Path, attempt: impl Fn() -> Result<(), TryLockError>) -> Result<(), StoreError> {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            // A worker that a killed host was just starting holds the lock until it has become itself.
            Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { path: folder.into() }),
            Err(TryLockError::Error(source)) => {
                return Err(StoreError::Io { action: "lock", path: folder.join(LOCK), source });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_a_folder_and_keep_writers_out() {
        let folder = tempfile::tempdir().unwrap();
        hold(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
        drop(lock(folder.path()).unwrap());
        let (first, second) = (hold(folder.path()).unwrap(), hold(folder.path()).unwrap());
        assert!(matches!(lock(folder.path()), Err(StoreError::Locked { .. })));
        drop((first, second));
        let writer = lock(folder.path()).unwrap();
        assert!(matches!(hold(folder.path()), Err(StoreError::Locked { .. })));
        drop(writer);
    }
}
