//! The series of several run folders one after the other, for the folder they are merged into. A row tells its worker and
//! its time, so a row that is there already is a copy.

use super::read::{next_line, open, parse};
use super::{COLUMNS, GPU_COLUMNS};
use crate::record::{GpuRow, SeriesRow};
use crate::store::{GPU, StoreError, TELEMETRY};
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The series of a folder in the making.
#[derive(Debug)]
pub struct JoinedSeries {
    files: [Joined; 2],
}

#[derive(Debug)]
struct Joined {
    name: &'static str,
    columns: &'static str,
    is_row: fn(&[u8]) -> bool,
    path: PathBuf,
    /// Made with the first row.
    file: Option<BufWriter<File>>,
    /// Hashes of rows: of 10^7 no two will be the same by chance but once in 10^5 merges.
    seen: HashSet<u64>,
}

impl JoinedSeries {
    pub(in crate::store) fn new(folder: &Path) -> Self {
        let joined = |name: &'static str, columns, is_row| Joined {
            name,
            columns,
            is_row,
            path: folder.join(name),
            file: None,
            seen: HashSet::new(),
        };
        Self {
            files: [
                joined(TELEMETRY, COLUMNS, is_row::<SeriesRow>),
                joined(GPU, GPU_COLUMNS, is_row::<GpuRow>),
            ],
        }
    }

    /// Adds what the run folder at `part` has; which of its files were left out, for they have other columns.
    ///
    /// # Errors
    /// What the system refused.
    pub fn add(&mut self, part: &Path) -> Result<Vec<PathBuf>, StoreError> {
        let mut left_out = Vec::new();
        for joined in &mut self.files {
            let path = part.join(joined.name);
            if !joined.add(&path)? {
                left_out.push(path);
            }
        }
        Ok(left_out)
    }

    /// All rows are on the disk when this returns.
    ///
    /// # Errors
    /// What the system refused.
    pub fn finish(self) -> Result<(), StoreError> {
        for Joined { path, file, .. } in self.files {
            if let Some(mut file) = file {
                let synced = file.flush().and_then(|()| file.get_ref().sync_all());
                synced.map_err(StoreError::io("write", &path))?;
            }
        }
        Ok(())
    }
}

fn is_row<T: DeserializeOwned>(line: &[u8]) -> bool {
    parse::<T>(line).is_some()
}

impl Joined {
    /// False where the file at `from` has other columns.
    fn add(&mut self, from: &Path) -> Result<bool, StoreError> {
        let Some(file) = open(from)? else { return Ok(true) };
        let (mut reader, mut line, mut is_first) = (BufReader::new(file), Vec::new(), true);
        while next_line(&mut reader, &mut line).map_err(StoreError::io("read", from))? {
            if is_first && line != self.columns.as_bytes() {
                return Ok(false);
            }
            // Not a torn line, nor what the report would leave out.
            if !is_first && line.ends_with(b"\n") && (self.is_row)(&line) {
                self.append(&line)?;
            }
            is_first = false;
        }
        Ok(true)
    }

    fn append(&mut self, line: &[u8]) -> Result<(), StoreError> {
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        if !self.seen.insert(hasher.finish()) {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = File::create(&self.path).map_err(StoreError::io("create", &self.path))?;
                let file = none.insert(BufWriter::new(file));
                file.write_all(self.columns.as_bytes()).map_err(StoreError::io("write", &self.path))?;
                file
            }
        };
        file.write_all(line).map_err(StoreError::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{gpu_row, row};
    use super::*;
    use crate::store::{SeriesWriter, read_gpu_series, read_series};
    use std::fs;

    #[test]
    fn every_row_is_there_once() {
        let root = tempfile::tempdir().unwrap();
        let part = |name: &str, times: &[i64]| {
            let path = root.path().join(name);
            fs::create_dir(&path).unwrap();
            let writer = SeriesWriter::new(&path);
            times.iter().for_each(|&t_ms| writer.add(&row(t_ms), &[gpu_row(t_ms)]));
            writer.flush();
            path
        };
        let parts = [part("a", &[1, 2]), part("b", &[2, 3]), part("none", &[])];
        let torn = fs::read_to_string(parts[0].join(TELEMETRY)).unwrap() + "3,42";
        fs::write(parts[0].join(TELEMETRY), torn).unwrap();
        let odd = part("odd", &[]);
        fs::write(odd.join(GPU), "watts\n9\n").unwrap();
        let out = part("out", &[]);
        let mut joined = JoinedSeries::new(&out);
        for part in &parts {
            assert_eq!(joined.add(part).unwrap(), Vec::<PathBuf>::new());
        }
        assert_eq!(joined.add(&odd).unwrap(), [odd.join(GPU)]);
        joined.finish().unwrap();
        let (mut found, mut gpus) = (Vec::new(), Vec::new());
        let read = read_series(&out, |row| found.push(row.t_ms)).unwrap();
        read_gpu_series(&out, |row| gpus.push(row.t_ms)).unwrap();
        assert_eq!((found, gpus, read.unwrap().malformed), (vec![1, 2, 3], vec![1, 2, 3], 0));
    }

    #[test]
    fn folders_without_series_make_none() {
        let root = tempfile::tempdir().unwrap();
        let mut joined = JoinedSeries::new(root.path());
        joined.add(root.path()).unwrap();
        joined.finish().unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
