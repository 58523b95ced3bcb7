//! The host's temporary folder: its workers' temporary files, a folder for each, and the sockets on which workers
//! are awaited. It goes with the host; what a host that was killed has left is removed by the next.

use super::descendants;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Begins the folder's name, before the host's process id.
const PREFIX: &str = "inferhost-";
/// Locked as long as the host lives.
const LOCK: &str = "lock";
/// What a socket's path may be long, 108 bytes on Linux and fewer elsewhere, less what comes after the folder.
const LONGEST_FOR_SOCKETS: usize = 70;

/// The folder of this host.
#[derive(Debug)]
pub(super) struct HostScratch {
    path: PathBuf,
    workers: AtomicU32,
    /// Held, not read.
    _lock: File,
}

impl HostScratch {
    /// A new folder, after those of hosts that are no more were removed.
    ///
    /// # Errors
    /// What the system refused.
    pub(super) fn new() -> io::Result<Self> {
        let temp = std::path::absolute(std::env::temp_dir())?;
        let failed =
            |e: io::Error| io::Error::new(e.kind(), format!("make a folder in {}: {e}", temp.display()));
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(&temp).map_err(failed)?;
        let lock = locked(folder.path()).map_err(failed)?;
        let path = folder.keep();
        remove_stale(&temp, &path);
        if path.as_os_str().len() <= LONGEST_FOR_SOCKETS {
            // Taken by the channel's sockets; where it was set before, they are elsewhere.
            let _ = tempfile::env::override_temp_dir(&path);
        }
        Ok(Self { path, workers: AtomicU32::new(0), _lock: lock })
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A folder for one worker.
    ///
    /// # Errors
    /// What the system refused.
    pub(super) fn of_worker(&self) -> io::Result<WorkerScratch> {
        let path = self.path.join(format!("worker-{}", self.workers.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&path)
            .map_err(|e| io::Error::new(e.kind(), format!("make {}: {e}", path.display())))?;
        Ok(WorkerScratch { path })
    }
}

impl Drop for HostScratch {
    fn drop(&mut self) {
        // As a rule the guard has removed it already.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The folder of one worker; removed when this is dropped.
#[derive(Debug)]
pub struct WorkerScratch {
    path: PathBuf,
}

impl WorkerScratch {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What tells the worker, and the libraries in it, to use the folder.
    pub(super) fn env(&self) -> [(&'static str, &Path); 3] {
        ["TMPDIR", "TMP", "TEMP"].map(|name| (name, self.path.as_path()))
    }
}

impl Drop for WorkerScratch {
    fn drop(&mut self) {
        // What resists goes, or stays, with the host's folder.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Locked before it has its name, so that nobody meets it unlocked.
fn locked(folder: &Path) -> io::Result<File> {
    let unnamed = folder.join("unnamed");
    let lock = File::create_new(&unnamed)?;
    lock.lock()?;
    fs::rename(&unnamed, folder.join(LOCK))?;
    Ok(lock)
}

/// Removes what hosts of this user have left in `temp`, with the processes that still use it; `own` is another's name
/// for nobody.
fn remove_stale(temp: &Path, own: &Path) {
    for entry in fs::read_dir(temp).into_iter().flatten().flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX) && path != own;
        if ours && is_abandoned(&path, own) {
            descendants::end_marked(&path);
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// A folder of a host's name, not a link to one, of the owner of `own`, whose lock nobody holds. One without a lock is being made by a
/// host that lives, or was by one that does not.
fn is_abandoned(path: &Path, own: &Path) -> bool {
    let (Ok(meta), Ok(of_own)) = (fs::symlink_metadata(path), fs::symlink_metadata(own)) else {
        return false;
    };
    let Some(maker) = maker(path) else { return false };
    if !meta.is_dir() || !same_owner(&meta, &of_own) {
        return false;
    }
    match File::open(path.join(LOCK)) {
        Ok(lock) => !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        Err(error) => error.kind() == io::ErrorKind::NotFound && descendants::is_gone(maker),
    }
}

fn maker(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

#[cfg(unix)]
fn same_owner(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    a.uid() == b.uid()
}

/// A temporary folder of Windows is its user's alone.
#[cfg(not(unix))]
fn same_owner(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dead_hosts_left_is_removed_and_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = temp.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let (own, alive, dead) = (folder("inferhost-1-a"), folder("inferhost-2-b"), folder("inferhost-3-c"));
        let young = folder(&format!("inferhost-{}-d", std::process::id()));
        let (foreign, unnamed) = (folder("other-5-e"), folder("inferhost-x-f"));
        let (_own, _alive) = (locked(&own).unwrap(), locked(&alive).unwrap());
        drop([&dead, &foreign, &unnamed].map(|path| locked(path).unwrap()));
        fs::create_dir(dead.join("worker-0")).unwrap();
        remove_stale(temp.path(), &own);
        let left = [&own, &alive, &dead, &young, &foreign, &unnamed].map(|path| path.exists());
        assert_eq!(left, [true, true, false, true, true, true], "one without a lock may be just being made");
        if cfg!(target_os = "linux") {
            // An id that no process has.
            let torn = folder(&format!("inferhost-{}-g", u32::MAX));
            remove_stale(temp.path(), &own);
            assert!(!torn.exists());
        }
    }
}
