//! The run folder: `manifest.json`, `records.jsonl`, `accuracy.jsonl` where accuracy was evaluated, `telemetry.csv` and
//! `gpu.csv` with what workers used over time, `run.lock` and `logs/`.
//!
//! [`RunFolder`] is the one writer: it holds the folder's lock, and a record is on the disk when
//! [`append`](RunFolder::append) returns. [`read_manifest`], [`read_records`] and [`read_evaluations`] take no lock and
//! change nothing, so a folder can be read while a matrix still runs in it; [`RecordLines`] reads without holding all
//! records, and [`hold`] keeps writers out meanwhile. What a crash can leave behind, and nothing else, is one torn
//! last line: readers leave it out, the next writer cuts it off. A [`NewFolder`] is written in one go.

mod atomic;
mod error;
mod folder;
mod lines;
mod lock;
mod log;
mod new;
mod read;
mod series;

pub use atomic::write_atomic;
pub use error::StoreError;
pub use folder::RunFolder;
pub(crate) use folder::plain;
pub use lines::RecordLines;
pub use lock::{Held, hold};
pub use new::{NewFolder, NewRecords};
pub use read::{Evaluations, Records, read_evaluations, read_manifest, read_records, stream_records};
pub use series::{JoinedSeries, SeriesRead, SeriesWriter, read_gpu_series, read_series};

const MANIFEST: &str = "manifest.json";
const RECORDS: &str = "records.jsonl";
const ACCURACY: &str = "accuracy.jsonl";
const TELEMETRY: &str = "telemetry.csv";
const GPU: &str = "gpu.csv";
const LOCK: &str = "run.lock";
const LOGS: &str = "logs";
