//! SHA-256 of files, remembered in the cache by path, size and times: half a gigabyte of weights is hashed once,
//! not at every start.

use super::ModelError;
use crate::digest::{self, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// One digest over the names and contents of `files`.
pub(crate) fn of_files(files: &[PathBuf], cache_dir: &Path) -> Result<String, ModelError> {
    let mut all = Sha256::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        all.update(format!("{name}\0{}\n", of_file(file, cache_dir)?));
    }
    Ok(hex(&all.finalize()))
}

/// What a file was like when it was hashed.
#[derive(PartialEq, Serialize, Deserialize)]
struct Entry {
    path: PathBuf,
    bytes: u64,
    modified_ns: u128,
    /// Where there are such things, the time of the last change of any kind in nanoseconds and the inode: a file
    /// that was written in place and given its old time back is another file.
    changed: Option<(i128, u64)>,
    sha256: String,
}

/// Of the content of one file.
pub(crate) fn of_file(path: &Path, cache_dir: &Path) -> Result<String, ModelError> {
    let path = fs::canonicalize(path).map_err(ModelError::io(path))?;
    let metadata = path.metadata().map_err(ModelError::io(&path))?;
    let key = hex(&Sha256::digest(path.as_os_str().as_encoded_bytes()));
    let remembered = cache_dir.join("hashes").join(format!("{}.json", &key[..32]));
    let entry = fs::read(&remembered).ok().and_then(|text| serde_json::from_slice::<Entry>(&text).ok());
    let modified_ns = modified_ns(&metadata);
    if let Some(entry) = entry
        && (&entry.path, entry.bytes, Some(entry.modified_ns)) == (&path, metadata.len(), modified_ns)
        && entry.changed == changed(&metadata)
    {
        return Ok(entry.sha256);
    }
    let sha256 = digest::of_file(&path).map_err(ModelError::io(&path))?;
    if let Some(modified_ns) = modified_ns {
        // Without it the next start is slower, nothing else: a cache that cannot be written is no error here.
        let _ = remember(
            &remembered,
            &Entry {
                path,
                bytes: metadata.len(),
                modified_ns,
                changed: changed(&metadata),
                sha256: sha256.clone(),
            },
        );
    }
    Ok(sha256)
}

fn modified_ns(metadata: &Metadata) -> Option<u128> {
    let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_nanos())
}

#[cfg(unix)]
fn changed(metadata: &Metadata) -> Option<(i128, u64)> {
    use std::os::unix::fs::MetadataExt;
    let nanoseconds = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
    Some((nanoseconds, metadata.ino()))
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> Option<(i128, u64)> {
    None
}

fn remember(path: &Path, entry: &Entry) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut file, entry)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_remembered_until_the_file_changes() {
        let cache = tempfile::tempdir().unwrap();
        let path = cache.path().join("x.bin");
        fs::write(&path, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of_file(&path, cache.path()).unwrap(), abc);
        let remembered = fs::read_dir(cache.path().join("hashes")).unwrap().next().unwrap().unwrap().path();
        let text = fs::read_to_string(&remembered).unwrap();
        fs::write(&remembered, text.replace(abc, "from the cache")).unwrap();
        assert_eq!(of_file(&path, cache.path()).unwrap(), "from the cache");
        fs::write(&path, "abcd").unwrap();
        assert_eq!(of_file(&path, cache.path()).unwrap().len(), 64);
        fs::write(&remembered, "{").unwrap();
        assert_eq!(of_file(&path, cache.path()).unwrap().len(), 64);
    }
}
