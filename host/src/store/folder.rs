//! The one writer of a run folder.

use super::atomic::{sync_folder, write_atomic};
use super::lock::lock;
use super::log::{LineLog, whole_lines};
use super::{ACCURACY, GPU, LOCK, LOGS, MANIFEST, RECORDS, SeriesWriter, StoreError, TELEMETRY};
use crate::accuracy::Evaluation;
use crate::manifest::Manifest;
use crate::record::Record;
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

/// A run folder that this process, and no other, writes to. The lock goes when the process ends, however it ends.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    records: LineLog<File>,
    /// Opened with the first line: most runs have none.
    evaluations: Option<LineLog<File>>,
    /// Held, not read: closing it gives the lock back.
    _lock: File,
}

impl RunFolder {
    /// A new run in `path`, which is made where it is missing.
    ///
    /// # Errors
    /// A folder that holds records or that another host writes to; what the system refused.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(StoreError::io("create", path))?;
        is_plain(path)?;
        let lock = lock(path)?;
        let held = |name: &str| fs::metadata(path.join(name)).map_or(0, |file| file.len());
        if held(RECORDS) > 0 || held(ACCURACY) > 0 {
            return Err(StoreError::HoldsRecords { path: path.into() });
        }
        Self::locked(path, lock)
    }

    /// An earlier run in `path`, to go on with. A torn last record is cut off.
    ///
    /// # Errors
    /// A folder that is no run folder or that another host writes to; what the system refused.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        fs::metadata(path).map_err(StoreError::io("open", path))?;
        if !path.join(MANIFEST).is_file() {
            return Err(StoreError::NotARunFolder { path: path.into(), missing: MANIFEST });
        }
        is_plain(path)?;
        let lock = lock(path)?;
        Self::locked(path, lock)
    }

    fn locked(path: &Path, lock: File) -> Result<Self, StoreError> {
        let logs = path.join(LOGS);
        fs::create_dir_all(&logs).map_err(StoreError::io("create", &logs))?;
        let records = line_log(&path.join(RECORDS))?;
        sync_folder(path)?;
        Ok(Self { path: path.into(), records, evaluations: None, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where workers' logs go; exists.
    pub fn logs_dir(&self) -> PathBuf {
        self.path.join(LOGS)
    }

    /// What workers use over time goes here.
    pub fn series(&self) -> SeriesWriter {
        SeriesWriter::new(&self.path)
    }

    /// Writes or replaces the manifest.
    ///
    /// # Errors
    /// What the system refused; the manifest that was there is then untouched.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let path = self.path.join(MANIFEST);
        let text = manifest_text(manifest, &path)?;
        write_atomic(&path, &text)
    }

    /// Adds a record. It is on the disk when this returns.
    ///
    /// # Errors
    /// What the system refused; the file then holds the records before this one.
    pub fn append(&mut self, record: &Record) -> Result<(), StoreError> {
        append(&mut self.records, record)
            .map_err(|source| StoreError::Append { path: self.path.join(RECORDS), source })
    }

    /// Adds records and the manifest that counts them: all of them, or none.
    ///
    /// # Errors
    /// What the system refused.
    pub fn append_all(&mut self, records: &[Record], manifest: &Manifest) -> Result<(), StoreError> {
        let failed = |source| StoreError::Append { path: self.path.join(RECORDS), source };
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record).map_err(|error| failed(error.into()))?;
            lines.push(b'\n');
        }
        self.records.append(&lines).map_err(failed)?;
        self.write_manifest(manifest).inspect_err(|_| self.records.take_back(lines.len()))
    }

    /// Adds an evaluation. It is on the disk when this returns.
    ///
    /// # Errors
    /// What the system refused; the file then holds the evaluations before this one.
    pub fn append_evaluation(&mut self, evaluation: &Evaluation) -> Result<(), StoreError> {
        let path = self.path.join(ACCURACY);
        let log = match &mut self.evaluations {
            Some(log) => log,
            none => {
                let log = line_log(&path)?;
                sync_folder(&self.path)?;
                none.insert(log)
            }
        };
        append(log, evaluation).map_err(|source| StoreError::Append { path, source })
    }
}

