//! How a worker process is started.

use crate::telemetry::{Instruments, Series};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// How to start a worker.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// The program; itself, as a rule.
    pub program: PathBuf,
    /// Environment variables on top of the host's.
    pub env: BTreeMap<String, String>,
    /// Where its output goes.
    pub log: PathBuf,
    /// Most memory it may allocate, MiB.
    pub memory_limit_mb: Option<u64>,
    /// What is read beside it while it works.
    pub instruments: Arc<Instruments>,
    /// Where what it uses over time is written.
    pub series: Option<Series>,
}
