//! A plugin's file as it was when a run began: its hash, and whether it is still that file. A file is hashed anew only
//! where its size, time or place on the disk have changed.

use crate::digest;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

/// A file and its hash.
#[derive(Debug)]
pub struct HashedFile {
    path: PathBuf,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// When it was last known to have that hash.
    stamp: Mutex<Option<Stamp>>,
}

/// What changes with a file's content, as far as the file system tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
    inode: Option<u64>,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = path.metadata().ok()?;
        Some(Self { size: found.len(), modified: found.modified().ok(), inode: inode(&found) })
    }
}

#[cfg(unix)]
fn inode(found: &Metadata) -> Option<u64> {
    Some(std::os::unix::fs::MetadataExt::ino(found))
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> Option<u64> {
    None
}

/// A file that is not what it was.
#[derive(Debug, thiserror::Error)]
pub enum Changed {
    /// Other content.
    #[error(
        "the plugin's file changed since the run began (sha256 {before}, now {now}): {path}; run anew with one plugin"
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// Its hash when the run began.
        before: String,
        /// Its hash now.
        now: String,
    },
    /// No content.
    #[error(
        "the plugin's file changed since the run began (sha256 {before}, now unreadable: {reason}): {path}; put it back and --resume"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Its hash when the run began.
        before: String,
        /// What the system said.
        reason: io::Error,
    },
}

impl HashedFile {
    /// Hashes the file.
    ///
    /// # Errors
    /// What reading it gave.
    pub fn new(path: &Path) -> io::Result<Self> {
        // Looked at first: a change while it is hashed is found at the next look.
        let stamp = Stamp::of(path);
        let sha256 = digest::of_file(path)?;
        Ok(Self { path: path.into(), sha256, stamp: Mutex::new(stamp) })
    }

    /// Whether it still has the hash.
    ///
    /// # Errors
    /// [`Changed`].
    pub fn unchanged(&self) -> Result<(), Changed> {
        let mut known = self.stamp.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let found = Stamp::of(&self.path);
        if found.is_some() && found == *known {
            return Ok(());
        }
        let (path, before) = (self.path.clone(), self.sha256.clone());
        match digest::of_file(&self.path) {
            Ok(now) if now == before => {
                *known = found;
                Ok(())
            }
            Ok(now) => Err(Changed::Content { path, before, now }),
            Err(reason) => Err(Changed::Unreadable { path, before, reason }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_that_was_replaced_is_told_and_one_that_was_only_touched_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin");
        fs::write(&path, "one").unwrap();
        let hashed = HashedFile::new(&path).unwrap();
        hashed.unchanged().unwrap();
        // The same content in another file.
        fs::write(folder.path().join("copy"), "one").unwrap();
        fs::rename(folder.path().join("copy"), &path).unwrap();
        hashed.unchanged().unwrap();
        fs::write(folder.path().join("copy"), "two").unwrap();
        fs::rename(folder.path().join("copy"), &path).unwrap();
        let line = hashed.unchanged().unwrap_err().to_string();
        let (one, two) = (&hashed.sha256, digest::of_file(&path).unwrap());
        assert!(line.contains(&format!("changed since the run began (sha256 {one}, now {two})")), "{line}");
        fs::remove_file(&path).unwrap();
        assert!(matches!(hashed.unchanged().unwrap_err(), Changed::Unreadable { .. }));
    }
}
