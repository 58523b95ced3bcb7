//! An open golden model under test: the three calls with the shape of their results checked, and the comparisons.

use super::golden::Golden;
use super::{Failure, Tolerance, require};
use crate::load::OpenSession;
use crate::{GenerateOptions, Logits, Positions, Rows, Token, TokenSink};
use abi_stable::std_types::{RSlice, RVec};

/// A session on a golden model.
pub(super) struct Subject<'a> {
    pub(super) golden: &'a Golden,
    pub(super) session: OpenSession,
    pub(super) tolerance: Tolerance,
    /// One buffer for all calls, as a host has it: what an earlier call left must not show.
    buffer: Logits,
}

impl<'a> Subject<'a> {
    pub(super) fn new(golden: &'a Golden, session: OpenSession, tolerance: Tolerance) -> Self {
        Self { golden, session, tolerance, buffer: Logits::default() }
    }

    /// One vector of logits per position.
    pub(super) fn prefill<R: AsRef<[u32]>>(
        &mut self,
        rows: &[R],
        positions: Positions,
    ) -> Result<Vec<Vec<f64>>, Failure> {
        let rows = Rows::new(rows);
        self.session.prefill(rows.batch(), positions, &mut self.buffer)?;
        let (vocab, wanted) = (self.golden.vocab_size, positions.count(rows.batch()));
        let (found_vocab, found) = (self.buffer.vocab_size as usize, self.buffer.len());
        require(found_vocab == vocab && found == wanted * vocab, || {
            format!("{found} logits of {found_vocab} token ids came back, expected {wanted} x {vocab}")
        })?;
        Ok(self.buffer.rows_f64())
    }

    /// One vector of log-probabilities per row.
    pub(super) fn logprobs<R: AsRef<[u32]>>(&mut self, rows: &[R]) -> Result<Vec<Vec<f64>>, Failure> {
        // The call appends, so what is there must stay.
        let mut found: RVec<f64> = vec![f64::MAX].into();
        self.session.logprobs(Rows::new(rows).batch(), &mut found)?;
        let lengths: Vec<usize> = rows.iter().map(|row| row.as_ref().len() - 1).collect();
        let wanted: usize = lengths.iter().sum();
        require(found.first() == Some(&f64::MAX) && found.len() == wanted + 1, || {
            format!("{} logprobs were appended, expected {wanted}", found.len().saturating_sub(1))
        })?;
        let mut left = &found[1..];
        let mut take = |length: usize| {
            let (row, rest) = left.split_at(length);
            left = rest;
            row.to_vec()
        };
        Ok(lengths.into_iter().map(&mut take).collect())
    }

    /// The new tokens of every row, and the steps they came in.
    pub(super) fn generate<R: AsRef<[u32]>>(
        &mut self,
        rows: &[R],
        options: &GenerateOptions<'_>,
    ) -> Result<Vec<Vec<u32>>, Failure> {
        let mut steps = Steps::default();
        self.session.generate(Rows::new(rows).batch(), options, &mut steps)?;
        steps.by_row(rows.len(), self.golden.vocab_size)
    }

    /// `generate` on one row.
    pub(super) fn generate_one(
        &mut self,
        row: &[u32],
        options: &GenerateOptions<'_>,
    ) -> Result<Vec<u32>, Failure> {
        Ok(self.generate(&[row], options)?.concat())
    }

    /// Greedy options for the golden case's number of new tokens, as far as the context has room for `rows`.
    pub(super) fn greedy<R: AsRef<[u32]>>(&self, rows: &[R]) -> GenerateOptions<'static> {
        let longest = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
        let room = (self.golden.context_length + 1).saturating_sub(longest);
        greedy(self.golden.max_new_tokens.min(room))
    }

    /// Two greedy continuations of `prompt` agree, or part where their two tokens are so near to each other that
    /// the tolerance of logits covers the difference.
    pub(super) fn same_tokens(&mut self, prompt: &[u32], a: &[u32], b: &[u32]) -> Result<(), Failure> {
        let Some(step) = first_difference(a, b) else { return Ok(()) };
        let (Some(&first), Some(&second)) = (a.get(step), b.get(step)) else {
            return Err(Failure(format!("{} tokens on one way, {} on the other", a.len(), b.len())));
        };
        let row = [prompt, &a[..step]].concat();
        let logits = self.prefill(&[row], Positions::Last)?.concat();
        let apart = (logits[first as usize] - logits[second as usize]).abs();
        require(apart <= 2.0 * self.tolerance.logits, || {
            format!(
                "new token {step} is {first} on one way, {second} on the other, {apart:.1e} apart in logits"
            )
        })
    }
}

