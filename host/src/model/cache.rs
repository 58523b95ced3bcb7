//! The folder in which inferhost keeps what it has made once: synthetic models, artifacts, file hashes.
//!
//! A folder in the cache appears by one rename, so it is complete or absent, and a lock file beside it makes two
//! processes that want the same folder build it once.

use crate::interrupt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Names the cache folder in place of the system's.
pub const CACHE_DIR_VARIABLE: &str = "INFERHOST_CACHE_DIR";

/// How often a folder that another process builds is looked at.
const LOCK_WATCH: Duration = Duration::from_millis(20);

/// Ends the name of a folder that is being built.
pub const PARTIAL: &str = ".partial";

/// `INFERHOST_CACHE_DIR`, else the system's cache folder for this program, else one in the temporary folder.
pub fn cache_dir() -> PathBuf {
    match std::env::var_os(CACHE_DIR_VARIABLE) {
        Some(folder) if !folder.is_empty() => folder.into(),
        _ => directories::ProjectDirs::from("", "", "inferhost")
            .map_or_else(|| std::env::temp_dir().join("inferhost"), |dirs| dirs.cache_dir().into()),
    }
}

/// What `check` makes of `folder`, which `build` fills first where `check` finds it absent or damaged.
///
/// `build` is given an empty folder beside the final one.
///
/// # Errors
/// `build`'s own; the file system's, through `failed`, also where `check` gives nothing even after the build.
pub fn build_once<T, E>(
    folder: &Path,
    check: impl Fn(&Path) -> Option<T>,
    build: impl FnOnce(&Path) -> Result<(), E>,
    failed: impl Fn(io::Error) -> E,
) -> Result<T, E> {
    if let Some(found) = check(folder) {
        return Ok(found);
    }
    let _lock = lock(folder).map_err(&failed)?;
    // Another process may have built it while this one waited.
    if let Some(found) = check(folder) {
        return Ok(found);
    }
    let partial = empty_beside(folder).map_err(&failed)?;
    if let Err(error) = build(&partial) {
        let _ = remove(&partial);
        return Err(error);
    }
    fs::rename(&partial, folder).map_err(&failed)?;
    check(folder).ok_or_else(|| failed(io::Error::new(io::ErrorKind::InvalidData, "damaged after its build")))
}

/// Removes `folder` and what a killed process left of building it, while nobody builds it. It vanishes by one rename,
/// so that whoever looks at the same time finds all of it or nothing.
///
/// # Errors
/// What the file system refused.
pub fn remove_built(folder: &Path) -> io::Result<()> {
    let _lock = lock(folder)?;
    let partial = suffixed(folder, PARTIAL);
    remove(&partial)?;
    match fs::rename(folder, &partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    remove(&partial)
}

/// Held until it is dropped, or the process dies.
fn lock(folder: &Path) -> io::Result<File> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    let lock = File::create(suffixed(folder, ".lock"))?;
    // An engine takes minutes: who waits for another's build is to be heard when they have had enough.
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if interrupt::requested() => {
                return Err(io::Error::new(
                    io::ErrorKind::Interrupted,
                    "interrupted while another process built it",
                ));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_WATCH),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// The name is fixed: what a killed process left behind is cleared by the next one that holds the lock.
fn empty_beside(folder: &Path) -> io::Result<PathBuf> {
    let partial = suffixed(folder, PARTIAL);
    remove(&partial)?;
    remove(folder)?;
    fs::create_dir(&partial)?;
    Ok(partial)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(folder),
        other => other,
    }
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn check(folder: &Path) -> Option<String> {
        fs::read_to_string(folder.join("done")).ok()
    }

    #[test]
    fn many_builders_build_once() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("a/b");
        let builds = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let build = |partial: &Path| {
                        builds.fetch_add(1, Ordering::Relaxed);
                        fs::write(partial.join("done"), "yes")
                    };
                    assert_eq!(build_once(&folder, check, build, |e| e).unwrap(), "yes");
                });
            }
        });
        assert_eq!(builds.into_inner(), 1);
    }

    #[test]
    fn failed_and_damaged_builds_leave_nothing_behind() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("a");
        let half = |partial: &Path| {
            fs::write(partial.join("half"), "")?;
            Err(io::Error::other("disk full"))
        };
        assert_eq!(build_once(&folder, check, half, |e| e).unwrap_err().to_string(), "disk full");
        assert!(!folder.exists() && !cache.path().join("a.partial").exists());
        let useless = build_once(&folder, check, |_| Ok(()), |e: io::Error| e);
        assert_eq!(useless.unwrap_err().to_string(), "damaged after its build");

        fs::write(folder.join("stale"), "").unwrap();
        let whole = |partial: &Path| fs::write(partial.join("done"), "again");
        assert_eq!(build_once(&folder, check, whole, |e| e).unwrap(), "again");
        assert!(!folder.join("stale").exists());

        fs::create_dir(cache.path().join("a.partial")).unwrap();
        remove_built(&folder).unwrap();
        remove_built(&folder).unwrap();
        assert!(!folder.exists() && !cache.path().join("a.partial").exists());
    }
}
