//! Reading a run folder, without its lock and without changing it.

use super::log::whole_lines;
use super::{ACCURACY, MANIFEST, RecordLines, StoreError};
use crate::accuracy::{self, Evaluation};
use crate::manifest::{self, Manifest};
use crate::record::{self, Record, Status};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// The records of a run folder, in the order they were written.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// Every whole one.
    pub records: Vec<Record>,
    /// Whether a torn last line was left out: the host died while it wrote it, or is writing it now.
    pub torn: bool,
}

/// The manifest of the run folder at `folder`.
///
/// # Errors
/// A folder without one, text that is none, a schema newer than this host.
pub fn read_manifest(folder: &Path) -> Result<Manifest, StoreError> {
    let bytes = read_file(folder, MANIFEST)?;
    let path = folder.join(MANIFEST);
    check_schema(&bytes, &path, manifest::SCHEMA)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| StoreError::MalformedManifest { path, reason: error.to_string() })
}

/// The evaluations of a run folder, in the order they were written.
#[derive(Debug, Clone, Default)]
pub struct Evaluations {
    /// Every whole one.
    pub evaluations: Vec<Evaluation>,
    /// Whether a torn last line was left out.
    pub torn: bool,
}

/// The records of the run folder at `folder`.
///
/// # Errors
/// As [`stream_records`].
pub fn read_records(folder: &Path) -> Result<Records, StoreError> {
    let mut records = Vec::new();
    let torn = stream_records(folder, |_, record| records.push(record))?;
    Ok(Records { records, torn })
}

/// Hands every record of the run folder at `folder` to `each` as it is read, with the number of its line from 1, so that
/// a folder may hold more than memory does. Whether a torn last line was left out.
///
/// # Errors
/// A folder without records, a line other than a torn last one that is no record, a schema newer than this host.
pub fn stream_records(folder: &Path, mut each: impl FnMut(usize, Record)) -> Result<bool, StoreError> {
    let mut lines = RecordLines::open(folder)?;
    while let Some(record) = lines.read()? {
        each(lines.number(), record);
    }
    Ok(lines.torn())
}

/// The evaluations of the run folder at `folder`; none where accuracy was not evaluated.
///
/// # Errors
/// A line other than a torn last one that is no evaluation, a schema newer than this host.
pub fn read_evaluations(folder: &Path) -> Result<Evaluations, StoreError> {
    let bytes = match read_file(folder, ACCURACY) {
        Err(StoreError::NotARunFolder { .. }) => return Ok(Evaluations::default()),
        bytes => bytes?,
    };
    let (evaluations, torn) = read_lines(&bytes, &folder.join(ACCURACY), read_evaluation)?;
    Ok(Evaluations { evaluations, torn })
}

/// Every whole line, and whether the last is torn.
fn read_lines<T>(
    bytes: &[u8],
    path: &Path,
    read: fn(&[u8], usize, &Path) -> Result<T, StoreError>,
) -> Result<(Vec<T>, bool), StoreError> {
    let whole = &bytes[..whole_lines(bytes)];
    let mut found = Vec::new();
    for (index, line) in whole.split(|&byte| byte == b'\n').enumerate() {
        if !line.trim_ascii().is_empty() {
            found.push(read(line, index + 1, path)?);
        }
    }
    Ok((found, whole.len() < bytes.len()))
}

fn read_file(folder: &Path, name: &'static str) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    let mut file = open_file(folder, name)?;
    file.read_to_end(&mut bytes).map_err(StoreError::io("read", &folder.join(name)))?;
    Ok(bytes)
}

pub(super) fn open_file(folder: &Path, name: &'static str) -> Result<File, StoreError> {
    fs::metadata(folder).map_err(StoreError::io("read", folder))?;
    let path = folder.join(name);
    // Opening a pipe would wait for its writer, and a device has no end.
    if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
        let source = io::Error::new(ErrorKind::InvalidInput, "not a regular file");
        return Err(StoreError::Io { action: "read", path, source });
    }
    File::open(&path).map_err(|source| match source.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            StoreError::NotARunFolder { path: folder.into(), missing: name }
        }
        _ => StoreError::Io { action: "read", path, source },
    })
}

pub(super) fn read_record(line: &[u8], number: usize, path: &Path) -> Result<Record, StoreError> {
    let malformed = |reason: String| StoreError::MalformedRecord { path: path.into(), line: number, reason };
    let record = match serde_json::from_slice::<Record>(line) {
        Ok(record) if record.schema == record::SCHEMA => record,
        Ok(other) => return Err(other_schema(other.schema, path, record::SCHEMA)),
        Err(error) => {
            // A newer record need not fit today's fields, and then that is the thing to say.
            check_schema(line, path, record::SCHEMA)?;
            return Err(malformed(error.to_string()));
        }
    };
    match (record.status, &record.degraded) {
        (Status::Ok, None) if !record.latency_ms.is_some_and(|latency| latency > 0.0) => {
            Err(malformed("status is ok, yet latency_ms is no time above 0".into()))
        }
        (Status::Ok, None) | (Status::Degraded, Some(_)) => Ok(record),
        (Status::Ok, Some(_)) => Err(malformed("status is ok, yet degraded holds a reason".into())),
        (Status::Degraded, None) => Err(malformed("status is degraded, yet degraded is null".into())),
    }
}