/// Takes every step of a `generate` call, and asks it to stop after `limit`.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) taken: Vec<Vec<Token>>,
    pub(super) limit: Option<usize>,
}

impl TokenSink for Steps {
    fn step(&mut self, tokens: &[Token]) -> bool {
        self.taken.push(tokens.to_vec());
        self.limit.is_none_or(|limit| self.taken.len() < limit)
    }
}

impl Steps {
    /// The tokens of each row, after a look at rows and ids.
    pub(super) fn by_row(&self, rows: usize, vocab_size: usize) -> Result<Vec<Vec<u32>>, Failure> {
        let mut tokens = vec![Vec::new(); rows];
        for token in self.taken.iter().flatten() {
            let Some(row) = tokens.get_mut(token.row as usize) else {
                return Err(Failure(format!("a token came for row {} of {rows}", token.row)));
            };
            require((token.id as usize) < vocab_size, || format!("token id {} of {vocab_size}", token.id))?;
            row.push(token.id);
        }
        Ok(tokens)
    }
}

/// Greedy, cached, without stop tokens.
pub(super) fn greedy(max_new_tokens: usize) -> GenerateOptions<'static> {
    GenerateOptions {
        max_new_tokens: u32::try_from(max_new_tokens).unwrap_or(u32::MAX),
        use_cache: true,
        stop_tokens: RSlice::EMPTY,
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        seed: 0,
    }
}

pub(super) fn first_difference(a: &[u32], b: &[u32]) -> Option<usize> {
    let differ = a.iter().zip(b).position(|(x, y)| x != y);
    differ.or_else(|| (a.len() != b.len()).then(|| a.len().min(b.len())))
}

/// The largest absolute difference; NaN, or another shape, counts as infinite.
pub(super) fn largest_difference<'a, A, B>(found: A, wanted: B) -> f64
where
    A: IntoIterator<Item = &'a Vec<f64>>,
    B: IntoIterator<Item = &'a Vec<f64>>,
{
    let (mut found, mut wanted) = (found.into_iter(), wanted.into_iter());
    let mut largest = 0.0f64;
    loop {
        match (found.next(), wanted.next()) {
            (None, None) => return largest,
            (Some(a), Some(b)) if a.len() == b.len() => {
                for difference in a.iter().zip(b).map(|(x, y)| (x - y).abs()) {
                    if difference.is_nan() {
                        return f64::INFINITY;
                    }
                    largest = largest.max(difference);
                }
            }
            _ => return f64::INFINITY,
        }
    }
}

/// Fails where `difference` is not within `tolerance`; else the note of the check.
pub(super) fn within(difference: f64, tolerance: f64) -> Result<String, Failure> {
    require(difference <= tolerance, || {
        format!("largest difference {difference:.1e}, allowed {tolerance:.1e}")
    })?;
    Ok(format!("largest difference {difference:.1e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_see_nan_and_shape() {
        let wanted = [vec![1.0, 2.0], vec![3.0]];
        assert_eq!(largest_difference(&wanted, &wanted), 0.0);
        assert_eq!(largest_difference(&[vec![1.0, 2.5], vec![3.0]], &wanted), 0.5);
        for bad in [vec![vec![1.0, 2.0]], vec![vec![1.0], vec![3.0]], vec![vec![f64::NAN, 2.0], vec![3.0]]] {
            assert_eq!(largest_difference(&bad, &wanted), f64::INFINITY);
        }
        assert!(within(f64::INFINITY, 1.0).is_err());
    }

    #[test]
    fn continuations_differ_in_a_token_or_in_length() {
        assert_eq!(first_difference(&[1, 2], &[1, 2]), None);
        assert_eq!(first_difference(&[1, 2], &[1, 3]), Some(1));
        assert_eq!(first_difference(&[1, 2], &[1]), Some(1));
    }
}
