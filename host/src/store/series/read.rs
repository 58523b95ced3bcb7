//! Reading rows one after the other, however many there are.

use super::{COLUMNS, GPU_COLUMNS};
use crate::record::{GpuRow, SeriesRow};
use crate::store::{GPU, StoreError, TELEMETRY};
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

/// A longer line is no row of ours, and is not held in memory.
const LONGEST: u64 = 8 << 10;

/// What was found beside rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeriesRead {
    /// Lines that are no rows and were left out; a torn last one is not counted.
    pub malformed: u64,
    /// The number of the first of them, from 1.
    pub first_malformed: Option<u64>,
}

/// Hands every row of `telemetry.csv` in the run folder at `folder` to `each`; none where there is no such file.
///
/// # Errors
/// What the system refused.
pub fn read_series(folder: &Path, each: impl FnMut(SeriesRow)) -> Result<Option<SeriesRead>, StoreError> {
    read(&folder.join(TELEMETRY), COLUMNS, each)
}

/// The same of `gpu.csv`.
///
/// # Errors
/// What the system refused.
pub fn read_gpu_series(folder: &Path, each: impl FnMut(GpuRow)) -> Result<Option<SeriesRead>, StoreError> {
    read(&folder.join(GPU), GPU_COLUMNS, each)
}

fn read<T: DeserializeOwned>(
    path: &Path,
    columns: &str,
    mut each: impl FnMut(T),
) -> Result<Option<SeriesRead>, StoreError> {
    let Some(file) = open(path)? else { return Ok(None) };
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut found, mut line, mut number) = (SeriesRead::default(), Vec::new(), 0);
    while next_line(&mut reader, &mut line).map_err(StoreError::io("read", path))? {
        number += 1;
        // The last line may be torn, or be written right now.
        if !line.ends_with(b"\n") && line.len() < LONGEST as usize {
            break;
        }
        match parse(&line) {
            Some(row) => each(row),
            None if number == 1 && line == columns.as_bytes() => {}
            None => {
                found.malformed += 1;
                found.first_malformed.get_or_insert(number);
            }
        }
    }
    Ok(Some(found))
}

/// None where there is no file. A device or a pipe in its place has no end.
pub(super) fn open(path: &Path) -> Result<Option<File>, StoreError> {
    match fs::metadata(path) {
        Ok(file) if file.is_file() => File::open(path).map(Some).map_err(StoreError::io("read", path)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

/// Reads the next line, of one that is too long the beginning alone; false at the end.
pub(super) fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    Read::by_ref(reader).take(LONGEST).read_until(b'\n', line)?;
    if line.len() as u64 == LONGEST && !line.ends_with(b"\n") {
        reader.skip_until(b'\n')?;
    }
    Ok(!line.is_empty())
}

pub(super) fn parse<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).buffer_capacity(512).from_reader(line);
    reader.deserialize().next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::super::sample::{gpu_row, row};
    use super::*;
    use crate::store::SeriesWriter;

    fn rows(folder: &Path) -> (Vec<i64>, Option<SeriesRead>) {
        let mut found = Vec::new();
        let read = read_series(folder, |row| found.push(row.t_ms)).unwrap();
        (found, read)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(rows(folder.path()), (vec![], None));
        let writer = SeriesWriter::new(folder.path());
        let written: Vec<SeriesRow> = (0..1_000).map(row).collect();
        written.iter().for_each(|row| writer.add(row, &[gpu_row(row.t_ms)]));
        writer.flush();
        let (mut found, mut gpus) = (Vec::new(), Vec::new());
        assert_eq!(read_series(folder.path(), |row| found.push(row)).unwrap(), Some(SeriesRead::default()));
        read_gpu_series(folder.path(), |row| gpus.push(row)).unwrap();
        assert_eq!((found, gpus), (written, (0..1_000).map(gpu_row).collect()));
    }

    #[test]
    fn malformed_lines_are_counted_and_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let line = |t_ms| format!("{t_ms},42,m,b,w,run,,,,,,,,,\n");
        let long = "9".repeat(3 * LONGEST as usize);
        for (text, expected, malformed, first) in [
            (String::new(), vec![], 0, None),
            (format!("{COLUMNS}{}{}", line(1), line(2)), vec![1, 2], 0, None),
            (format!("{COLUMNS}{}2,42,m,b", line(1)), vec![1], 0, None),
            (format!("{COLUMNS}nonsense\n{}", line(2)), vec![2], 1, Some(2)),
            (format!("{}{COLUMNS}{}", line(1), line(2)), vec![1, 2], 1, Some(2)),
            (format!("{COLUMNS}{long}\n{}\n\0\0\n{}", line(1), line(2)), vec![1, 2], 3, Some(2)),
            (format!("{COLUMNS}{}{long}", line(1)), vec![1], 1, Some(3)),
            (format!("{COLUMNS}1,42,m,b,w,flying,,,,,,,,,\n{}", line(2)), vec![2], 1, Some(2)),
        ] {
            fs::write(folder.path().join(TELEMETRY), &text).unwrap();
            let read = Some(SeriesRead { malformed, first_malformed: first });
            assert_eq!(rows(folder.path()), (expected, read), "{text:.60}");
        }
    }
}
