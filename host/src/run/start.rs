//! How workers are started for this run.

use crate::worker::{InlineWorker, Lost, ProcessWorker, Worker, WorkerSettings};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

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
}

impl Starter {
    /// Processes of this very program, without a memory limit.
    ///
    /// # Errors
    /// Where the program cannot tell where it lies.
    pub fn new(logs: &Path) -> io::Result<Self> {
        let program = std::env::current_exe()
            .map_err(|e| io::Error::new(e.kind(), format!("find this program's own file: {e}")))?;
        Ok(Self { isolation: Isolation::Process, program, logs: logs.into(), memory_limit_mb: None })
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
        if self.isolation == Isolation::None {
            return Ok(Ok(Box::new(InlineWorker::default())));
        }
        let settings = WorkerSettings {
            program: self.program.clone(),
            env: env.clone(),
            log: self.free_log(name),
            memory_limit_mb: self.memory_limit_mb,
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
