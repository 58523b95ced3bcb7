//! Batches: a row's result is that of the row alone, whatever else is in the batch, and the logits of the last
//! position are the last of all positions.

use super::subject::{Subject, largest_difference, within};
use super::{Checked, Failure, ModelCheck, Outcome};
use crate::Positions;

pub(super) const CHECKS: &[ModelCheck] = &[
    ("last position = last of all", last_of_all),
    ("uniform batch = rows alone", |subject| {
        let rows = uniform(subject);
        same_as_alone(subject, &rows)
    }),
    ("ragged batch = rows alone", |subject| {
        let rows = ragged(subject);
        same_as_alone(subject, &rows)
    }),
    ("uniform batch generates as alone", |subject| {
        let rows = uniform(subject);
        generates_as_alone(subject, &rows)
    }),
    ("ragged batch generates as alone", |subject| {
        let rows = ragged(subject);
        generates_as_alone(subject, &rows)
    }),
];

/// The beginnings of the longer prompts, all of one length, and one backwards so that there are always two.
fn uniform(subject: &Subject<'_>) -> Vec<Vec<u32>> {
    let golden = subject.golden;
    let length = golden.prompts.iter().map(Vec::len).max().unwrap_or(1).min(8);
    let long_enough = golden.prompts.iter().filter(|prompt| prompt.len() >= length);
    let mut rows: Vec<Vec<u32>> = long_enough.map(|prompt| prompt[..length].to_vec()).collect();
    let backwards = rows.first().map(|row| row.iter().rev().copied().collect());
    rows.extend(backwards);
    rows
}

/// All prompts, and after the longest the shortest possible.
fn ragged(subject: &Subject<'_>) -> Vec<Vec<u32>> {
    let mut rows = subject.golden.prompts.clone();
    rows.reverse();
    rows.insert(1, vec![0]);
    rows
}

fn last_of_all(subject: &mut Subject<'_>) -> Checked {
    let rows = ragged(subject);
    let last = subject.prefill(&rows, Positions::Last)?;
    let all = subject.prefill(&rows, Positions::All)?;
    let ends = rows.iter().scan(0, |end, row| {
        *end += row.len();
        Some(*end)
    });
    let difference = largest_difference(&last, ends.map(|end| &all[end - 1]));
    within(difference, 2.0 * subject.tolerance.logits).map(Outcome::Passed)
}

fn same_as_alone(subject: &mut Subject<'_>, rows: &[Vec<u32>]) -> Checked {
    let logits = subject.prefill(rows, Positions::All)?;
    let logprobs = subject.logprobs(rows)?;
    let (mut logits_alone, mut logprobs_alone) = (Vec::new(), Vec::new());
    for row in rows {
        logits_alone.extend(subject.prefill(&[row], Positions::All)?);
        logprobs_alone.extend(subject.logprobs(&[row])?);
    }
    // Both sides may be off by the tolerance.
    let tolerance = subject.tolerance;
    within(largest_difference(&logprobs, &logprobs_alone), 2.0 * tolerance.logprobs)
        .map_err(|Failure(problem)| Failure(format!("logprobs: {problem}")))?;
    within(largest_difference(&logits, &logits_alone), 2.0 * tolerance.logits).map(Outcome::Passed)
}

fn generates_as_alone(subject: &mut Subject<'_>, rows: &[Vec<u32>]) -> Checked {
    let mut options = subject.greedy(rows);
    for use_cache in [true, false] {
        options.use_cache = use_cache;
        let together = subject.generate(rows, &options)?;
        for (index, row) in rows.iter().enumerate() {
            let alone = subject.generate_one(row, &options)?;
            subject
                .same_tokens(row, &together[index], &alone)
                .map_err(|Failure(problem)| Failure(format!("row {index}: {problem}")))?;
        }
    }
    super::passed()
}
