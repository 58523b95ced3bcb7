//! The records of a run folder one after the other, for what does not need them all at once.

use super::read::{open_file, read_record};
use super::{RECORDS, StoreError};
use crate::record::Record;
use serde::de::IgnoredAny;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

const BUFFER: usize = 1 << 18;

/// A reader of `records.jsonl` that holds one line at a time. Takes no lock and changes nothing.
#[derive(Debug)]
pub struct RecordLines {
    path: PathBuf,
    reader: BufReader<File>,
    line: Vec<u8>,
    number: usize,
    torn: bool,
}

impl RecordLines {
    /// At the first record of the run folder at `folder`.
    ///
    /// # Errors
    /// A folder without records; what the system refused.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let (path, file) = (folder.join(RECORDS), open_file(folder, RECORDS)?);
        let reader = BufReader::with_capacity(BUFFER, file);
        Ok(Self { path, reader, line: Vec::new(), number: 0, torn: false })
    }

    /// The next whole record; none at the end, or where only a torn last line is left.
    ///
    /// # Errors
    /// A line other than a torn last one that is no record, a schema newer than this host.
    pub fn read(&mut self) -> Result<Option<Record>, StoreError> {
        match self.advance()? {
            true => read_record(self.line(), self.number, &self.path).map(Some),
            false => Ok(None),
        }
    }

    /// Goes to the next line, whatever it holds; false at the end, or where only a torn last line is left.
    ///
    /// # Errors
    /// What the system refused.
    pub fn advance(&mut self) -> Result<bool, StoreError> {
        loop {
            self.line.clear();
            let read = self.reader.read_until(b'\n', &mut self.line);
            if read.map_err(StoreError::io("read", &self.path))? == 0 {
                return Ok(false);
            }
            self.number += 1;
            let is_last = self.reader.fill_buf().map_err(StoreError::io("read", &self.path))?.is_empty();
            if is_last && self.is_torn() {
                self.torn = true;
                return Ok(false);
            }
            if !self.line().is_empty() {
                return Ok(true);
            }
        }
    }

    fn is_torn(&self) -> bool {
        !self.line.ends_with(b"\n") || serde_json::from_slice::<IgnoredAny>(&self.line).is_err()
    }

    /// The line last come to, as it is in the file, without the line break.
    pub fn line(&self) -> &[u8] {
        self.line.trim_ascii()
    }

    /// The number of that line, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Whether a torn last line was left out.
    pub fn torn(&self) -> bool {
        self.torn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;
    use crate::store::read_records;
    use std::fs;

    #[test]
    fn what_is_read_line_by_line_is_what_is_read_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = [sample::ok(), sample::generated()].map(|r| serde_json::to_string(&r).unwrap());
        for (text, torn) in [
            (String::new(), false),
            (format!("{a}\n{b}\n"), false),
            (format!("{a}\n\n{b}\n"), false),
            (format!("{a}\n{b}"), true),
            (format!("{a}\n{{\"schema\":1,\n"), true),
            (format!("{a}\n\0\0\0"), true),
        ] {
            fs::write(folder.path().join(RECORDS), &text).unwrap();
            let mut lines = RecordLines::open(folder.path()).unwrap();
            let mut found = Vec::new();
            while let Some(record) = lines.read().unwrap() {
                assert_eq!(serde_json::to_string(&record).unwrap().as_bytes(), lines.line());
                found.push(record);
            }
            let at_once = read_records(folder.path()).unwrap();
            assert_eq!((&found, lines.torn()), (&at_once.records, torn), "{text}");
            assert_eq!(at_once.torn, torn, "{text}");
        }
    }

    #[test]
    fn a_malformed_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let a = serde_json::to_string(&sample::ok()).unwrap();
        fs::write(folder.path().join(RECORDS), format!("{a}\nnonsense\n{a}\n")).unwrap();
        let mut lines = RecordLines::open(folder.path()).unwrap();
        lines.read().unwrap();
        assert!(lines.read().unwrap_err().to_string().contains("line 2 is no record"));
        let none = RecordLines::open(&folder.path().join("gone")).unwrap_err().to_string();
        assert!(none.contains("gone"), "{none}");
    }
}
