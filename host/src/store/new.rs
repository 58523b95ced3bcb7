//! A run folder that is made in one go, by merging or importing: it is there whole or not at all.

use super::atomic::{sync_folder, write_synced};
use super::folder::manifest_text;
use super::{ACCURACY, JoinedSeries, LOGS, MANIFEST, RECORDS, StoreError};
use crate::accuracy::Evaluation;
use crate::manifest::Manifest;
use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

const BUFFER: usize = 1 << 18;

/// A run folder in the making, beside its place. Dropped before [`commit`](Self::commit), it leaves nothing behind.
#[derive(Debug)]
pub struct NewFolder {
    place: PathBuf,
    /// None once it is in its place.
    temporary: Option<PathBuf>,
}

/// Writes the records of a [`NewFolder`].
#[derive(Debug)]
pub struct NewRecords {
    path: PathBuf,
    file: BufWriter<File>,
}

impl NewFolder {
    /// A run folder that will be at `place`.
    ///
    /// # Errors
    /// A place with something in it; what the system refused.
    pub fn create(place: &Path) -> Result<Self, StoreError> {
        free(place)?;
        let place = std::path::absolute(place).map_err(StoreError::io("find", place))?;
        let parent = place.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(StoreError::io("create", parent))?;
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let temporary = parent.join(format!(".{name}.{}.tmp", std::process::id()));
        fs::create_dir(&temporary).map_err(StoreError::io("create", &temporary))?;
        let new = Self { place, temporary: Some(temporary) };
        fs::create_dir(new.logs_dir()).map_err(StoreError::io("create", &new.logs_dir()))?;
        Ok(new)
    }

    fn folder(&self) -> &Path {
        self.temporary.as_deref().unwrap_or(&self.place)
    }

    /// Where logs go; exists.
    pub fn logs_dir(&self) -> PathBuf {
        self.folder().join(LOGS)
    }

    /// Its records, none yet.
    ///
    /// # Errors
    /// What the system refused.
    pub fn records(&self) -> Result<NewRecords, StoreError> {
        let path = self.folder().join(RECORDS);
        let file = File::create(&path).map_err(StoreError::io("create", &path))?;
        Ok(NewRecords { path, file: BufWriter::with_capacity(BUFFER, file) })
    }

    /// What workers used over time, nothing yet.
    pub fn series(&self) -> JoinedSeries {
        JoinedSeries::new(self.folder())
    }

    /// Writes the rest and puts the folder in its place.
    ///
    /// # Errors
    /// What the system refused; nothing is then left.
    pub fn commit(mut self, manifest: &Manifest, evaluations: &[Evaluation]) -> Result<(), StoreError> {
        if !evaluations.is_empty() {
            self.write(ACCURACY, &accuracy_text(evaluations, &self.folder().join(ACCURACY))?)?;
        }
        self.write(MANIFEST, &manifest_text(manifest, &self.folder().join(MANIFEST))?)?;
        sync_folder(self.folder())?;
        // An empty folder may be there, and not every system renames onto one.
        if self.place.exists() {
            fs::remove_dir(&self.place).map_err(|_| StoreError::NotEmpty { path: self.place.clone() })?;
        }
        fs::rename(self.folder(), &self.place).map_err(StoreError::io("create", &self.place))?;
        self.temporary = None;
        sync_folder(self.place.parent().unwrap_or(Path::new(".")))
    }

    fn write(&self, name: &str, text: &[u8]) -> Result<(), StoreError> {
        let path = self.folder().join(name);
        write_synced(&path, text).map_err(StoreError::io("write", &path))
    }
}

impl NewRecords {
    /// Adds a record's line, given without its line break.
    ///
    /// # Errors
    /// What the system refused.
    pub fn append(&mut self, line: &[u8]) -> Result<(), StoreError> {
        let written = self.file.write_all(line).and_then(|()| self.file.write_all(b"\n"));
        written.map_err(StoreError::io("write", &self.path))
    }

    /// All records are on the disk when this returns.
    ///
    /// # Errors
    /// What the system refused.
    pub fn finish(mut self) -> Result<(), StoreError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(StoreError::io("write", &self.path))
    }
}

fn accuracy_text(evaluations: &[Evaluation], path: &Path) -> Result<Vec<u8>, StoreError> {
    let mut text = Vec::new();
    for evaluation in evaluations {
        let written = serde_json::to_writer(&mut text, evaluation);
        written.map_err(|error| StoreError::io("write", path)(error.into()))?;
        text.push(b'\n');
    }
    Ok(text)
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_dir_all(temporary);
        }
    }
}

/// Whether a run folder can be put at `place`: nothing is there, or an empty folder.
fn free(place: &Path) -> Result<(), StoreError> {
    let taken = || StoreError::NotEmpty { path: place.into() };
    match fs::read_dir(place).map(|mut entries| entries.next().is_none()) {
        Ok(is_empty) => is_empty.then_some(()).ok_or_else(taken),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Err(taken()),
        Err(error) => Err(StoreError::io("read", place)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::sample::manifest;
    use crate::record::sample;
    use crate::store::{RunFolder, read_evaluations, read_manifest, read_records};

    #[test]
    fn nothing_is_in_its_place_until_all_is() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("runs/merged");
        let new = NewFolder::create(&place).unwrap();
        let mut records = new.records().unwrap();
        records.append(&serde_json::to_vec(&sample::ok()).unwrap()).unwrap();
        assert!(!place.exists());
        drop((records, new));
        assert_eq!(fs::read_dir(root.path().join("runs")).unwrap().count(), 0);

        let new = NewFolder::create(&place).unwrap();
        let mut records = new.records().unwrap();
        records.append(&serde_json::to_vec(&sample::ok()).unwrap()).unwrap();
        records.finish().unwrap();
        let evaluation = crate::accuracy::sample::degraded("candle");
        new.commit(&manifest(1), std::slice::from_ref(&evaluation)).unwrap();
        assert_eq!(read_records(&place).unwrap().records, [sample::ok()]);
        assert_eq!(read_evaluations(&place).unwrap().evaluations, [evaluation]);
        assert_eq!(read_manifest(&place).unwrap().planned_runs, 1);
        RunFolder::open(&place).unwrap();
        assert_eq!(fs::read_dir(root.path().join("runs")).unwrap().count(), 1);
    }

    #[test]
    fn only_an_empty_place_is_taken() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("empty")).unwrap();
        fs::create_dir_all(root.path().join("full/sub")).unwrap();
        fs::write(root.path().join("file"), "x").unwrap();
        let place = root.path().join("empty");
        NewFolder::create(&place).unwrap().commit(&manifest(0), &[]).unwrap();
        read_manifest(&place).unwrap();
        for taken in ["full", "file", "empty"] {
            let message = NewFolder::create(&root.path().join(taken)).unwrap_err().to_string();
            assert!(message.contains(taken) && message.contains("another --out"), "{message}");
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 3);
    }
}
