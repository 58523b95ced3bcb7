//! An open graph: batches to lanes, lanes to logits, logits to what was asked for.

use crate::binding::Memories;
use crate::conventions::Conventions;
use crate::element::Element;
use crate::lane::{Lane, Target};
use crate::logprob::{Piece, reduce};
use crate::runner::Runner;
use crate::signature::Signature;
use inferhost_plugin_api::decode::{NextLogits, StepModel, generate};
use inferhost_plugin_api::{
    Batch, Error, GenerateOptions, Logits, Positions, RVec, Session, SessionInfo, TokenSink, by_length,
};

/// Most bytes of logits that `logprobs` has computed at once.
const LOGPROB_BYTES: usize = 256 << 20;

/// An open graph.
pub struct OrtSession {
    // Lanes come first: their memory goes back to the session's allocators before the session goes.
    lanes: Vec<Lane>,
    /// How many of the lanes carry rows of the present call.
    active: usize,
    memories: Memories,
    runner: Runner,
    signature: Signature,
    conventions: Conventions,
    info: SessionInfo,
    /// The last step's logits, `[rows, vocab]`, where several lanes give them.
    next: Vec<f32>,
}

impl OrtSession {
    pub(crate) fn new(
        runner: Runner,
        memories: Memories,
        signature: Signature,
        conventions: Conventions,
        info: SessionInfo,
    ) -> Self {
        let (lanes, next) = (Vec::new(), Vec::new());
        Self { lanes, active: 0, memories, runner, signature, conventions, info, next }
    }

    /// Lays rows out over lanes, of which each can be stepped `more` times.
    fn start_lanes(&mut self, rows: &[&[u32]], more: usize) -> Result<(), Error> {
        let groups = by_length(rows);
        let together = groups.len() == 1 || self.signature.takes_padding(self.conventions.padding);
        let groups = if together { vec![(0..rows.len()).collect()] } else { groups };
        self.active = groups.len();
        while self.lanes.len() < self.active {
            let captures = self.runner.captures();
            self.lanes.push(Lane::new(&self.signature, self.conventions, &self.memories, captures));
        }
        self.lanes.iter_mut().zip(groups).try_for_each(|(lane, group)| lane.start(rows, group, more))
    }

    /// The one lane, where it holds the rows in order and its logits are those asked for: no position is to be left
    /// out and none converted.
    fn alone(&self, wanted: Positions) -> Option<usize> {
        let [lane] = &self.lanes[..self.active] else { return None };
        let same_rows = match wanted {
            Positions::Last => lane.positions_out(wanted) == 1,
            Positions::All => lane.is_uniform(),
        };
        (same_rows && self.signature.logits_element == Element::F32).then_some(0)
    }

    /// Runs the lanes and writes their logits where row number `i` of the batch has its own, from position
    /// `starts(i)` on.
    fn run_lanes(
        &mut self,
        wanted: Positions,
        cached: bool,
        starts: &[usize],
        logits: &mut [f32],
    ) -> Result<(), Error> {
        let vocab = self.signature.vocab_size;
        // Few logits come from a device sooner by page-locked memory; many would lock too much of it.
        let is_direct = wanted == Positions::All || !self.memories.are_apart();
        if let Some(lane) = self.alone(wanted).filter(|_| is_direct) {
            return self.lanes[lane].run(&mut self.runner, wanted, cached, Target::Caller(logits));
        }
        let lanes = &mut self.lanes[..self.active];
        for lane in lanes {
            lane.run(&mut self.runner, wanted, cached, Target::Own)?;
            for (row, own) in lane.own_logits() {
                let own = if wanted == Positions::Last { &own[own.len() - vocab..] } else { own };
                let to = starts[row] * vocab;
                logits[to..to + own.len()].copy_from_slice(own);
            }
        }
        Ok(())
    }

