//! Files that are either whole or as they were before.

use super::StoreError;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Writes `content` to `path` so that a reader, also one after a crash, meets the old file or the new one.
///
/// # Errors
/// What the system refused; the old file is then untouched.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Two processes may write the same report at once, each through a file of its own.
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = write_synced(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if let Err(source) = written {
        // The temporary file may not even exist; the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return Err(StoreError::Io { action: "write", path: path.into(), source });
    }
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

pub(super) fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    // Never through a link that somebody left in its place.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Puts a folder's entries on the disk: a new name is not safe until its folder is.
#[cfg(unix)]
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|folder| folder.sync_all()).map_err(StoreError::io("sync", path))
}

/// Only Unix lets a folder be opened and synced.
#[cfg(not(unix))]
pub(super) fn sync_folder(_path: &Path) -> Result<(), StoreError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_file_and_leaves_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.md");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone").join("report.md");
        let message = write_atomic(&path, b"one").unwrap_err().to_string();
        assert!(message.contains("write") && message.contains("gone"), "{message}");
    }
}
