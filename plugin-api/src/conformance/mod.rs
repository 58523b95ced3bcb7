//! A suite that any plugin runs with one call, over the real ABI: known answers, batches, generation, sampling,
//! sessions, every kind of bad input.
//!
//! A failed check is a line of the [`Report`], never a panic, so that the host can run the suite on a plugin it
//! knows nothing of. A plugin's own test is
//!
//! ```no_run
//! use inferhost_plugin_api::{ModelForm, Plugin, conformance};
//!
//! let plugin = Plugin::load(&conformance::built_library("candle")).unwrap();
//! conformance::Suite {
//!     plugin,
//!     options: serde_json::json!({}),
//!     tolerance: conformance::Tolerance::F32,
//!     prepare: &|folder| Ok((folder.to_path_buf(), ModelForm::HuggingFace)),
//! }
//! .run(&conformance::golden_dirs(&["gpt2"]).found)
//! .assert_passed();
//! ```

mod answers;
mod generation;
mod golden;
mod locate;
mod mistakes;
mod opening;
mod report;
mod rows;
mod sampling;
mod sessions;
mod subject;

pub use golden::Golden;
pub use locate::{GoldenDirs, built_library, golden_dirs};
pub use report::{Check, Outcome, Report};

use crate::load::Plugin;
use crate::{Error, ModelForm};
use serde_json::Value;
use std::path::{Path, PathBuf};
use subject::Subject;

/// Brings a Hugging Face folder into the form that the plugin opens; the text of an error says what failed.
pub type Prepare<'a> = &'a dyn Fn(&Path) -> Result<(PathBuf, ModelForm), String>;

/// A plugin, and how near to the float64 answers it must come.
pub struct Suite<'a> {
    /// The plugin, loaded.
    pub plugin: Plugin,
    /// The options of every `describe` and `open`, a JSON object.
    pub options: Value,
    /// How far a result may lie from the exact one.
    pub tolerance: Tolerance,
    /// Where the plugin's own form of a golden model comes from.
    pub prepare: Prepare<'a>,
}

/// The largest absolute difference allowed between a result and the float64 answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Of a logit.
    pub logits: f64,
    /// Of a log-probability.
    pub logprobs: f64,
}

impl Tolerance {
    /// For a runtime that computes in f32 throughout.
    pub const F32: Self = Self { logits: 2e-5, logprobs: 2e-5 };
    /// For a runtime that computes in f64 throughout.
    pub const F64: Self = Self { logits: 1e-9, logprobs: 1e-9 };
    /// For a runtime that computes in bfloat16, which keeps 8 bits of a number. Of the golden cases' logits, which
    /// are a few units large, that is what transformers itself is off by in bfloat16, twice over.
    pub const BF16: Self = Self { logits: 0.3, logprobs: 0.3 };
    /// For a runtime whose matrices have 8 bits, on the golden cases.
    pub const INT8: Self = Self { logits: 0.8, logprobs: 0.8 };
}

type ModelCheck = (&'static str, fn(&mut Subject<'_>) -> Checked);

impl Suite<'_> {
    /// Runs every check, the model ones on each golden case (see [`golden_dirs`]).
    pub fn run(&self, golden_dirs: &[PathBuf]) -> Report {
        let mut report = Report::default();
        opening::run(self, golden_dirs.first().map(PathBuf::as_path), &mut report);
        let mut cases = Vec::new();
        for folder in golden_dirs {
            match Golden::read(folder) {
                Ok(golden) => cases.push(golden),
                Err(problem) => {
                    report.add(&folder.display().to_string(), "golden case", Err(Failure(problem)))
                }
            }
        }
        if cases.is_empty() {
            let nothing = Failure("no golden case was given, so no answer was compared".into());
            report.add("plugin", "golden cases", Err(nothing));
        }
        for golden in &cases {
            self.run_model(golden, &mut report);
        }
        report.add("plugin", "two models interleaved", sessions::interleaved(self, &cases));
        report
    }

    fn run_model(&self, golden: &Golden, report: &mut Report) {
        let mut subject = match self.open(golden) {
            Ok(subject) => subject,
            Err(failure) => return report.add(&golden.name, "open", Err(failure)),
        };
        let groups = [opening::CHECKS, answers::CHECKS, rows::CHECKS, generation::CHECKS, sampling::CHECKS];
        for (name, check) in groups.into_iter().flatten() {
            report.add(&golden.name, name, check(&mut subject));
        }
        mistakes::run(&mut subject, report);
    }

    fn open<'a>(&self, golden: &'a Golden) -> Result<Subject<'a>, Failure> {
        let (path, form) =
            (self.prepare)(&golden.folder).map_err(|e| Failure(format!("not prepared: {e}")))?;
        let session = self.plugin.open(&path, form, &self.options)?;
        Ok(Subject::new(golden, session, self.tolerance))
    }
}

/// What went wrong in a check, in one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failure(String);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(format!("the call failed: {error} ({:?})", error.kind))
    }
}

/// What a check gives: passed or skipped with a note, or what went wrong.
type Checked = Result<Outcome, Failure>;

/// The outcome of a check that measured nothing.
fn passed() -> Checked {
    Ok(Outcome::Passed(String::new()))
}

fn skipped(why: &str) -> Checked {
    Ok(Outcome::Skipped(why.into()))
}

/// Fails with `problem` unless `holds`.
fn require(holds: bool, problem: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure(problem())) }
}
