//! The artifacts that the cache holds: listed, verified, pruned.

use super::{ArtifactInfo, DESCRIPTION, FOLDER};
use crate::model::{cache, file_digest, is_file_name};
use crate::prepare::calibrate::FOLDER as CALIBRATIONS;
use serde::Serialize;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A folder of the artifact cache.
#[derive(Debug, Serialize)]
pub struct Stored {
    /// Where it lies.
    pub folder: PathBuf,
    /// What it says of itself; none where that cannot be read.
    pub info: Option<ArtifactInfo>,
    /// Of its files.
    pub bytes: u64,
    /// When its description was written.
    #[serde(skip)]
    pub built: Option<SystemTime>,
}

/// All artifacts in `cache`, by folder name; what is being built is left out.
///
/// # Errors
/// What reading the folder gave.
pub fn list(cache: &Path) -> io::Result<Vec<Stored>> {
    let entries = match fs::read_dir(cache.join(FOLDER)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let folder = entry?.path();
        if folder.is_dir() && folder.extension().is_none() {
            found.push(Stored::read(folder));
        }
    }
    found.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(found)
}

impl Stored {
    fn read(folder: PathBuf) -> Self {
        let files = fs::read_dir(&folder).into_iter().flatten().flatten();
        let bytes = files.filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum();
        let built = fs::metadata(folder.join(DESCRIPTION)).and_then(|data| data.modified()).ok();
        Self { info: described(&folder), folder, bytes, built }
    }
}

fn described(folder: &Path) -> Option<ArtifactInfo> {
    let info: ArtifactInfo = serde_json::from_slice(&fs::read(folder.join(DESCRIPTION)).ok()?).ok()?;
    info.files.iter().all(|file| is_file_name(&file.name)).then_some(info)
}

/// What is wrong with an artifact's files, hashed anew; none: they are as they were written.
pub fn verify(stored: &Stored) -> Option<String> {
    let Some(info) = &stored.info else { return Some(format!("its {DESCRIPTION} is missing or malformed")) };
    let hashed = |path: PathBuf| match path.is_file() {
        true => crate::digest::of_file(&path),
        false => Err(io::Error::new(io::ErrorKind::NotFound, "there is no such file")),
    };
    info.files.iter().find_map(|file| match hashed(stored.folder.join(&file.name)) {
        Ok(found) if found == file.sha256 => None,
        Ok(_) => Some(format!("{} is not as it was written", file.name)),
        Err(error) => Some(format!("{}: {error}", file.name)),
    })
}

/// Removes artifacts built at least `older_than` ago, those that cannot be read, what killed processes left of theirs
/// and, where no age is asked for, all calibrations; gives the artifacts that are gone.
///
/// # Errors
/// The folder that could not be removed, and why.
pub fn prune(cache: &Path, older_than: Duration) -> Result<Vec<Stored>, (PathBuf, io::Error)> {
    let now = SystemTime::now();
    let is_old = |stored: &Stored| {
        let age = stored.built.map(|built| now.duration_since(built).unwrap_or_default());
        stored.info.is_none() || age.is_none_or(|age| age >= older_than)
    };
    let all = list(cache).map_err(|error| (cache.join(FOLDER), error))?;
    let old: Vec<Stored> = all.into_iter().filter(is_old).collect();
    let entries = fs::read_dir(cache.join(FOLDER)).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_partial = |path: &PathBuf| path.to_string_lossy().ends_with(cache::PARTIAL);
    let left_over = entries.filter(is_partial).map(|path| path.with_extension(""));
    for folder in old.iter().map(|stored| stored.folder.clone()).chain(left_over) {
        cache::remove_built(&folder).map_err(|error| (folder, error))?;
    }
    let calibrations = cache.join(CALIBRATIONS);
    if older_than.is_zero() && calibrations.is_dir() {
        fs::remove_dir_all(&calibrations).map_err(|error| (calibrations, error))?;
    }
    Ok(old)
}

/// The description of an artifact whose files are all there as they were written.
pub(super) fn intact(folder: &Path, cache: &Path) -> Option<ArtifactInfo> {
    let info = described(folder)?;
    let is_whole = |file: &super::ArtifactFile| {
        let path = folder.join(&file.name);
        path.is_file() && file_digest::of_file(&path, cache).is_ok_and(|found| found == file.sha256)
    };
    info.files.iter().all(is_whole).then_some(info)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;
    use crate::prepare::artifact::{Artifact, ensure};

    #[test]
    fn artifacts_are_listed_verified_and_pruned() {
        let cache = tempfile::tempdir().unwrap();
        assert!(list(cache.path()).unwrap().is_empty());
        let model =
            model::resolve("synthetic:gpt2?layers=1&embd=16&heads=2&vocab=31&ctx=8", cache.path()).unwrap();
        for name in ["onnx-fp32", "onnx-fp16"] {
            ensure(&name.parse::<Artifact>().unwrap(), &model, cache.path(), None).unwrap();
        }
        let all = list(cache.path()).unwrap();
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|stored| verify(stored).is_none() && stored.bytes > 0));
        fs::write(all[0].folder.join("config.json"), "{}").unwrap();
        assert!(verify(&all[0]).unwrap().contains("config.json is not as it was written"));
        fs::remove_file(all[1].folder.join(DESCRIPTION)).unwrap();
        let hour = Duration::from_secs(3600);
        assert_eq!(prune(cache.path(), hour).unwrap().len(), 1, "one cannot be read");
        assert_eq!(prune(cache.path(), Duration::ZERO).unwrap().len(), 1);
        assert!(list(cache.path()).unwrap().is_empty());
    }
}
