//! The run folder: `manifest.json`, `records.jsonl`, `run.lock` and `logs/`.
//!
//! [`RunFolder`] is the one writer: it holds the folder's lock, and a record is on the disk when
//! [`append`](RunFolder::append) returns. [`read_manifest`] and [`read_records`] take no lock and change nothing, so a
//! folder can be read while a matrix still runs in it. What a crash can leave behind, and nothing else, is one torn
//! last line: readers leave it out, the next writer cuts it off.

mod atomic;
mod error;
mod folder;
mod log;
mod read;

pub use atomic::write_atomic;
pub use error::StoreError;
pub use folder::RunFolder;
pub use read::{Records, read_manifest, read_records};

const MANIFEST: &str = "manifest.json";
const RECORDS: &str = "records.jsonl";
const LOCK: &str = "run.lock";
const LOGS: &str = "logs";
