//! What the program ends with: one line on standard error and a documented exit code.

use crate::report::ReportError;
use crate::store::StoreError;
use crate::text;
use std::fmt::Display;
use std::io::ErrorKind;

/// Characters of a message that are shown.
const MESSAGE_LIMIT: usize = 1000;

/// The exit codes, also in the README.
pub mod exit_code {
    /// Done. Degraded runs are results, not failures.
    pub const DONE: i32 = 0;
    /// The host could not do its work: I/O, no worker process. Or `eval` found a backend that does not pass, or
    /// `compare` a regression.
    pub const FAILED: i32 = 1;
    /// Something the user gave is wrong: command line, config, model, plugin, data. Nothing was run.
    pub const BAD_INPUT: i32 = 2;
    /// The plugin failed: a one-off call or a conformance check failed, or no run of a matrix or no
    /// evaluation succeeded.
    pub const BACKEND_FAILED: i32 = 3;
    /// Ctrl-C. Records are kept; `--resume` goes on.
    pub const INTERRUPTED: i32 = 130;
}

/// Why the program ends without having done what was asked.
#[derive(Debug)]
pub struct AppError {
    /// From [`exit_code`].
    pub exit_code: i32,
    /// One line.
    pub message: String,
}

impl AppError {
    /// [`exit_code::BAD_INPUT`].
    pub fn bad_input(message: impl Display) -> Self {
        Self { exit_code: exit_code::BAD_INPUT, message: line(&message) }
    }

    /// [`exit_code::FAILED`].
    pub fn failed(message: impl Display) -> Self {
        Self { exit_code: exit_code::FAILED, message: line(&message) }
    }

    /// A run folder that cannot be used: the user's mistake, or the system's refusal.
    pub fn store(error: &StoreError) -> Self {
        let message = format!("failed to {error}");
        match error {
            StoreError::Io { source, .. } if source.kind() == ErrorKind::NotFound => Self::bad_input(message),
            StoreError::Io { .. } | StoreError::Append { .. } => Self::failed(message),
            _ => Self::bad_input(message),
        }
    }

    /// A report that cannot be read or written.
    pub fn report(error: ReportError) -> Self {
        match error {
            ReportError::Store(error) => Self::store(&error),
            other @ ReportError::Settings { .. } => Self::bad_input(format!("failed to {other}")),
            other @ (ReportError::Csv(_) | ReportError::Json(_)) => {
                Self::failed(format!("failed to {other}"))
            }
        }
    }

    /// What this very program said last in another process, which ended with `exit_code`.
    pub fn again(exit_code: i32, said: &str) -> Self {
        let last = said.lines().rev().find_map(|line| line.strip_prefix("inferhost: "));
        let documented = (exit_code::FAILED..=exit_code::BACKEND_FAILED).contains(&exit_code);
        match last.filter(|_| documented) {
            Some(last) => Self { exit_code, message: line(&last) },
            None => Self::backend(format!("the plugin ended the process with code {exit_code}")),
        }
    }

    /// [`exit_code::BACKEND_FAILED`].
    pub fn backend(message: impl Display) -> Self {
        Self { exit_code: exit_code::BACKEND_FAILED, message: line(&message) }
    }

    /// [`exit_code::INTERRUPTED`].
    pub fn interrupted(message: impl Display) -> Self {
        Self { exit_code: exit_code::INTERRUPTED, message: line(&message) }
    }
}

/// One line of harmless text, whatever a name or a plugin's message holds.
fn line(message: &impl Display) -> String {
    text::clipped(&message.to_string(), MESSAGE_LIMIT)
}
