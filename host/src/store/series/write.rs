//! Adding rows.

use super::{COLUMNS, GPU_COLUMNS};
use crate::record::{GpuRow, SeriesRow};
use crate::store::log::LineLog;
use crate::store::{GPU, TELEMETRY};
use crate::text::one_line;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes after which rows are written in the middle of a call: of one that lasts for hours, some seconds are not on the
/// disk when the host is killed.
const BUFFER: usize = 8 << 10;

/// The series of one run folder; its copies write to the same files.
#[derive(Debug, Clone)]
pub struct SeriesWriter {
    files: Arc<Mutex<Files>>,
}

#[derive(Debug)]
struct Files {
    workers: Table,
    gpus: Table,
}

impl SeriesWriter {
    /// Into the run folder at `folder`, whose lock the caller holds. Files are made with their first rows.
    pub(in crate::store) fn new(folder: &Path) -> Self {
        let table = |name: &str, columns| Table::new(folder.join(name), columns);
        let files = Files { workers: table(TELEMETRY, COLUMNS), gpus: table(GPU, GPU_COLUMNS) };
        Self { files: Arc::new(Mutex::new(files)) }
    }

    /// Adds a worker's row and those of its GPUs. They reach the file sooner or later, by [`flush`](Self::flush) at the latest.
    pub fn add(&self, row: &SeriesRow, gpus: &[GpuRow]) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let (model, backend, worker) = (one_line(&row.model), one_line(&row.backend), one_line(&row.worker));
        files.workers.add(&SeriesRow { model, backend, worker, ..row.clone() });
        for gpu in gpus {
            let (model, backend, worker) =
                (one_line(&gpu.model), one_line(&gpu.backend), one_line(&gpu.worker));
            files.gpus.add(&GpuRow { model, backend, worker, ..gpu.clone() });
        }
    }

    /// Writes what was added.
    pub fn flush(&self) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.workers.flush();
        files.gpus.flush();
    }

    /// Why rows are missing, where they are.
    pub fn note(&self) -> Option<String> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        [&files.workers, &files.gpus].into_iter().find_map(|table| match &table.state {
            State::Lost(why) => {
                Some(format!("{} ends early ({why}); the runs are whole", table.path.display()))
            }
            _ => None,
        })
    }
}

/// One file.
#[derive(Debug)]
struct Table {
    path: PathBuf,
    columns: &'static str,
    state: State,
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// No row was written yet.
    New,
    Open(LineLog<File>),
    /// Why no row is written any more.
    Lost(String),
}

impl Table {
    fn new(path: PathBuf, columns: &'static str) -> Self {
        Self { path, columns, state: State::New, buffer: Vec::new() }
    }

    fn add(&mut self, row: &impl Serialize) {
        if matches!(self.state, State::Lost(_)) {
            return;
        }
        let mut writer =
            csv::WriterBuilder::new().has_headers(false).buffer_capacity(512).from_writer(Vec::new());
        let line = writer.serialize(row).map_err(io::Error::other);
        match line.and_then(|()| writer.into_inner().map_err(|error| error.into_error())) {
            Ok(line) => self.buffer.extend(line),
            Err(error) => self.lose(&error),
        }
        if self.buffer.len() >= BUFFER {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if let Err(error) = self.write() {
            self.lose(&error);
        }
        self.buffer.clear();
    }

    fn write(&mut self) -> io::Result<()> {
        if matches!(self.state, State::New) {
            self.state = State::Open(open(&self.path, self.columns)?);
        }
        match &mut self.state {
            State::Open(log) => log.append_unsynced(&self.buffer),
            State::New | State::Lost(_) => Ok(()),
        }
    }

    fn lose(&mut self, error: &io::Error) {
        self.state = State::Lost(error.to_string());
        self.buffer.clear();
    }
}

/// The file at `path` after its last whole line, which is that of its columns where it is new.
fn open(path: &Path, columns: &str) -> io::Result<LineLog<File>> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let whole = whole_lines(&mut file)?;
    let mut first = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut Read::by_ref(&mut file).take(whole.min(columns.len() as u64)), &mut first)?;
    if whole > 0 && first != columns.as_bytes() {
        return Err(io::Error::other("an earlier inferhost wrote other columns into it"));
    }
    let mut log = LineLog::new(file, whole)?;
    if whole == 0 {
        log.append_unsynced(columns.as_bytes())?;
    }
    Ok(log)
}

/// Bytes up to the last newline, sought from the end.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    const CHUNK: u64 = 4 << 10;
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        let mut chunk = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        Read::by_ref(file).take(end - start).read_to_end(&mut chunk)?;
        if let Some(at) = chunk.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{gpu_row, row};
    use super::*;
    use std::fs;

    fn write(folder: &Path, t_ms: i64, gpus: &[GpuRow]) -> SeriesWriter {
        let writer = SeriesWriter::new(folder);
        writer.add(&row(t_ms), gpus);
        writer.flush();
        writer
    }

    #[test]
    fn rows_follow_a_line_of_their_columns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(TELEMETRY);
        assert_eq!(SeriesWriter::new(folder.path()).note(), None);
        assert!(!path.exists(), "nothing was sampled yet");
        write(folder.path(), 1, &[]);
        let line = "1,42,\"tiny, small\",ort,tiny-ort-round0,run,212.4,199.0,3,0,,7,0.0,,\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{COLUMNS}{line}"));
        assert!(!folder.path().join(GPU).exists(), "no GPU");
        write(folder.path(), 2, &[gpu_row(2)]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
        let gpu =
            "2,42,\"tiny, small\",ort,tiny-ort-round0,run,1,2000.0,50.0,,71.0,,,sw_power_cap;hw_slowdown\n";
        assert_eq!(fs::read_to_string(folder.path().join(GPU)).unwrap(), format!("{GPU_COLUMNS}{gpu}"));
    }

    #[test]
    fn a_torn_line_is_cut_off_by_the_next_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(TELEMETRY);
        let whole = write(folder.path(), 1, &[]);
        let text = fs::read_to_string(&path).unwrap();
        for torn in ["", "7", "7,42,tiny", &"x".repeat(9 << 10)] {
            fs::write(&path, format!("{text}{torn}")).unwrap();
            write(folder.path(), 2, &[]);
            let found = fs::read_to_string(&path).unwrap();
            assert!(found.starts_with(&text) && found.lines().count() == 3, "{torn}: {found}");
        }
        fs::write(&path, "t_ms,pi").unwrap();
        write(folder.path(), 1, &[]);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(whole.note(), None);
    }

    #[test]
    fn what_cannot_be_written_is_told_once_and_costs_no_run() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(TELEMETRY)).unwrap();
        let writer = write(folder.path(), 1, &[gpu_row(1)]);
        writer.add(&row(2), &[]);
        writer.flush();
        let note = writer.note().unwrap();
        assert!(note.contains(TELEMETRY) && note.contains("the runs are whole"), "{note}");
        assert!(folder.path().join(GPU).exists(), "the other file goes on");
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join(TELEMETRY), "time,watts\n1,2").unwrap();
        let note = write(other.path(), 1, &[]).note().unwrap();
        assert!(note.contains("other columns"), "{note}");
        assert_eq!(fs::read_to_string(other.path().join(TELEMETRY)).unwrap(), "time,watts\n1,2");
    }

    /// A device that is always full.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_ends_the_series() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join(TELEMETRY)).unwrap();
        let writer = write(folder.path(), 1, &[]);
        assert!(writer.note().is_some_and(|note| note.contains("ends early")));
    }
}
