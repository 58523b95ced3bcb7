//! An open fake model: every call asks the faults first, computes, then spoils the output where that is due.

use crate::fault::{Faults, Tamper};
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
            Tamper::Nothing | Tamper::Nan | Tamper::Noise | Tamper::TokenOutOfRange => {}
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
        if tamper == Tamper::Short {
            options.max_new_tokens /= 2;
            if options.max_new_tokens == 0 {
                return Ok(());
            }
        }
        let vocab_size = self.model.vocab_size;
        let mut sink = TamperedSink { sink, tamper, vocab_size, rows: batch.rows() };
        decode::generate(&mut self.model, batch, &options, &mut sink)
    }

    fn logprobs(&mut self, batch: Batch<'_>, logprobs: &mut RVec<f64>) -> Result<(), Error> {
        let tamper = self.begin(Stage::Logprobs)?;
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
            Tamper::Nothing | Tamper::Nan | Tamper::Noise | Tamper::TokenOutOfRange => {}
        }
        Ok(())
    }
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
                Tamper::Nothing | Tamper::Nan | Tamper::Noise | Tamper::Short => {}
            }
        }
        self.sink.step(&tokens)
    }
}