/// A run folder may come from elsewhere: what is written in it must neither go through a link nor wait for a pipe.
fn is_plain(folder: &Path) -> Result<(), StoreError> {
    let logs = folder.join(LOGS);
    let own = [LOCK, RECORDS, ACCURACY, TELEMETRY, GPU, LOGS].map(|name| folder.join(name));
    let logs = fs::read_dir(&logs).into_iter().flatten().flatten().map(|entry| entry.path());
    own.into_iter().chain(logs).try_for_each(|path| plain(&path))
}

/// # Errors
/// Something at `path` that is neither a file nor a folder.
pub(crate) fn plain(path: &Path) -> Result<(), StoreError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() && !found.is_dir() => Err(StoreError::NotPlain { path: path.into() }),
        _ => Ok(()),
    }
}

/// As it is in the file at `path`.
pub(super) fn manifest_text(manifest: &Manifest, path: &Path) -> Result<Vec<u8>, StoreError> {
    let text =
        serde_json::to_vec_pretty(manifest).map_err(|error| StoreError::io("write", path)(error.into()));
    text.map(|mut text| {
        text.push(b'\n');
        text
    })
}

/// The file of lines at `path`, made where it is missing; a torn last line is cut off.
fn line_log(path: &Path) -> Result<LineLog<File>, StoreError> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .map_err(StoreError::io("open", path))?;
    let bytes = fs::read(path).map_err(StoreError::io("read", path))?;
    LineLog::new(file, whole_lines(&bytes) as u64).map_err(StoreError::io("mend", path))
}

fn append<T: Serialize>(log: &mut LineLog<File>, record: &T) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    log.append(&line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::sample::manifest;
    use crate::record::{DegradedKind, sample};
    use crate::store::{read_manifest, read_records};
    use std::io::Write;

    #[test]
    fn what_is_written_is_read_again() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("runs/quick");
        let mut folder = RunFolder::create(&path).unwrap();
        folder.write_manifest(&manifest(2)).unwrap();
        let written = [sample::generated(), sample::degraded(DegradedKind::Crashed, "two\nlines")];
        for record in &written {
            folder.append(record).unwrap();
        }
        assert!(folder.logs_dir().is_dir());
        assert_eq!(read_manifest(&path).unwrap().planned_runs, 2);
        let found = read_records(&path).unwrap();
        assert_eq!((found.records.as_slice(), found.torn), (written.as_slice(), false));
    }

    #[test]
    fn a_second_writer_is_refused_until_the_first_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let first = RunFolder::create(root.path()).unwrap();
        first.write_manifest(&manifest(1)).unwrap();
        let message = RunFolder::open(root.path()).unwrap_err().to_string();
        assert!(message.contains("another inferhost is writing"), "{message}");
        drop(first);
        RunFolder::open(root.path()).unwrap();
    }

    #[test]
    fn records_are_never_mixed_with_another_runs() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = RunFolder::create(root.path()).unwrap();
        folder.append(&sample::ok()).unwrap();
        drop(folder);
        let message = RunFolder::create(root.path()).unwrap_err().to_string();
        assert!(message.contains("--resume") && message.contains("--out"), "{message}");
        assert_eq!(read_records(root.path()).unwrap().records.len(), 1);
    }

    #[test]
    fn resuming_cuts_a_torn_line_off() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = RunFolder::create(root.path()).unwrap();
        folder.write_manifest(&manifest(2)).unwrap();
        folder.append(&sample::ok()).unwrap();
        drop(folder);
        let mut file = OpenOptions::new().append(true).open(root.path().join(RECORDS)).unwrap();
        file.write_all(b"{\"schema\":1,\"cell\":\"9f").unwrap();

        let mut folder = RunFolder::open(root.path()).unwrap();
        folder.append(&sample::generated()).unwrap();
        let found = read_records(root.path()).unwrap();
        assert_eq!((found.records.len(), found.torn), (2, false));
    }

    #[test]
    fn a_folder_that_is_none_cannot_be_resumed() {
        let root = tempfile::tempdir().unwrap();
        let message = RunFolder::open(root.path()).unwrap_err().to_string();
        assert!(message.contains("no manifest.json"), "{message}");
        let message = RunFolder::open(&root.path().join("gone")).unwrap_err().to_string();
        assert!(message.contains("open") && message.contains("gone"), "{message}");
    }
}
