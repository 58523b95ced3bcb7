//! What a call takes: rows of token ids, borrowed or owned, and the positions of which logits are wanted.

use crate::abi::RawBatch;
use serde::{Deserialize, Serialize};

/// Rows of token ids with their lengths.
pub type Batch<'a> = RawBatch<'a>;

impl<'a> RawBatch<'a> {
    /// Rows that lie one after another in `tokens`; `lengths` must add up to `tokens.len()`.
    pub fn new(tokens: &'a [u32], lengths: &'a [u32]) -> Self {
        Self { tokens: tokens.into(), lengths: lengths.into() }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Number of tokens in all rows.
    pub fn total_tokens(&self) -> usize {
        self.tokens.len()
    }

    /// The longest row's length.
    pub fn longest(&self) -> usize {
        self.lengths.iter().max().map_or(0, |&n| n as usize)
    }

    /// Whether all rows have one length.
    pub fn is_uniform(&self) -> bool {
        self.lengths.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u32]> + use<'a> {
        let tokens = self.tokens.as_slice();
        self.lengths.as_slice().iter().scan(0usize, move |start, &length| {
            let row = tokens.get(*start..*start + length as usize);
            *start += length as usize;
            row
        })
    }

    /// Where each row begins among all rows' positions.
    pub fn starts(&self) -> Vec<usize> {
        let lengths = self.lengths.iter().map(|&length| length as usize);
        lengths.scan(0, |next, length| Some(std::mem::replace(next, *next + length))).collect()
    }
}

/// The places of rows of one length together, in the order in which lengths first appear: for runtimes that cannot pad.
pub fn by_length(rows: &[&[u32]]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        match groups.iter_mut().find(|group| rows[group[0]].len() == row.len()) {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups
}

/// The rows of a batch, owned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    tokens: Vec<u32>,
    lengths: Vec<u32>,
}

impl Rows {
    /// Copies `rows`.
    pub fn new<R: AsRef<[u32]>>(rows: &[R]) -> Self {
        let tokens = rows.iter().flat_map(|row| row.as_ref()).copied().collect();
        let lengths = rows.iter().map(|row| u32::try_from(row.as_ref().len()).unwrap_or(u32::MAX)).collect();
        Self { tokens, lengths }
    }

    /// The rows as a plugin takes them.
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(&self.tokens, &self.lengths)
    }
}

/// Of which positions logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positions {
    /// The last of every row.
    Last,
    /// All of every row.
    All,
}

impl Positions {
    /// How many positions of `batch` that is.
    pub fn count(self, batch: Batch<'_>) -> usize {
        match self {
            Self::Last => batch.rows(),
            Self::All => batch.total_tokens(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_grouped_by_length_in_order() {
        let rows: [&[u32]; 5] = [&[1], &[1, 2], &[3], &[4, 5, 6], &[7, 8]];
        assert_eq!(by_length(&rows), [vec![0, 2], vec![1, 4], vec![3]]);
    }

    #[test]
    fn starts_count_the_positions_before() {
        assert_eq!(Batch::new(&[1, 2, 3, 4, 5, 6], &[2, 1, 3]).starts(), [0, 2, 3]);
    }
}
