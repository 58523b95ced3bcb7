//! Sessions beside each other: calls on two models in turn, and one session dropped while the other goes on.

use super::golden::Golden;
use super::subject::{Subject, largest_difference, within};
use super::{Checked, Failure, Suite, passed, require};
use crate::Positions;

/// Two different models where there are two, else one model twice.
pub(super) fn interleaved(suite: &Suite<'_>, cases: &[Golden]) -> Checked {
    let (Some(first), Some(second)) = (cases.first(), cases.last()) else {
        return super::skipped("no golden case");
    };
    let alone = (every_call(&mut suite.open(first)?)?, every_call(&mut suite.open(second)?)?);
    let (mut a, mut b) = (suite.open(first)?, suite.open(second)?);
    for _ in 0..2 {
        same(&every_call(&mut a)?, &alone.0, &first.name)?;
        same(&every_call(&mut b)?, &alone.1, &second.name)?;
    }
    drop(a);
    same(&every_call(&mut b)?, &alone.1, &second.name)?;
    passed()
}

struct Answers {
    logits: Vec<Vec<f64>>,
    logprobs: Vec<Vec<f64>>,
    tokens: Vec<Vec<u32>>,
}

fn every_call(subject: &mut Subject<'_>) -> Result<Answers, Failure> {
    let prompts = &subject.golden.prompts;
    let options = subject.greedy(prompts);
    Ok(Answers {
        logits: subject.prefill(prompts, Positions::Last)?,
        tokens: subject.generate(prompts, &options)?,
        logprobs: subject.logprobs(prompts)?,
    })
}

fn same(found: &Answers, alone: &Answers, name: &str) -> Result<(), Failure> {
    let named = |Failure(problem): Failure| Failure(format!("{name} beside another model: {problem}"));
    within(largest_difference(&found.logits, &alone.logits), 0.0).map_err(named)?;
    within(largest_difference(&found.logprobs, &alone.logprobs), 0.0).map_err(named)?;
    require(found.tokens == alone.tokens, || "other tokens".into()).map_err(named)
}
