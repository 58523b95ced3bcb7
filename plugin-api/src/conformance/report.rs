//! What a run of the suite found, check by check.

use super::{Checked, Failure};
use std::fmt;

/// How one check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should; a note where something was measured.
    Passed(String),
    /// Not as it should, and how.
    Failed(String),
    /// Not run, and why.
    Skipped(String),
}

/// One check on one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The golden case, or `plugin` for what needs no model.
    pub model: String,
    /// What was checked.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// Every check of a run, in order.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The checks.
    pub checks: Vec<Check>,
}

impl Report {
    pub(super) fn add(&mut self, model: &str, name: &str, checked: Checked) {
        let outcome = checked.unwrap_or_else(|Failure(problem)| Outcome::Failed(problem));
        self.checks.push(Check { model: model.into(), name: name.into(), outcome });
    }

    /// Whether no check failed.
    pub fn passed(&self) -> bool {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_))) == 0
    }

    /// For tests.
    ///
    /// # Panics
    /// With the whole table, where a check failed.
    #[track_caller]
    pub fn assert_passed(&self) {
        assert!(self.passed(), "the plugin does not conform\n{self}");
    }

    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.checks.iter().filter(|check| wanted(&check.outcome)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |text: fn(&Check) -> &str| self.checks.iter().map(|c| text(c).len()).max().unwrap_or(0);
        let (models, names) = (width(|c| &c.model), width(|c| &c.name));
        for Check { model, name, outcome } in &self.checks {
            let (word, note) = match outcome {
                Outcome::Passed(note) => ("pass", note),
                Outcome::Failed(note) => ("FAIL", note),
                Outcome::Skipped(note) => ("skip", note),
            };
            let line = format!("{model:models$}  {name:names$}  {word}  {note}");
            writeln!(f, "{}", line.trim_end())?;
        }
        let passed = self.count(|outcome| matches!(outcome, Outcome::Passed(_)));
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        writeln!(f, "{} checks: {passed} passed, {failed} failed, {skipped} skipped", self.checks.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_table_and_fails_by_its_failures_alone() {
        let mut report = Report::default();
        report.add("gpt2-a", "logprobs", Ok(Outcome::Passed("largest error 1e-7".into())));
        report.add("plugin", "two models interleaved", Ok(Outcome::Skipped("one model".into())));
        assert!(report.passed());
        report.add("gpt2-a", "info", Err(Failure("vocab_size is 3, expected 4".into())));
        assert!(!report.passed());
        assert_eq!(
            report.to_string(),
            "gpt2-a  logprobs                pass  largest error 1e-7\n\
             plugin  two models interleaved  skip  one model\n\
             gpt2-a  info                    FAIL  vocab_size is 3, expected 4\n\
             3 checks: 1 passed, 1 failed, 1 skipped\n"
        );
    }
}
