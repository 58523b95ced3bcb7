//! Counts the values of activations that a graph gives in place of logits.

use crate::prepare::Histogram;
use inferhost_plugin_api::abi::RawFloats;
use inferhost_plugin_api::{Error, ErrorKind, Logits, OpenSession, Positions, Rows};
use std::thread;

/// Most bytes of activations at once.
const MOST_BYTES: usize = 256 << 20;

/// Histograms in the making, and the buffer that a call writes.
#[derive(Default)]
pub(super) struct Observations {
    histograms: Vec<Histogram>,
    logits: Logits,
}

impl Observations {
    /// Runs `rows` and counts each group of columns; columns beyond the `widths` are left out.
    ///
    /// # Errors
    /// The plugin's own, a graph that is too narrow, and values that are not finite.
    pub(super) fn add(
        &mut self,
        session: &mut OpenSession,
        rows: &Rows,
        widths: &[u32],
    ) -> Result<(), Error> {
        let width = session.info().vocab_size as usize;
        if widths.iter().map(|&n| n as usize).sum::<usize>() > width {
            return Err(Error::internal(format!(
                "the graph gives {width} values, fewer than there are activations"
            )));
        }
        self.histograms.resize_with(widths.len(), Histogram::default);
        let rows: Vec<Vec<u32>> = rows.batch().iter().map(<[u32]>::to_vec).collect();
        let longest = rows.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let at_once = (MOST_BYTES / (4 * longest * width).max(1)).max(1);
        for rows in rows.chunks(at_once) {
            session.prefill(Rows::new(rows).batch(), Positions::All, &mut self.logits)?;
            self.count(width, widths)?;
        }
        Ok(())
    }

    /// The counts so far; the next call begins anew.
    pub(super) fn take(&mut self) -> Vec<Histogram> {
        std::mem::take(&mut self.histograms)
    }

    fn count(&mut self, width: usize, widths: &[u32]) -> Result<(), Error> {
        let RawFloats::F32(values) = &self.logits.values else {
            return Err(Error::internal("activations are not 32-bit floats"));
        };
        if !values.iter().all(|x| x.is_finite()) {
            return Err(Error::new(ErrorKind::NumericalFault, "an activation is NaN or infinite"));
        }
        let starts = widths.iter().scan(0, |next, &n| Some(std::mem::replace(next, *next + n as usize)));
        let mut groups: Vec<(usize, usize, &mut Histogram)> = starts
            .zip(widths)
            .zip(&mut self.histograms)
            .map(|((start, &n), to)| (start, n as usize, to))
            .collect();
        let threads = thread::available_parallelism().map_or(1, Into::into);
        let share = groups.len().div_ceil(threads).max(1);
        thread::scope(|scope| {
            for part in groups.chunks_mut(share) {
                scope.spawn(|| {
                    for (start, n, histogram) in part {
                        values.chunks_exact(width).for_each(|row| histogram.add(&row[*start..*start + *n]));
                    }
                });
            }
        });
        Ok(())
    }
}
