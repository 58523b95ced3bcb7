//! An open program: the three calls, from batches to lanes and from their logits to what was asked for.

use super::lane::Lane;
use super::runner::Runner;
use crate::error::Outcome;
use crate::shim::InferenceMode;
use inferhost_plugin_api::decode::{NextLogits, StepModel, generate};
use inferhost_plugin_api::{
    Batch, Error, GenerateOptions, Logits, Positions, RVec, Session, SessionInfo, TokenSink,
};
use tch::{Kind, Tensor};

/// Most bytes of logits that `logprobs` has computed at once.
const LOGPROB_BYTES: usize = 256 << 20;
/// Logprobs are reduced for this many positions at once.
const POSITIONS_AT_ONCE: i64 = 128;

/// A program, and what is kept between the calls and steps.
pub(crate) struct ProgramSession {
    runner: Runner,
    info: SessionInfo,
    threads: i32,
    lanes: Vec<Lane>,
    logits: Logits,
}

impl ProgramSession {
    pub(super) fn new(runner: Runner, info: SessionInfo, threads: i32) -> Self {
        Self { runner, info, threads, lanes: Vec::new(), logits: Logits::default() }
    }

    /// What holds for every call. Sessions of one process may differ in threads.
    fn begin(&self) -> InferenceMode {
        if tch::get_num_threads() != self.threads {
            tch::set_num_threads(self.threads);
        }
        InferenceMode::enter()
    }

    /// Runs a batch from its beginning and writes logits, a row's from position `starts(row)` on.
    fn start_lanes(
        &mut self,
        batch: Batch<'_>,
        wanted: Positions,
        keep: bool,
        logits: &mut Logits,
    ) -> Outcome<()> {
        let rows: Vec<&[u32]> = batch.iter().collect();
        // What the last call left goes first, so that two caches are never there at once.
        self.lanes.clear();
        let mut lanes = Lane::lay_out(&rows, self.runner.signature().pads);
        let starts = match wanted {
            Positions::Last => (0..rows.len()).collect(),
            Positions::All => batch.starts(),
        };
        for lane in &mut lanes {
            let found = lane.start(&rows, &mut self.runner, wanted, keep)?;
            write(&found, lane, &starts, wanted.count(batch), logits)?;
        }
        if keep {
            self.lanes = lanes;
        }
        Ok(())
    }

    /// Feeds a token to every row of the last start, and writes a position of logits for each.
    fn step_lanes(&mut self, tokens: &[u32], logits: &mut Logits) -> Outcome<()> {
        let starts: Vec<usize> = (0..tokens.len()).collect();
        let mut lanes = std::mem::take(&mut self.lanes);
        if lanes.is_empty() {
            return Err(Error::internal("a step without a start").into());
        }
        for lane in &mut lanes {
            let found = lane.step(tokens, &mut self.runner)?;
            write(&found, lane, &starts, tokens.len(), logits)?;
        }
        self.lanes = lanes;
        Ok(())
    }

    fn next_logits(&self) -> NextLogits<'_> {
        (&self.logits).into()
    }

    fn logprobs_of_batch(&mut self, batch: Batch<'_>, logprobs: &mut RVec<f64>) -> Outcome<()> {
        let rows: Vec<&[u32]> = batch.iter().collect();
        let bytes = batch.longest() * self.runner.signature().vocab_size * size_of::<f32>();
        let at_once = (LOGPROB_BYTES / bytes.max(1)).max(1);
        let mut found = vec![Vec::new(); rows.len()];
        self.lanes.clear();
        for (group, found) in rows.chunks(at_once).zip(found.chunks_mut(at_once)) {
            for mut lane in Lane::lay_out(group, self.runner.signature().pads) {
                let logits = lane.start(group, &mut self.runner, Positions::All, false)?;
                for (line, (row, padding)) in (0..).zip(lane.rows()) {
                    found[row] = logprobs_of_row(&logits.f_select(0, line)?, padding, group[row])?;
                }
            }
        }
        logprobs.extend(found.into_iter().flatten());
        Ok(())
    }
}

