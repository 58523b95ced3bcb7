//! Bad input: each mistake is refused as [`ErrorKind::InvalidInput`] in one line, and the session then works as if
//! it had not been made.

use super::subject::{Steps, Subject, greedy, largest_difference};
use super::{Checked, Failure, Report, passed, require};
use crate::{Batch, Error, ErrorKind, GenerateOptions, Logits, Positions};
use abi_stable::std_types::RVec;

/// A batch and options of which one thing is wrong.
struct Mistake {
    name: &'static str,
    tokens: Vec<u32>,
    lengths: Vec<u32>,
    options: GenerateOptions<'static>,
    /// Wrong for `prefill` and `logprobs` as well.
    batch_is_wrong: bool,
}

pub(super) fn run(subject: &mut Subject<'_>, report: &mut Report) {
    for mistake in mistakes(subject) {
        let checked = refused_by_all(subject, &mistake);
        report.add(&subject.golden.name, &format!("refuses {}", mistake.name), checked);
    }
}

fn mistakes(subject: &Subject<'_>) -> Vec<Mistake> {
    let info = subject.session.info();
    // A context that is not the model's fails elsewhere, and might be of any size.
    let context = info.context_length.filter(|&n| n as usize == subject.golden.context_length);
    let mut all = in_batches(info.vocab_size, context);
    all.extend(in_options(context));
    all
}

fn in_batches(vocab: u32, context: Option<u32>) -> Vec<Mistake> {
    let mistake = |name, tokens: &[u32], lengths: &[u32]| Mistake {
        name,
        tokens: tokens.to_vec(),
        lengths: lengths.to_vec(),
        options: greedy(2),
        batch_is_wrong: true,
    };
    let mut all = vec![
        mistake("a batch without rows", &[], &[]),
        mistake("an empty row", &[1, 2], &[2, 0]),
        mistake("a token outside the vocabulary", &[1, vocab], &[2]),
        mistake("the largest token id", &[1, u32::MAX], &[1, 1]),
        mistake("lengths that say too much", &[1, 2, 3], &[2, 2]),
        mistake("lengths that say too little", &[1, 2, 3], &[2]),
        mistake("a length beyond all memory", &[1, 2, 3], &[u32::MAX, u32::MAX]),
    ];
    if let Some(context) = context {
        all.push(mistake("a prompt longer than the context", &vec![1; context as usize + 1], &[context + 1]));
    }
    all
}

fn in_options(context: Option<u32>) -> Vec<Mistake> {
    let mistake = |name, length: u32, options| Mistake {
        name,
        tokens: vec![1; length as usize],
        lengths: vec![length],
        options,
        batch_is_wrong: false,
    };
    let sampled = |temperature, top_p| GenerateOptions { temperature, top_p, ..greedy(2) };
    let mut all = vec![
        mistake("zero new tokens", 1, greedy(0)),
        mistake("a negative temperature", 1, sampled(-1.0, 1.0)),
        mistake("a temperature that is no number", 1, sampled(f32::NAN, 1.0)),
        mistake("an infinite temperature", 1, sampled(f32::INFINITY, 1.0)),
        mistake("top_p of 0", 1, sampled(1.0, 0.0)),
        mistake("top_p above 1", 1, sampled(1.0, 1.5)),
        mistake("top_p that is no number", 1, sampled(1.0, f32::NAN)),
    ];
    if let Some(context) = context {
        all.push(mistake("generation beyond the context", context, greedy(2)));
        all.push(mistake("endless generation", 1, greedy(u32::MAX as usize)));
    }
    all
}

fn refused_by_all(subject: &mut Subject<'_>, mistake: &Mistake) -> Checked {
    let prompt = [&subject.golden.prompts[0]];
    let before = subject.prefill(&prompt, Positions::Last)?;
    let batch = Batch::new(&mistake.tokens, &mistake.lengths);
    let mut steps = Steps::default();
    refused(subject.session.generate(batch, &mistake.options, &mut steps))?;
    require(steps.taken.is_empty(), || "tokens came before the refusal".into())?;
    if mistake.batch_is_wrong {
        refused(subject.session.prefill(batch, Positions::All, &mut Logits::default()))?;
        refused(subject.session.logprobs(batch, &mut RVec::new()))?;
    }
    let after = subject.prefill(&prompt, Positions::Last)?;
    require(largest_difference(&before, &after) == 0.0, || "the session then gave other logits".into())?;
    passed()
}

/// An error of the caller's making, said in one line.
pub(super) fn refused<T>(result: Result<T, Error>) -> Result<(), Failure> {
    let Err(error) = result else { return Err(Failure("it was accepted".into())) };
    let kind = error.kind;
    require(kind == ErrorKind::InvalidInput, || format!("the error is {kind:?}, not InvalidInput: {error}"))?;
    let message = &error.message;
    require(!message.trim().is_empty(), || "the error has no message".into())?;
    require(message.lines().count() == 1, || format!("the message is not one line: {message:?}"))
}
