//! Known answers: every golden prompt alone, against float64.

use super::subject::{Subject, first_difference, greedy, largest_difference, within};
use super::{Checked, Failure, ModelCheck, Outcome, require};
use crate::Positions;

pub(super) const CHECKS: &[ModelCheck] = &[
    ("logits of the last position", last_logits),
    ("logits of all positions", all_logits),
    ("logprobs", logprobs),
    ("greedy tokens, cached", |subject| greedy_tokens(subject, true)),
    ("greedy tokens, uncached", |subject| greedy_tokens(subject, false)),
    ("repeated calls", repeats),
];

fn last_logits(subject: &mut Subject<'_>) -> Checked {
    let golden = subject.golden;
    let mut largest = 0.0f64;
    for (prompt, wanted) in golden.prompts.iter().zip(&golden.logits) {
        let found = subject.prefill(&[prompt], Positions::Last)?;
        largest = largest.max(largest_difference(&found, wanted.last()));
    }
    within(largest, subject.tolerance.logits).map(Outcome::Passed)
}

fn all_logits(subject: &mut Subject<'_>) -> Checked {
    let golden = subject.golden;
    let mut largest = 0.0f64;
    for (prompt, wanted) in golden.prompts.iter().zip(&golden.logits) {
        let found = subject.prefill(&[prompt], Positions::All)?;
        largest = largest.max(largest_difference(&found, wanted));
    }
    within(largest, subject.tolerance.logits).map(Outcome::Passed)
}

fn logprobs(subject: &mut Subject<'_>) -> Checked {
    let golden = subject.golden;
    let mut largest = 0.0f64;
    for (prompt, wanted) in golden.prompts.iter().zip(&golden.logprobs) {
        let found = subject.logprobs(&[prompt])?;
        largest = largest.max(largest_difference(&found, [wanted]));
    }
    within(largest, subject.tolerance.logprobs).map(Outcome::Passed)
}

/// Two logits that are each off by the tolerance may change places, so where the golden margin is smaller than
/// both together a runtime's own way is as right as the exact one.
fn greedy_tokens(subject: &mut Subject<'_>, use_cache: bool) -> Checked {
    let golden = subject.golden;
    let mut close_calls = 0;
    for (row, prompt) in golden.prompts.iter().enumerate() {
        let mut options = greedy(golden.max_new_tokens);
        options.use_cache = use_cache;
        let found = subject.generate_one(prompt, &options)?;
        let wanted = &golden.greedy[row];
        let Some(step) = first_difference(&found, wanted) else { continue };
        let margin = golden.min_top2_margin[row];
        require(found.len() == wanted.len() && margin <= 2.0 * subject.tolerance.logits, || {
            let (found, wanted) = (found.get(step), wanted.get(step));
            format!("prompt {row}: new token {step} is {found:?}, expected {wanted:?}, margin {margin:.1e}")
        })?;
        close_calls += 1;
    }
    let note = format!("{close_calls} of {} rows took another way at a close call", golden.prompts.len());
    Ok(Outcome::Passed(if close_calls == 0 { String::new() } else { note }))
}

fn repeats(subject: &mut Subject<'_>) -> Checked {
    let prompts = &subject.golden.prompts;
    let options = subject.greedy(prompts);
    let mut all_calls = || -> Result<_, Failure> {
        let logits = subject.prefill(prompts, Positions::All)?;
        Ok((logits, subject.logprobs(prompts)?, subject.generate(prompts, &options)?))
    };
    let (first, second) = (all_calls()?, all_calls()?);
    require(first.2 == second.2, || "generate gave other tokens the second time".into())?;
    within(largest_difference(&first.0, &second.0), 0.0)?;
    within(largest_difference(&first.1, &second.1), 0.0)?;
    super::passed()
}
