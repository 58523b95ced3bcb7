//! The tokens of a `generate` call, and when each step's reached host memory.

use super::engine::Say;
use super::protocol::FromWorker;
use inferhost_plugin_api::{Token, TokenSink};
use std::time::Instant;

/// Takes tokens without allocating, once it has been [reserved](Self::reserve) for.
#[derive(Default)]
pub(super) struct Collected {
    steps: Vec<Step>,
    tokens: Vec<Token>,
    /// Kept at most: one step and one token a row more than were asked for, which is enough to say so.
    most_steps: usize,
    most_tokens: usize,
}

struct Step {
    end: Instant,
    /// How many tokens there are up to and with this step.
    tokens: usize,
}

impl Collected {
    pub(super) fn clear(&mut self) {
        self.steps.clear();
        self.tokens.clear();
    }

    pub(super) fn reserve(&mut self, rows: usize, steps: usize) {
        (self.most_steps, self.most_tokens) = (steps + 1, (steps + 1) * rows);
        self.steps.reserve(self.most_steps);
        self.tokens.reserve(self.most_tokens);
    }

    /// When each step ended, in nanoseconds from `start`.
    pub(super) fn step_ends_ns(&self, start: Instant) -> Vec<u64> {
        self.steps.iter().map(|step| super::engine::nanos(step.end - start)).collect()
    }

    /// The tokens of each of `rows` rows.
    ///
    /// # Errors
    /// One line, where a step holds a row twice or a row that is not in the batch.
    pub(super) fn by_row(&self, rows: usize) -> Result<Vec<Vec<u32>>, String> {
        let mut by_row = vec![Vec::new(); rows];
        let mut start = 0;
        for (number, step) in self.steps.iter().enumerate() {
            for token in &self.tokens[start..step.tokens] {
                let row = by_row
                    .get_mut(token.row as usize)
                    .ok_or_else(|| format!("a token for row {}", token.row))?;
                if row.len() > number {
                    return Err(format!("step {number} has more than one token for row {}", token.row));
                }
                row.push(token.id);
            }
            start = step.tokens;
        }
        Ok(by_row)
    }
}

impl TokenSink for Collected {
    fn step(&mut self, tokens: &[Token]) -> bool {
        // A plugin that makes tokens without end is not to take the memory of the machine meanwhile.
        if self.steps.len() >= self.most_steps {
            return false;
        }
        let room = self.most_tokens - self.tokens.len();
        self.tokens.extend_from_slice(&tokens[..tokens.len().min(room)]);
        self.steps.push(Step { end: Instant::now(), tokens: self.tokens.len() });
        true
    }
}

/// Collects tokens, and sends each step's to the host as well.
pub(super) struct Streamed<'a> {
    pub(super) to: &'a mut Collected,
    pub(super) say: Say<'a>,
}

impl TokenSink for Streamed<'_> {
    fn step(&mut self, tokens: &[Token]) -> bool {
        if !self.to.step(tokens) {
            return false;
        }
        (self.say)(FromWorker::Step(tokens.iter().map(|token| (token.row, token.id)).collect()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_holds_a_row_once() {
        let token = |row, id| Token { row, id };
        let mut collected = Collected::default();
        collected.reserve(2, 3);
        collected.step(&[token(0, 5), token(1, 6)]);
        collected.step(&[token(1, 7)]);
        assert_eq!(collected.by_row(2).unwrap(), [vec![5], vec![6, 7]]);
        assert!(collected.by_row(1).unwrap_err().contains("row 1"));
        collected.step(&[token(1, 7), token(1, 8)]);
        assert!(collected.by_row(2).unwrap_err().contains("more than one token for row 1"));
    }

    #[test]
    fn tokens_without_end_are_not_kept() {
        let mut collected = Collected::default();
        collected.reserve(1, 2);
        let flood = vec![Token { row: 0, id: 1 }; 1_000];
        let taken = (0..1_000).filter(|_| collected.step(&flood)).count();
        assert_eq!((taken, collected.tokens.len()), (3, 3));
        assert!(collected.by_row(1).is_err());
    }
}
