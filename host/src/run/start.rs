//! How workers are started for this run.

use crate::store::SeriesWriter;
use crate::telemetry::{Instruments, Series};
use crate::worker::{InlineWorker, Lost, ProcessWorker, Worker, WorkerSettings};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whether workers are processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Every worker is a process of its own.
    Process,
    /// Everything happens in the host, for a debugger: no deadline, and a crash takes the host along.
    None,
}

/// Makes workers.
#[derive(Debug, Clone)]
pub struct Starter {
    /// Whether they are processes.
    pub isolation: Isolation,
    /// The program that serves as worker.
    pub program: PathBuf,
    /// Where their logs go.
    pub logs: PathBuf,
    /// Most memory of one, MiB.
    pub memory_limit_mb: Option<u64>,
    /// What is read beside all of them while they work.
    pub instruments: Arc<Instruments>,
    /// Where what they use over time is written.
    pub series: Option<SeriesWriter>,
}

/// Whose runs a worker makes.
#[derive(Debug, Clone, Copy)]
pub struct Serves<'a> {
    /// The model's name.
    pub model: &'a str,
    /// The backend's name.
    pub backend: &'a str,
}

impl Starter {
    /// Processes of this very program, without a memory limit.
    ///
    /// # Errors
    /// Where the program cannot tell where it lies.
    pub fn new(logs: &Path) -> io::Result<Self> {
        let program = std::env::current_exe()
            .map_err(|e| io::Error::new(e.kind(), format!("find this program's own file: {e}")))?;
        let (isolation, logs) = (Isolation::Process, logs.into());
        let instruments = Arc::default();
        Ok(Self { isolation, program, logs, memory_limit_mb: None, instruments, series: None })
    }

    /// A worker whose output goes to `<logs>/<name>.log`, or the next free name like it.
    ///
    /// # Errors
    /// The outer error is the host's own trouble, the inner one a worker that did not come up.
    pub fn start(
        &self,
        name: &str,
        env: &BTreeMap<String, String>,
    ) -> io::Result<Result<Box<dyn Worker>, Lost>> {
        self.start_for(name, env, None)
    }

    /// As [`start`](Self::start); where it `serves` a model and a backend, what it uses over time is written down.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_for(
        &self,
        name: &str,
        env: &BTreeMap<String, String>,
        serves: Option<Serves<'_>>,
    ) -> io::Result<Result<Box<dyn Worker>, Lost>> {
        if self.isolation == Isolation::None {
            return Ok(Ok(Box::new(InlineWorker::default())));
        }
        let log = self.free_log(name);
        let worker = log.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let series = serves.zip(self.series.clone()).map(|(serves, writer)| Series {
            writer,
            model: serves.model.into(),
            backend: serves.backend.into(),
            worker,
        });
        let settings = WorkerSettings {
            program: self.program.clone(),
            env: env.clone(),
            log,
            memory_limit_mb: self.memory_limit_mb,
            instruments: Arc::clone(&self.instruments),
            series,
        };
        let started = ProcessWorker::start(&settings)
            .map_err(|e| io::Error::new(e.kind(), format!("start a worker process: {e}")))?;
        Ok(started.map(|worker| Box::new(worker) as Box<dyn Worker>))
    }

    fn free_log(&self, name: &str) -> PathBuf {
        let numbered = |n: u32| self.logs.join(format!("{name}-{n}.log"));
        let plain = self.logs.join(format!("{name}.log"));
        std::iter::once(plain)
            .chain((2..).map(numbered))
            .find(|path| !path.exists())
            .unwrap_or_else(|| numbered(0))
    }
}
