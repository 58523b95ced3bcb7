//! The directory of a ZIP file, and the entries in it that are stored uncompressed. PyTorch aligns and stores all but
//! source code, so this is all that its files need; 64-bit sizes included.

use super::REMEDY;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// How far from the end the directory's trailer may lie: its own length and that of the longest comment.
const TRAILER: u64 = 22 + 0xffff;
/// Larger directories and entries are of damaged files.
const MOST: u64 = 64 << 20;

/// An open ZIP file.
pub(super) struct Archive {
    file: File,
    length: u64,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    stored: bool,
    bytes: u64,
    /// Where its own header begins.
    header: u64,
}

impl Archive {
    /// Reads the directory.
    ///
    /// # Errors
    /// A text that fits after the file's path.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let cannot = |e: std::io::Error| format!("cannot be read: {e}");
        let mut file = File::open(path).map_err(cannot)?;
        let length = file.metadata().map_err(cannot)?.len();
        let start = read_at(&mut file, 0, 4.min(length))?;
        if start != *b"PK\x03\x04" {
            return Err(format!("is no program of PyTorch: it is not a ZIP archive; {REMEDY}"));
        }
        let directory = directory(&mut file, length)?.ok_or_else(|| {
            format!("is cut short or damaged: a ZIP archive of {length} bytes without its directory; copy or export it again")
        })?;
        let entries = entries(&directory)
            .ok_or("is damaged: its ZIP directory is malformed; copy or export it again")?;
        Ok(Self { file, length, entries })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Names of all entries.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The content of an entry.
    ///
    /// # Errors
    /// A text that fits after the file's path.
    pub(super) fn read(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let entry = *self.entries.get(name).ok_or_else(|| format!("holds no {name}"))?;
        if !entry.stored || entry.bytes > MOST.min(self.length) {
            return Err(format!("holds a {name} of {} bytes that cannot be read; {REMEDY}", entry.bytes));
        }
        let header = read_at(&mut self.file, entry.header, 30)?;
        let names = number(&header, 26, 2).zip(number(&header, 28, 2)).map(|(name, extra)| name + extra);
        let names = names.ok_or_else(|| format!("is damaged where {name} begins"))?;
        read_at(&mut self.file, entry.header.saturating_add(30 + names), entry.bytes)
    }
}

/// The bytes of the directory; none where there is none.
fn directory(file: &mut File, length: u64) -> Result<Option<Vec<u8>>, String> {
    let from = length.saturating_sub(TRAILER);
    let tail = read_at(file, from, length - from)?;
    let Some(at) = tail.windows(4).rposition(|bytes| bytes == b"PK\x05\x06") else { return Ok(None) };
    let mut place = number(&tail, at + 12, 4).zip(number(&tail, at + 16, 4));
    if let Some(locator) = at.checked_sub(20).filter(|&at| tail[at..].starts_with(b"PK\x06\x07")) {
        let trailer = number(&tail, locator + 8, 8).unwrap_or(u64::MAX);
        if trailer.saturating_add(56) > length {
            return Ok(None);
        }
        let trailer = read_at(file, trailer, 56)?;
        place = number(&trailer, 40, 8).zip(number(&trailer, 48, 8));
    }
    match place {
        Some((bytes, start)) if bytes <= MOST && start.saturating_add(bytes) <= length => {
            read_at(file, start, bytes).map(Some)
        }
        _ => Ok(None),
    }
}

/// None where it is malformed.
fn entries(directory: &[u8]) -> Option<BTreeMap<String, Entry>> {
    let mut entries = BTreeMap::new();
    let mut rest = directory;
    while !rest.is_empty() {
        if !rest.starts_with(b"PK\x01\x02") {
            return None;
        }
        let field = |at, bytes| number(rest, at, bytes);
        let (name, extra, comment) = (field(28, 2)?, field(30, 2)?, field(32, 2)?);
        let name_end = 46 + usize::try_from(name).ok()?;
        let extra_end = name_end + usize::try_from(extra).ok()?;
        let text = String::from_utf8_lossy(rest.get(46..name_end)?).into_owned();
        let mut wide = Wide::of(rest.get(name_end..extra_end)?);
        // In the order in which the 64-bit ones follow: size, packed size, place.
        let bytes = wide.or(field(24, 4)?)?;
        wide.or(field(20, 4)?)?;
        let header = wide.or(field(42, 4)?)?;
        entries.insert(text, Entry { stored: field(10, 2)? == 0, bytes, header });
        rest = rest.get(extra_end + usize::try_from(comment).ok()?..)?;
    }
    Some(entries)
}

/// The 64-bit numbers of an entry, which stand in its extra field where 32 bits are not enough.
struct Wide<'a>(&'a [u8]);

impl<'a> Wide<'a> {
    fn of(mut extra: &'a [u8]) -> Self {
        while let Some((kind, bytes)) = number(extra, 0, 2).zip(number(extra, 2, 2)) {
            let end = 4 + usize::try_from(bytes).unwrap_or(0);
            let Some(field) = extra.get(4..end) else { break };
            if kind == 1 {
                return Self(field);
            }
            extra = &extra[end..];
        }
        Self(&[])
    }

    fn or(&mut self, narrow: u64) -> Option<u64> {
        if narrow != u64::from(u32::MAX) {
            return Some(narrow);
        }
        let wide = number(self.0, 0, 8)?;
        self.0 = &self.0[8..];
        Some(wide)
    }
}

/// A little-endian number.
fn number(bytes: &[u8], at: usize, count: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + count)?;
    Some(bytes.iter().rev().fold(0, |all, &byte| all << 8 | u64::from(byte)))
}

fn read_at(file: &mut File, at: u64, bytes: u64) -> Result<Vec<u8>, String> {
    let mut read = vec![0; usize::try_from(bytes).unwrap_or(0)];
    let sought = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut read));
    sought.map_err(|e| format!("is cut short or damaged: {e} at byte {at}; copy or export it again"))?;
    Ok(read)
}
