//! Rows of one call, padded on the left to the longest: then the last position is every row's own last, the mask hides the
//! padding, and a row's positions count from its first real token.

use inferhost_plugin_api::shapes::Shape;

/// The rows of a call and how far they are.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Positions before each row's first token.
    padding: Vec<u32>,
    /// Positions that the cache holds, padding included.
    filled: usize,
    /// Positions that the next run feeds to each row.
    fed: usize,
}

impl Layout {
    /// Takes rows of these lengths, nothing in the cache; padded to `fed` positions, which is no less than the longest.
    pub(crate) fn start(&mut self, lengths: impl Iterator<Item = usize>, fed: usize) {
        self.padding.clear();
        self.padding.extend(lengths.map(|length| narrow(fed.saturating_sub(length))));
        (self.filled, self.fed) = (0, fed);
    }

    /// After a run: the next feeds one position.
    pub(crate) fn advance(&mut self) {
        self.filled += self.fed;
        self.fed = 1;
    }

    pub(crate) fn rows(&self) -> usize {
        self.padding.len()
    }

    pub(crate) fn fed(&self) -> usize {
        self.fed
    }

    /// Positions of the next run's mask.
    pub(crate) fn total(&self) -> usize {
        self.filled + self.fed
    }

    pub(crate) fn padding(&self) -> &[u32] {
        &self.padding
    }

    /// What the next run is given.
    pub(crate) fn shape(&self) -> Shape {
        Shape { batch: narrow(self.rows()), tokens: narrow(self.fed), past: narrow(self.filled) }
    }

    /// `input_ids` `[rows, fed]` of rows at their start.
    pub(crate) fn write_ids<'a>(&self, rows: impl Iterator<Item = &'a [u32]>, ids: &mut [i64]) {
        for ((row, &padding), ids) in rows.zip(&self.padding).zip(ids.chunks_exact_mut(self.fed.max(1))) {
            let (before, own) = ids.split_at_mut(padding as usize);
            before.fill(0);
            own.iter_mut().zip(row).for_each(|(to, &id)| *to = i64::from(id));
        }
    }

    /// `position_ids` `[rows, fed]` of the next run.
    pub(crate) fn write_positions(&self, positions: &mut [i64]) {
        for (&padding, positions) in self.padding.iter().zip(positions.chunks_exact_mut(self.fed.max(1))) {
            for (to, at) in positions.iter_mut().zip(self.filled..) {
                *to = at.saturating_sub(padding as usize) as i64;
            }
        }
    }

    /// `attention_mask` `[rows, total]` of the next run.
    pub(crate) fn write_mask(&self, mask: &mut [i64]) {
        for (&padding, mask) in self.padding.iter().zip(mask.chunks_exact_mut(self.total().max(1))) {
            let (hidden, shown) = mask.split_at_mut(padding as usize);
            hidden.fill(0);
            shown.fill(1);
        }
    }
}

pub(crate) fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_rows_are_padded_on_the_left_and_go_on_at_their_own_length() {
        let rows: [&[u32]; 2] = [&[7], &[4, 5, 6]];
        let mut layout = Layout::default();
        layout.start(rows.iter().map(|row| row.len()), 3);
        let (mut ids, mut positions, mut mask) = ([9; 6], [9; 6], [9; 6]);
        layout.write_ids(rows.into_iter(), &mut ids);
        layout.write_positions(&mut positions);
        layout.write_mask(&mut mask);
        assert_eq!((ids, positions, mask), ([0, 0, 7, 4, 5, 6], [0, 0, 0, 0, 1, 2], [0, 0, 1, 1, 1, 1]));
        assert_eq!(layout.shape(), Shape { batch: 2, tokens: 3, past: 0 });
        layout.advance();
        let (mut positions, mut mask) = ([9; 2], [9; 8]);
        layout.write_positions(&mut positions);
        layout.write_mask(&mut mask);
        assert_eq!((positions, mask), ([1, 3], [0, 0, 1, 1, 1, 1, 1, 1]));
        assert_eq!(layout.shape(), Shape { batch: 2, tokens: 1, past: 3 });
    }

    #[test]
    fn rows_may_be_padded_beyond_the_longest() {
        let mut layout = Layout::default();
        layout.start([2].into_iter(), 3);
        let mut ids = [9; 3];
        layout.write_ids([&[1u32, 2][..]].into_iter(), &mut ids);
        assert_eq!(ids, [0, 1, 2]);
    }
}
