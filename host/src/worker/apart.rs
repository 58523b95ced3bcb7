//! A command of this very program in a process of its own, kept as a worker is: what it prints goes to a log, and at
//! its deadline it ends with everything it started.

use super::Lost;
use super::guard;
use super::process::{Process, WATCH};
use super::scratch::WorkerScratch;
use crate::interrupt;
use crate::record::Stage;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How a command ended by itself.
pub struct Ended {
    /// Its exit code.
    pub exit_code: i32,
    /// The end of what it printed.
    pub last_lines: String,
}

/// A temporary folder that goes with this host, also where that is killed.
///
/// # Errors
/// What the system refused.
pub fn temporary_folder() -> io::Result<WorkerScratch> {
    let program = std::env::current_exe()?;
    guard::scratch(&program).map(|(folder, _)| folder)
}

/// Runs this program with `args`, `deadline` at most; its output goes to the file `log`.
///
/// # Errors
/// The outer error is the host's own trouble; the inner one a command that crashed, was too slow or was interrupted.
pub fn run_apart(args: &[OsString], log: &Path, deadline: Duration) -> io::Result<Result<Ended, Lost>> {
    let program = std::env::current_exe()?;
    let mut process = Process::spawn(&program, args, &BTreeMap::new(), log)?;
    let start = Instant::now();
    while process.wait_for_end(WATCH).is_none() {
        if interrupt::requested() {
            return Ok(Err(Lost::Interrupted));
        }
        if start.elapsed() > deadline {
            return Ok(Err(process.timed_out(Stage::Run, deadline)));
        }
    }
    Ok(match process.exit_code() {
        Some(exit_code) => Ok(Ended { exit_code, last_lines: process.last_lines() }),
        None => Err(process.lost(Stage::Run)),
    })
}
