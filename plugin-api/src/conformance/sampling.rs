//! Sampling: a seed repeats, another seed does not, a row draws as it does alone, and a choice of one is the
//! greedy choice.

use super::subject::Subject;
use super::{Checked, ModelCheck, passed, require};
use crate::GenerateOptions;

pub(super) const CHECKS: &[ModelCheck] = &[
    ("sampling repeats with its seed", seeds),
    ("a sampled row = the row alone", as_alone),
    ("top_k = 1 is greedy", |subject| as_greedy(subject, |options| options.top_k = 1)),
    ("a tiny top_p is greedy", |subject| as_greedy(subject, |options| options.top_p = 1e-6)),
];

fn seeds(subject: &mut Subject<'_>) -> Checked {
    let prompts = &subject.golden.prompts;
    // Hot enough for any model to be near uniform, so that two seeds can hardly agree.
    let options = GenerateOptions { temperature: 100.0, seed: 1, ..subject.greedy(prompts) };
    let first = subject.generate(prompts, &options)?;
    require(first == subject.generate(prompts, &options)?, || "the same seed gave other tokens".into())?;
    let other = subject.generate(prompts, &GenerateOptions { seed: 2, ..options })?;
    require(first != other, || "another seed gave the same tokens".into())?;
    passed()
}

/// So hot that the generator alone decides: rounding that differs between the batch and the row moves no choice.
fn as_alone(subject: &mut Subject<'_>) -> Checked {
    let mut rows = subject.golden.prompts.clone();
    rows.extend(rows.first().cloned());
    for use_cache in [true, false] {
        let options = GenerateOptions { temperature: 1e4, seed: 5, use_cache, ..subject.greedy(&rows) };
        let together = subject.generate(&rows, &options)?;
        for (index, (row, found)) in rows.iter().zip(&together).enumerate() {
            let alone = subject.generate_one(row, &options)?;
            require(*found == alone, || format!("row {index} gave {found:?}, alone it gives {alone:?}"))?;
        }
    }
    passed()
}

fn as_greedy(subject: &mut Subject<'_>, limit: fn(&mut GenerateOptions<'_>)) -> Checked {
    let prompts = &subject.golden.prompts;
    let greedy = subject.greedy(prompts);
    let mut sampled = GenerateOptions { temperature: 1.0, seed: 3, ..greedy };
    limit(&mut sampled);
    let wanted = subject.generate(prompts, &greedy)?;
    let found = subject.generate(prompts, &sampled)?;
    require(found == wanted, || format!("{found:?}, but greedy gives {wanted:?}"))?;
    passed()
}
