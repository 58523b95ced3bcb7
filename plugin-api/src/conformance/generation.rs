//! The course of `generate`: cached as uncached, one step per token, rows in order, stop tokens, early stops, and
//! the context filled to its end.

use super::subject::{Steps, Subject, greedy, within};
use super::{Checked, Failure, ModelCheck, passed, require};
use crate::{GenerateOptions, Positions, Rows};

pub(super) const CHECKS: &[ModelCheck] = &[
    ("cached = uncached", cached_as_uncached),
    ("one step per new token, rows in order", steps_in_order),
    ("stop tokens end their rows", stop_tokens),
    ("the sink ends generation", sink_ends),
    ("context filled to its end", full_context),
];

fn cached_as_uncached(subject: &mut Subject<'_>) -> Checked {
    let prompts = &subject.golden.prompts;
    let cached = subject.greedy(prompts);
    let uncached = GenerateOptions { use_cache: false, ..cached };
    let with = subject.generate(prompts, &cached)?;
    let without = subject.generate(prompts, &uncached)?;
    for (row, prompt) in prompts.iter().enumerate() {
        subject.same_tokens(prompt, &with[row], &without[row])?;
    }
    passed()
}

fn record(
    subject: &mut Subject<'_>,
    options: &GenerateOptions<'_>,
    limit: Option<usize>,
) -> Result<Steps, Failure> {
    let mut steps = Steps { limit, ..Steps::default() };
    let rows = Rows::new(&subject.golden.prompts);
    subject.session.generate(rows.batch(), options, &mut steps)?;
    Ok(steps)
}

fn steps_in_order(subject: &mut Subject<'_>) -> Checked {
    let options = subject.greedy(&subject.golden.prompts);
    let rows = subject.golden.prompts.len();
    for use_cache in [true, false] {
        let steps = record(subject, &GenerateOptions { use_cache, ..options }, None)?.taken;
        let (found, wanted) = (steps.len(), options.max_new_tokens as usize);
        require(found == wanted, || format!("{found} steps for {wanted} new tokens"))?;
        for (index, step) in steps.iter().enumerate() {
            let in_order = step.iter().map(|token| token.row as usize).eq(0..rows);
            require(in_order, || format!("step {index} is not rows 0 to {} in order: {step:?}", rows - 1))?;
        }
    }
    passed()
}

/// The stop token is one that greedy search meets on its way, so that rows end at different steps.
fn stop_tokens(subject: &mut Subject<'_>) -> Checked {
    let options = subject.greedy(&subject.golden.prompts);
    let rows = subject.golden.prompts.len();
    for use_cache in [true, false] {
        let options = GenerateOptions { use_cache, ..options };
        let free = subject.generate(&subject.golden.prompts, &options)?;
        let Some(&stop) = free[0].get(free[0].len() / 2) else { return super::skipped("no room for tokens") };
        let stops = [stop];
        let steps = record(subject, &GenerateOptions { stop_tokens: stops[..].into(), ..options }, None)?;
        let found = steps.by_row(rows, subject.golden.vocab_size)?;
        for (row, free) in free.iter().enumerate() {
            let (found, prompt) = (&found[row], &subject.golden.prompts[row]);
            let stopped = found.iter().position(|&id| id == stop).map_or(free.len(), |at| at + 1);
            require(found.len() == stopped, || {
                format!("row {row} gave {found:?}, which does not end at the stop token {stop}")
            })?;
            let end = free.iter().position(|&id| id == stop).map_or(free.len(), |at| at + 1);
            subject
                .same_tokens(prompt, found, &free[..end])
                .map_err(|Failure(problem)| Failure(format!("row {row}: {problem}")))?;
        }
        let ordered = steps.taken.iter().all(|step| step.is_sorted_by(|a, b| a.row < b.row));
        let longest = found.iter().map(Vec::len).max().unwrap_or(0);
        require(ordered && steps.taken.len() == longest, || {
            format!("{} steps for at most {longest} tokens a row, or rows out of order", steps.taken.len())
        })?;
    }
    passed()
}

fn sink_ends(subject: &mut Subject<'_>) -> Checked {
    let options = subject.greedy(&subject.golden.prompts);
    for use_cache in [true, false] {
        let options = GenerateOptions { use_cache, ..options };
        let all = record(subject, &options, None)?.taken;
        for limit in [1, all.len().min(3)] {
            let steps = record(subject, &options, Some(limit))?.taken;
            require(steps == all[..limit], || {
                format!("{} steps came to a sink that wanted {limit}, or other ones", steps.len())
            })?;
        }
    }
    passed()
}

/// The last new token needs no position, so a prompt of n tokens has room for context - n + 1 new ones. The last
/// step must follow from all that came before it.
fn full_context(subject: &mut Subject<'_>) -> Checked {
    let golden = subject.golden;
    let prompt = &golden.prompts[golden.prompt_of(usize::MAX)];
    let room = (golden.context_length + 1).saturating_sub(prompt.len());
    let new = subject.generate_one(prompt, &greedy(room))?;
    let Some((&last, before)) = new.split_last().filter(|_| new.len() == room) else {
        return Err(Failure(format!("{} new tokens came, expected {room}", new.len())));
    };
    let row = [prompt.as_slice(), before].concat();
    let logits = subject.prefill(&[row], Positions::Last)?.concat();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    within(largest - logits[last as usize], 2.0 * subject.tolerance.logits)?;
    passed()
}
