//! An open fake model: every call asks the faults first, computes, then spoils the output where that is due.

use crate::fault::{Faults, Tamper, exit_in_drop};
use crate::model::{FakeModel, log_probability, states};
use crate::options::Stage;
use abi_stable::std_types::RVec;
use inferhost_plugin_api::{
    Batch, Error, GenerateOptions, Logits, Positions, Session, SessionInfo, Token, TokenSink, decode,
};

/// An open fake model.
pub struct FaultySession {
    model: FakeModel,
    faults: Faults,
}

impl FaultySession {
    pub(crate) fn new(model: FakeModel, faults: Faults) -> Self {
        Self { model, faults }
    }

    fn begin(&mut self, call: Stage) -> Result<Tamper, Error> {
        let tamper = self.faults.before(call)?;
        self.model.poisoned = tamper == Tamper::Nan;
        self.model.noise = if tamper == Tamper::Noise { self.faults.noise() } else { 0.0 };
        Ok(tamper)
    }
}

impl Session for FaultySession {
    fn info(&self) -> SessionInfo {
        SessionInfo {
            device: "cpu".into(),
            precision: "f32".into(),
            threads: Some(1),
            runtime_version: Some(env!("CARGO_PKG_VERSION").into()),
            vocab_size: self.model.vocab_size,
            context_length: self.model.context_length,
            ..SessionInfo::default()
        }
    }

    fn prefill(&mut self, batch: Batch<'_>, positions: Positions, logits: &mut Logits) -> Result<(), Error> {
        let tamper = self.begin(Stage::Prefill)?;
        self.model.check(batch)?;
        let vocab = self.model.vocab();
        let count = positions.count(batch);
        let values = logits.as_f32_mut(vocab, count * vocab);
        let wanted = batch.iter().flat_map(|row| {
            let skipped = match positions {
                Positions::Last => row.len() - 1,
                Positions::All => 0,
            };
            states(row).skip(skipped)
        });
        for (state, values) in wanted.zip(values.chunks_mut(vocab)) {
            self.model.logits(state, values);
        }
        match tamper {
            Tamper::Short => drop(logits.as_f32_mut(vocab, (count - 1) * vocab)),
            Tamper::WrongShape => drop(logits.as_f32_mut(vocab + 1, count * (vocab + 1))),
            Tamper::HugeVocabulary => logits.vocab_size = u32::MAX,
            _ => {}
        }
        Ok(())
    }

    fn generate(
        &mut self,
        batch: Batch<'_>,
        options: &GenerateOptions<'_>,
        sink: &mut dyn TokenSink,
    ) -> Result<(), Error> {
        let mut options = *options;
        let tamper = self.begin(Stage::Generate)?;
        if matches!(tamper, Tamper::TooManyTokens | Tamper::EndlessTokens) {
            let endless = tamper == Tamper::EndlessTokens;
            (0..).take_while(|&step| endless || step <= options.max_new_tokens).for_each(|_| {
                // What it says does not matter to a plugin that does not listen.
                sink.step(&all_rows(batch));
            });
            return Ok(());
        }
        if tamper == Tamper::Short {
            options.max_new_tokens /= 2;
            if options.max_new_tokens == 0 {
                return Ok(());
            }
        }
        let vocab_size = self.model.vocab_size;
        let mut sink = TamperedSink { sink, tamper, vocab_size, rows: batch.rows() };
        if tamper == Tamper::CallbackThread {
            return from_another_thread(&mut self.model, batch, &options, &mut sink);
        }
        decode::generate(&mut self.model, batch, &options, &mut sink)
    }

    fn logprobs(&mut self, batch: Batch<'_>, logprobs: &mut RVec<f64>) -> Result<(), Error> {
        let tamper = self.begin(Stage::Logprobs)?;
        self.model.check(batch)?;
        let mut logits = vec![0.0; self.model.vocab()];
        for row in batch.iter() {
            for (state, &next) in states(row).zip(row.iter().skip(1)) {
                self.model.logits(state, &mut logits);
                logprobs.push(log_probability(&logits, next));
            }
        }
        match tamper {
            Tamper::Short => drop(logprobs.pop()),
            Tamper::WrongShape => logprobs.push(-1.0),
            _ => {}
        }
        Ok(())
    }
}

impl Drop for FaultySession {
    fn drop(&mut self) {
        exit_in_drop(self.faults.exit_in_drop());
    }
}

fn all_rows(batch: Batch<'_>) -> Vec<Token> {
    (0..).take(batch.rows()).map(|row| Token { row, id: 0 }).collect()
}

/// The tokens are collected here and handed over from a thread that the caller knows nothing of.
fn from_another_thread(
    model: &mut FakeModel,
    batch: Batch<'_>,
    options: &GenerateOptions<'_>,
    sink: &mut TamperedSink<'_>,
) -> Result<(), Error> {
    struct Sent<T>(T);
    // SAFETY: the thread below ends before this function does, and meanwhile this one does not touch what it has.
    unsafe impl<T> Send for Sent<T> {}
    let mut sent = Sent((model, batch, options, sink));
    std::thread::scope(|scope| {
        let call = scope.spawn(move || {
            // All of it, or its parts would be sent one by one.
            let Sent((model, batch, options, sink)) = { &mut sent };
            decode::generate(*model, *batch, options, *sink)
        });
        call.join().unwrap_or_else(|_| Err(Error::internal("the thread panicked")))
    })
}

/// Passes tokens on, spoilt as `tamper` says.
struct TamperedSink<'a> {
    sink: &'a mut dyn TokenSink,
    tamper: Tamper,
    vocab_size: u32,
    rows: usize,
}

impl TokenSink for TamperedSink<'_> {
    fn step(&mut self, tokens: &[Token]) -> bool {
        let mut tokens = tokens.to_vec();
        if let Some(token) = tokens.first_mut() {
            match self.tamper {
                Tamper::WrongShape => token.row = u32::try_from(self.rows).unwrap_or(u32::MAX),
                Tamper::TokenOutOfRange => token.id = self.vocab_size,
                _ => {}
            }
        }
        self.sink.step(&tokens)
    }
}