impl Session for ProgramSession {
    fn info(&self) -> SessionInfo {
        self.info.clone()
    }

    fn prefill(&mut self, batch: Batch<'_>, positions: Positions, logits: &mut Logits) -> Result<(), Error> {
        let _mode = self.begin();
        Ok(self.start_lanes(batch, positions, true, logits)?)
    }

    fn generate(
        &mut self,
        batch: Batch<'_>,
        options: &GenerateOptions<'_>,
        sink: &mut dyn TokenSink,
    ) -> Result<(), Error> {
        if options.use_cache && self.runner.signature().cache.is_empty() {
            return Err(Error::unsupported(
                "use_cache needs past_key_values, but the program has none; export it without --no-cache, or run it with use_cache = false (on the command line --no-cache)",
            ));
        }
        let _mode = self.begin();
        generate(self, batch, options, sink)
    }

    fn logprobs(&mut self, batch: Batch<'_>, logprobs: &mut RVec<f64>) -> Result<(), Error> {
        let _mode = self.begin();
        Ok(self.logprobs_of_batch(batch, logprobs)?)
    }
}

impl StepModel for ProgramSession {
    fn start(&mut self, batch: Batch<'_>, capacity: usize) -> Result<NextLogits<'_>, Error> {
        let mut logits = std::mem::take(&mut self.logits);
        let done = self.start_lanes(batch, Positions::Last, capacity > batch.longest(), &mut logits);
        self.logits = logits;
        done?;
        Ok(self.next_logits())
    }

    fn step(&mut self, tokens: &[u32]) -> Result<NextLogits<'_>, Error> {
        let mut logits = std::mem::take(&mut self.logits);
        let done = self.step_lanes(tokens, &mut logits);
        self.logits = logits;
        done?;
        Ok(self.next_logits())
    }
}

/// Writes a lane's logits `[rows, kept, vocab]` to where its rows have theirs among `all` positions.
fn write(found: &Tensor, lane: &Lane, starts: &[usize], all: usize, to: &mut Logits) -> Outcome<()> {
    let size = found.size();
    let (kept, vocab) = (size[1], size[2] as usize);
    let double = found.kind() == Kind::Double;
    let found = found.f_to_kind(if double { Kind::Double } else { Kind::Float })?;
    for (line, (row, padding)) in (0..).zip(lane.rows()) {
        let padding = if kept == 1 { 0 } else { padding };
        let own = found.f_select(0, line)?.f_narrow(0, padding, kept - padding)?.f_contiguous()?;
        let places = starts[row] * vocab..starts[row] * vocab + own.numel();
        let length = own.numel();
        if double {
            own.f_copy_data(&mut to.as_f64_mut(vocab, all * vocab)[places], length)?;
        } else {
            own.f_copy_data(&mut to.as_f32_mut(vocab, all * vocab)[places], length)?;
        }
    }
    Ok(())
}

/// ln p of all tokens of a row but the first, from its logits `[columns, vocab]`.
fn logprobs_of_row(logits: &Tensor, padding: i64, tokens: &[u32]) -> Outcome<Vec<f64>> {
    let follows: Vec<i64> = tokens.iter().skip(1).map(|&id| i64::from(id)).collect();
    let mut found = Vec::with_capacity(follows.len());
    for (first, follows) in
        (padding..).step_by(POSITIONS_AT_ONCE as usize).zip(follows.chunks(POSITIONS_AT_ONCE as usize))
    {
        let count = follows.len() as i64;
        let wide = if logits.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let logits = logits.f_narrow(0, first, count)?.f_to_kind(wide)?;
        let follows = Tensor::f_from_slice(follows)?.f_to_device(logits.device())?;
        let chosen = logits.f_gather(1, &follows.f_unsqueeze(1)?, false)?.f_squeeze_dim(1)?;
        let logprob = chosen.f_sub(&logits.f_logsumexp([1], false)?)?;
        found.extend(Vec::<f64>::try_from(logprob.f_to_kind(Kind::Double)?)?);
    }
    Ok(found)
}