fn read_evaluation(line: &[u8], number: usize, path: &Path) -> Result<Evaluation, StoreError> {
    check_schema(line, path, accuracy::SCHEMA)?;
    let malformed = |reason: String| StoreError::MalformedRecord { path: path.into(), line: number, reason };
    let found: Evaluation = serde_json::from_slice(line).map_err(|error| malformed(error.to_string()))?;
    if found.figures.is_some() == found.degraded.is_some() {
        return Err(malformed("it must have either figures or a degraded reason".into()));
    }
    Ok(found)
}

fn check_schema(json: &[u8], path: &Path, known: u32) -> Result<(), StoreError> {
    #[derive(Deserialize)]
    struct Versioned {
        schema: u32,
    }
    match serde_json::from_slice::<Versioned>(json) {
        Ok(Versioned { schema: found }) if found != known => Err(other_schema(found, path, known)),
        _ => Ok(()),
    }
}

/// There has been one schema: fields added to it have defaults, so what an older host of it wrote is read as it is.
fn other_schema(found: u32, path: &Path, known: u32) -> StoreError {
    let path = path.into();
    match found > known {
        true => StoreError::NewerSchema { path, found, known },
        false => StoreError::OlderSchema { path, found, known },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;
    use crate::store::RECORDS;

    fn folder_with(records: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(RECORDS), records).unwrap();
        folder
    }

    fn line() -> String {
        serde_json::to_string(&sample::ok()).unwrap()
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_the_file_stays_as_it_is() {
        let torn = format!("{0}\n{0}\n{{\"schema\":1,\"ce", line());
        let folder = folder_with(&torn);
        let found = read_records(folder.path()).unwrap();
        assert_eq!((found.records.len(), found.torn), (2, true));
        assert_eq!(fs::read_to_string(folder.path().join(RECORDS)).unwrap(), torn);
    }

    #[test]
    fn evaluations_may_be_absent_and_torn_but_not_malformed() {
        use crate::accuracy::{Verdict, sample};
        let folder = tempfile::tempdir().unwrap();
        assert!(read_evaluations(folder.path()).unwrap().evaluations.is_empty());
        let line = |of: &Evaluation| serde_json::to_string(of).unwrap();
        let written = [sample::evaluation("ort", Verdict::Baseline, 0.0), sample::degraded("candle")];
        let path = folder.path().join(ACCURACY);
        fs::write(&path, format!("{}\n{}\n{{\"sch", line(&written[0]), line(&written[1]))).unwrap();
        let found = read_evaluations(folder.path()).unwrap();
        assert_eq!((found.evaluations.as_slice(), found.torn), (written.as_slice(), true));
        let neither = Evaluation { degraded: None, ..sample::degraded("candle") };
        for (bad, part) in [
            (line(&neither), "line 1 is no record"),
            (line(&written[0]).replace("\"schema\":1", "\"schema\":2"), "schema is 2"),
        ] {
            fs::write(&path, format!("{bad}\n{}\n", line(&written[0]))).unwrap();
            let message = read_evaluations(folder.path()).unwrap_err().to_string();
            assert!(message.contains("accuracy.jsonl") && message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_malformed_line_before_the_last_is_named() {
        let folder = folder_with(&format!("{0}\nnonsense\n{0}\n", line()));
        let message = read_records(folder.path()).unwrap_err().to_string();
        assert!(message.contains("records.jsonl: line 2 is no record"), "{message}");
    }

    #[test]
    fn a_record_that_contradicts_itself_is_refused() {
        let folder = folder_with(&format!("{}\n", line().replace("\"ok\"", "\"degraded\"")));
        let message = read_records(folder.path()).unwrap_err().to_string();
        assert!(message.contains("line 1") && message.contains("degraded is null"), "{message}");
    }

    #[test]
    fn a_newer_schema_asks_for_an_upgrade() {
        for newer in [line().replace("\"schema\":1", "\"schema\":2"), "{\"schema\":2}".into()] {
            let folder = folder_with(&format!("{newer}\n{}\n", line()));
            let message = read_records(folder.path()).unwrap_err().to_string();
            assert!(message.contains("schema is 2") && message.contains("upgrade"), "{message}");
        }
    }

    #[test]
    fn an_older_schema_is_said_to_be_none() {
        let folder = folder_with(&format!("{}\n", line().replace("\"schema\":1", "\"schema\":0")));
        let message = read_records(folder.path()).unwrap_err().to_string();
        assert!(message.contains("schema is 0") && message.contains("run the matrix again"), "{message}");
    }

    #[test]
    fn lines_are_numbered_as_in_the_file() {
        let folder = folder_with(&format!("{0}\n\n{0}\n", line()));
        let mut numbers = Vec::new();
        assert!(!stream_records(folder.path(), |number, _| numbers.push(number)).unwrap());
        assert_eq!(numbers, [1, 3]);
    }

    #[test]
    fn a_folder_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let message = read_manifest(folder.path()).unwrap_err().to_string();
        assert!(message.contains("there is no manifest.json in it"), "{message}");
        let message = read_manifest(&folder.path().join("gone")).unwrap_err().to_string();
        assert!(message.contains("gone"), "{message}");

        fs::write(folder.path().join(MANIFEST), "{}").unwrap();
        let message = read_manifest(folder.path()).unwrap_err().to_string();
        assert!(message.contains("missing field"), "{message}");
    }
}
