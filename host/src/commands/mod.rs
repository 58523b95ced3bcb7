//! One short function per command: what was typed goes in, text and an exit code come out.

mod artifacts;
mod backends;
mod chosen;
mod compare;
mod conformance;
mod doctor;
mod eval;
mod import;
mod merge;
mod one_off;
mod options;
mod plan;
mod prepare;
mod ready;
mod report;
mod rerun;
mod run;
mod target;

use crate::cli::{Cli, Command};
use crate::error::AppError;
use std::time::Duration;

/// Does what was asked.
///
/// # Errors
/// [`AppError`]: one line and an exit code.
pub fn execute(cli: Cli) -> Result<(), AppError> {
    match cli.command {
        Command::Backends(args) => backends::execute(&args),
        Command::Plan(args) => plan::execute(&args),
        Command::Run(args) => run::execute(&args),
        Command::Rerun(args) => rerun::execute(&args),
        Command::Eval(args) => eval::execute(&args),
        Command::Report(args) => report::execute(&args),
        Command::Merge(args) => merge::execute(&args),
        Command::Import(args) => import::execute(&args),
        Command::Compare(args) => compare::execute(&args),
        Command::Prefill(args) => one_off::prefill(&args),
        Command::Generate(args) => one_off::generate(&args),
        Command::Logprobs(args) => one_off::logprobs(&args),
        Command::Prepare(args) => prepare::execute(&args),
        Command::Artifacts(args) => artifacts::execute(&args),
        Command::Doctor(args) => doctor::execute(&args),
        Command::Conformance(args) => conformance::execute(&args),
        Command::Worker(args) => {
            crate::worker::child::serve(&args.server, args.memory_limit_mb).map_err(AppError::failed)
        }
        Command::Guard(args) => {
            crate::worker::guard::serve(&args.scratch);
            Ok(())
        }
    }
}

/// What `--deadline-s` says.
fn deadline(seconds: f64) -> Result<Duration, AppError> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| AppError::bad_input(format!("--deadline-s {seconds} is no number of seconds")))
}
