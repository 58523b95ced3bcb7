//! A model with no weights: the logits of a position are a hash of the row's tokens up to it. Rows cannot influence
//! one another and a cached step equals an uncached one, as with a real model, at next to no cost.

use crate::engine;
use inferhost_plugin_api::decode::{NextLogits, StepModel};
use inferhost_plugin_api::shapes::{Profile, Shape};
use inferhost_plugin_api::{Batch, Error};
use serde::Deserialize;
use std::path::Path;

/// The part of a `config.json` that the fake model needs; Llama names its context differently.
#[derive(Deserialize)]
struct Config {
    vocab_size: u32,
    n_positions: Option<u32>,
    max_position_embeddings: Option<u32>,
}

/// The fake model and, while it generates, its state: one hash per row.
pub(crate) struct FakeModel {
    pub(crate) vocab_size: u32,
    pub(crate) context_length: Option<u32>,
    /// Makes every logit NaN.
    pub(crate) poisoned: bool,
    /// Moves every logit by this much at most.
    pub(crate) noise: f32,
    /// The shapes that may be run; none: all.
    pub(crate) profiles: Option<Vec<Profile>>,
    rows: Vec<u64>,
    /// Positions of the longest row that are cached.
    past: u32,
    logits: Vec<f32>,
}

impl FakeModel {
    /// Reads the config of the model folder, or of the folder the model file lies in.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let folder = if path.is_file() { path.parent().unwrap_or(path) } else { path };
        let file = folder.join("config.json");
        let config: Config = std::fs::read_to_string(&file)
            .map_err(|e| e.to_string())
            .and_then(|text| serde_json::from_str(&text).map_err(|e| e.to_string()))
            .map_err(|e| {
                Error::invalid(format!("cannot use {}: {e}; faulty needs vocab_size", file.display()))
            })?;
        if config.vocab_size == 0 {
            return Err(Error::invalid(format!(
                "{}: vocab_size is 0; it must be at least 1",
                file.display()
            )));
        }
        Ok(Self {
            vocab_size: config.vocab_size,
            context_length: config.n_positions.or(config.max_position_embeddings),
            poisoned: false,
            noise: 0.0,
            profiles: None,
            rows: Vec::new(),
            past: 0,
            logits: Vec::new(),
        })
    }

    /// Number of token ids.
    pub(crate) fn vocab(&self) -> usize {
        self.vocab_size as usize
    }

    /// Writes the logits of the position whose row hashes to `state`.
    pub(crate) fn logits(&self, state: u64, logits: &mut [f32]) {
        for (id, logit) in (0u64..).zip(logits) {
            let moved = self.noise / 4.0 * logit_of(!state, id);
            *logit = if self.poisoned { f32::NAN } else { logit_of(state, id) + moved };
        }
    }

    /// Refuses a prefill that the engine does not run.
    pub(crate) fn check(&self, batch: Batch<'_>) -> Result<(), Error> {
        engine::check(self.profiles.as_deref(), engine::shape_of(batch))
    }

    fn next(&mut self) -> NextLogits<'_> {
        let vocab = self.vocab();
        let mut logits = std::mem::take(&mut self.logits);
        logits.resize(self.rows.len() * vocab, 0.0);
        for (&state, logits) in self.rows.iter().zip(logits.chunks_mut(vocab)) {
            self.logits(state, logits);
        }
        self.logits = logits;
        NextLogits::F32(&self.logits)
    }
}

impl StepModel for FakeModel {
    fn start(&mut self, batch: Batch<'_>, _capacity: usize) -> Result<NextLogits<'_>, Error> {
        self.check(batch)?;
        self.past = engine::shape_of(batch).tokens;
        self.rows = batch.iter().map(|row| states(row).last().unwrap_or(0)).collect();
        Ok(self.next())
    }

    fn step(&mut self, tokens: &[u32]) -> Result<NextLogits<'_>, Error> {
        let batch = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        engine::check(self.profiles.as_deref(), Shape { batch, tokens: 1, past: self.past })?;
        self.past += 1;
        for (state, &token) in self.rows.iter_mut().zip(tokens) {
            *state = advance(*state, token);
        }
        Ok(self.next())
    }
}

/// The hash of the row up to and with each of its positions.
pub(crate) fn states(row: &[u32]) -> impl Iterator<Item = u64> {
    row.iter().scan(0, |state, &token| {
        *state = advance(*state, token);
        Some(*state)
    })
}

/// ln p(`id`) under `logits`.
pub(crate) fn log_probability(logits: &[f32], id: u32) -> f64 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - top).exp()).sum();
    logits.get(id as usize).map_or(f64::NAN, |&x| f64::from(x - top) - sum.ln())
}

fn advance(state: u64, token: u32) -> u64 {
    mix(state ^ mix(u64::from(token)))
}

/// A value in [-4, 4) from the hash's upper bits.
fn logit_of(state: u64, id: u64) -> f32 {
    let bits = mix(state.wrapping_add(mix(id))) >> 40;
    bits as f32 / (1u32 << 21) as f32 - 4.0
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood, 2014, "Fast splittable pseudorandom number generators"), after its increment.
pub(crate) fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
