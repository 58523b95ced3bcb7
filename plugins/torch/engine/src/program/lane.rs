//! Rows that share a run: padded on the left where the program takes padding, else of one length. The mask hides the
//! padding, and positions count from each row's first token.

use super::runner::{Feed, Runner};
use crate::error::Outcome;
use inferhost_plugin_api::{Positions, by_length};
use tch::{Kind, Tensor};

/// Rows in flight.
pub(super) struct Lane {
    /// Which rows of the batch these are.
    rows: Vec<usize>,
    /// Columns of padding before each.
    padding: Vec<i64>,
    /// Positions that the cache holds.
    filled: i64,
    past: Vec<Tensor>,
}

impl Lane {
    /// Lays `batch` out over as few lanes as the program allows.
    pub(super) fn lay_out(batch: &[&[u32]], pads: bool) -> Vec<Self> {
        let groups = if pads { vec![(0..batch.len()).collect()] } else { by_length(batch) };
        groups.into_iter().map(|rows| Self::new(rows, batch)).collect()
    }

    fn new(rows: Vec<usize>, batch: &[&[u32]]) -> Self {
        let longest = rows.iter().map(|&row| batch[row].len()).max().unwrap_or(0);
        let padding = rows.iter().map(|&row| (longest - batch[row].len()) as i64).collect();
        Self { rows, padding, filled: 0, past: Vec::new() }
    }

    /// The row of each line of logits, with the columns of padding before it.
    pub(super) fn rows(&self) -> impl Iterator<Item = (usize, i64)> {
        self.rows.iter().copied().zip(self.padding.iter().copied())
    }

    /// Runs all tokens of its rows from an empty cache, and gives logits `[rows, kept, vocab]` of the last column or of
    /// all. With `keep` the lane can be stepped on.
    pub(super) fn start(
        &mut self,
        batch: &[&[u32]],
        runner: &mut Runner,
        wanted: Positions,
        keep: bool,
    ) -> Outcome<Tensor> {
        self.past = runner.empty_past(self.rows.len() as i64)?;
        self.filled = 0;
        let ids = self.rows().flat_map(|(row, padding)| {
            let tokens = batch[row].iter().map(|&id| i64::from(id));
            (0..padding).map(|_| 0).chain(tokens)
        });
        let ids = ids.collect::<Vec<_>>();
        self.run(&ids, runner, wanted, keep)
    }

    /// Feeds every row its token out of `tokens`, one for each row of the whole batch.
    pub(super) fn step(&mut self, tokens: &[u32], runner: &mut Runner) -> Outcome<Tensor> {
        let ids: Vec<i64> = self.rows.iter().map(|&row| i64::from(tokens[row])).collect();
        self.run(&ids, runner, Positions::Last, true)
    }

    fn run(&mut self, ids: &[i64], runner: &mut Runner, wanted: Positions, keep: bool) -> Outcome<Tensor> {
        let batch = self.rows.len() as i64;
        let sequence = ids.len() as i64 / batch.max(1);
        let (filled, total) = (self.filled, self.filled + sequence);
        let mask =
            self.padding.iter().flat_map(|&padding| (0..total).map(move |at| i64::from(at >= padding)));
        let positions =
            self.padding.iter().flat_map(|&padding| (filled..total).map(move |at| (at - padding).max(0)));
        let indices = if wanted == Positions::Last { sequence - 1..sequence } else { 0..sequence };
        let matrix = |values: Vec<i64>, width| Tensor::f_from_slice(&values)?.f_reshape([batch, width]);
        let given = runner.run(Feed {
            ids: matrix(ids.to_vec(), sequence)?,
            mask: matrix(mask.collect(), total)?,
            positions: matrix(positions.collect(), sequence)?,
            indices: Tensor::f_arange_start(indices.start, indices.end, (Kind::Int64, runner.device()))?,
            past: &self.past,
        })?;
        self.filled = total;
        self.past = if keep { given.present } else { Vec::new() };
        let columns = given.logits.size()[1];
        match wanted {
            Positions::Last if columns > 1 => Ok(given.logits.f_narrow(1, columns - 1, 1)?),
            _ => Ok(given.logits),
        }
    }
}