    /// Logits of each row's last position, left where they are where that is possible.
    fn next_logits(&mut self, rows: usize, cached: bool) -> Result<NextLogits<'_>, Error> {
        if let Some(lane) = self.alone(Positions::Last) {
            let lane = &mut self.lanes[lane];
            lane.run(&mut self.runner, Positions::Last, cached, Target::Own)?;
            return Ok(NextLogits::F32(lane.all_own_logits()));
        }
        let mut next = std::mem::take(&mut self.next);
        next.resize(rows * self.signature.vocab_size, 0.0);
        let starts: Vec<usize> = (0..rows).collect();
        let ran = self.run_lanes(Positions::Last, cached, &starts, &mut next);
        self.next = next;
        ran.map(|()| NextLogits::F32(&self.next))
    }

    /// Logprobs of rows few enough for one run.
    fn logprobs_at_once(&mut self, asked: &mut [Asked<'_>]) -> Result<(), Error> {
        let rows: Vec<&[u32]> = asked.iter().map(|row| row.fed).collect();
        self.start_lanes(&rows, 0)?;
        let vocab = self.signature.vocab_size;
        let threads = self.info.threads.unwrap_or(1) as usize;
        let mut asked: Vec<_> = asked.iter_mut().map(Some).collect();
        for lane in &mut self.lanes[..self.active] {
            lane.run(&mut self.runner, Positions::All, false, Target::Own)?;
            let rows = lane.own_logits().filter_map(|(row, logits)| Some((asked[row].take()?, logits)));
            let pieces = rows.flat_map(|(row, logits)| Piece::of_row(logits, row.next, row.to, vocab));
            reduce(pieces.collect(), vocab, threads)?;
        }
        Ok(())
    }
}

/// A row of which logprobs are wanted.
struct Asked<'a> {
    /// All tokens but the last, which predicts nothing.
    fed: &'a [u32],
    /// All tokens but the first, which nothing predicts.
    next: &'a [u32],
    /// Where their logprobs go.
    to: &'a mut [f64],
}

/// The rows that have something to predict, with their places in `to`.
fn asked<'a>(batch: Batch<'a>, mut to: &'a mut [f64]) -> Vec<Asked<'a>> {
    let rows = batch.iter().filter_map(|row| {
        let (_, next) = row.split_first()?;
        let fed = &row[..next.len()];
        let own = to.split_off_mut(..next.len())?;
        (!next.is_empty()).then_some(Asked { fed, next, to: own })
    });
    rows.collect()
}

impl Session for OrtSession {
    fn info(&self) -> SessionInfo {
        self.info.clone()
    }

    fn prefill(&mut self, batch: Batch<'_>, positions: Positions, logits: &mut Logits) -> Result<(), Error> {
        let vocab = self.signature.vocab_size;
        let logits = logits.as_f32_mut(vocab, positions.count(batch) * vocab);
        let starts = match positions {
            Positions::Last => (0..batch.rows()).collect(),
            Positions::All => batch.starts(),
        };
        self.start_lanes(&batch.iter().collect::<Vec<_>>(), 0)?;
        self.run_lanes(positions, true, &starts, logits)
    }

    fn generate(
        &mut self,
        batch: Batch<'_>,
        options: &GenerateOptions<'_>,
        sink: &mut dyn TokenSink,
    ) -> Result<(), Error> {
        if options.use_cache && self.signature.cache.is_empty() {
            return Err(Error::unsupported(
                "use_cache needs past_key_values, but the graph has none; export it with past, or run it with use_cache = false (on the command line --no-cache)",
            ));
        }
        generate(self, batch, options, sink)
    }

    fn logprobs(&mut self, batch: Batch<'_>, logprobs: &mut RVec<f64>) -> Result<(), Error> {
        let per_row = batch.longest() * self.signature.vocab_size * size_of::<f32>();
        let rows_at_once = (LOGPROB_BYTES / per_row.max(1)).max(1);
        let done = logprobs.len();
        logprobs.resize(done + batch.total_tokens() - batch.rows(), 0.0);
        for rows in asked(batch, &mut logprobs[done..]).chunks_mut(rows_at_once) {
            self.logprobs_at_once(rows)?;
        }
        Ok(())
    }
}

impl StepModel for OrtSession {
    fn start(&mut self, batch: Batch<'_>, capacity: usize) -> Result<NextLogits<'_>, Error> {
        self.start_lanes(&batch.iter().collect::<Vec<_>>(), capacity - batch.longest())?;
        self.next_logits(batch.rows(), capacity > batch.longest())
    }

    fn step(&mut self, tokens: &[u32]) -> Result<NextLogits<'_>, Error> {
        self.lanes[..self.active].iter_mut().try_for_each(|lane| lane.step(tokens))?;
        self.next_logits(tokens.len(), true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_predict_something_are_asked() {
        let batch = Batch::new(&[1, 2, 3, 4, 5, 6], &[2, 1, 3]);
        let mut to = [0.0; 3];
        let asked = asked(batch, &mut to);
        let lengths: Vec<_> = asked.iter().map(|row| (row.fed, row.next, row.to.len())).collect();
        assert_eq!(lengths, [(&[1][..], &[2][..], 1), (&[4, 5], &[5, 6], 2)]);
    }
}
