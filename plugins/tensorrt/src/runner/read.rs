//! Results on their way to the host: logits through staging memory, of which one half is filled while the other is read,
//! and logprobs, which the device has made of logits, one number a position.

use super::Runner;
use crate::buffers::HALF;
use crate::element::Element;
use crate::kernels::NONE;
use crate::layout::narrow;
use inferhost_plugin_api::{Error, ErrorKind};

/// Logits that lie together on both sides; in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    from: usize,
    to: usize,
    count: usize,
}

impl Runner {
    /// Waits for all that was asked for.
    pub(super) fn wait(&mut self) -> Result<(), Error> {
        self.stream.synchronize()?;
        self.is_idle = true;
        Ok(())
    }

    /// The last run's logits of every row's last position, `[rows, vocab]`, or of all that are no padding, one row after
    /// the other.
    pub(crate) fn logits(&mut self, last: bool, floats: &mut [f32]) -> Result<(), Error> {
        let (vocab, kept) = (self.contract.vocab, self.kept);
        let rows = self.layout.padding().iter().enumerate().map(|(row, &padding)| {
            let own = if last { 1 } else { kept.saturating_sub(padding as usize) };
            ((row * kept + kept - own) * vocab, own * vocab)
        });
        let pieces = pieces(rows, self.contract.logits_element);
        let mut on_its_way: Option<(Piece, usize)> = None;
        for (index, &piece) in pieces.iter().enumerate() {
            let half = index % 2 * HALF;
            self.ask(&piece, half)?;
            if let Some((before, half)) = on_its_way.replace((piece, half)) {
                self.take(&before, half, floats);
            }
            self.wait()?;
        }
        if let Some((piece, half)) = on_its_way {
            self.take(&piece, half, floats);
        }
        Ok(())
    }

    fn ask(&mut self, piece: &Piece, half: usize) -> Result<(), Error> {
        let size = self.contract.logits_element.size();
        let range = half..half + piece.count * size / 2;
        self.is_idle = false;
        let (logits, staging) = (&self.buffers.logits, &self.buffers.staging);
        // SAFETY: both are kept; this half of the staging memory is not read before the wait that follows.
        unsafe { self.stream.download(logits, piece.from * size, staging, range) }
    }

    fn take(&self, piece: &Piece, half: usize, floats: &mut [f32]) {
        let element = self.contract.logits_element;
        let words = &self.buffers.staging.as_slice()[half..half + piece.count * element.size() / 2];
        element.widen(words, &mut floats[piece.to..piece.to + piece.count]);
    }

    /// ln p of what follows each position that was fed, `next` giving each row's tokens: appended row by row, in order.
    /// The last run gave logits of all positions.
    ///
    /// # Errors
    /// [`ErrorKind::NumericalFault`] for logits that hold NaN or have no finite maximum.
    pub(crate) fn logprobs(
        &mut self,
        next: &[&[u32]],
        mut to: impl FnMut(usize, &[f64]),
    ) -> Result<(), Error> {
        let (kept, rows) = (self.kept, self.layout.rows());
        let count = rows * kept;
        self.buffers.reserve_logprobs(count)?;
        let asked = self.buffers.next.pinned.as_mut_slice();
        // Where each row's own positions begin, and how many of them predict something.
        let padding = self.layout.padding().iter().map(|&padding| padding as usize);
        let places: Vec<_> =
            padding.zip(next).enumerate().map(|(row, (at, next))| (row * kept + at, *next)).collect();
        asked[..count].fill(NONE);
        for (start, next) in &places {
            asked[*start..start + next.len()].copy_from_slice(next);
        }
        let (buffers, stream) = (&self.buffers, &self.stream);
        self.is_idle = false;
        // SAFETY: all of it is large enough, and kept and left alone until the wait that follows.
        unsafe {
            stream.upload(&buffers.next.pinned, count, &buffers.next.device)?;
            let (next, to) = (&buffers.next.device, &buffers.logprobs.device);
            self.kernels.logprobs(stream, narrow(count), &buffers.logits, next, to)?;
            stream.download(to, 0, &buffers.logprobs.pinned, 0..count)?;
        }
        self.wait()?;
        let logprobs = &self.buffers.logprobs.pinned.as_slice()[..count];
        if logprobs.iter().any(|logprob| logprob.is_nan()) {
            let message = "the model's logits hold NaN or have no finite maximum";
            return Err(Error::new(ErrorKind::NumericalFault, message));
        }
        for (row, (start, next)) in places.into_iter().enumerate() {
            to(row, &logprobs[start..start + next.len()]);
        }
        Ok(())
    }
}

/// Rows as few pieces, none of them larger than half of the staging memory: `rows` says where each begins and how much of
/// it is wanted.
fn pieces(rows: impl Iterator<Item = (usize, usize)>, element: Element) -> Vec<Piece> {
    let most = HALF * 2 / element.size();
    let mut joined: Vec<Piece> = Vec::new();
    let mut to = 0;
    for (from, count) in rows {
        match joined.last_mut() {
            Some(piece) if piece.from + piece.count == from => piece.count += count,
            _ => joined.push(Piece { from, to, count }),
        }
        to += count;
    }
    let cut = |piece: Piece| {
        (0..piece.count).step_by(most).map(move |at| Piece {
            from: piece.from + at,
            to: piece.to + at,
            count: most.min(piece.count - at),
        })
    };
    joined.into_iter().flat_map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_together_is_copied_together_up_to_a_half() {
        let piece = |from, to, count| Piece { from, to, count };
        let uniform = [(0, 10), (10, 10), (20, 10)];
        assert_eq!(pieces(uniform.into_iter(), Element::F32), [piece(0, 0, 30)]);
        let ragged = [(5, 5), (10, 10), (23, 7)];
        assert_eq!(pieces(ragged.into_iter(), Element::F32), [piece(5, 0, 15), piece(23, 15, 7)]);
        let most = HALF / 2;
        let large = [(0, 2 * most + 1)];
        let expected = [piece(0, 0, most), piece(most, most, most), piece(2 * most, 2 * most, 1)];
        assert_eq!(pieces(large.into_iter(), Element::F32), expected);
        assert_eq!(pieces(large.into_iter(), Element::F16), [piece(0, 0, HALF), piece(HALF, HALF, 1)]);
    }
}
