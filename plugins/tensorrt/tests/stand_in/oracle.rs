//! What the stand-in's decoder gives, computed from a row's tokens alone: no batch, no padding, no cache.

use crate::plan::Collected;
use inferhost_plugin_api::decode::{NextLogits, StepModel, generate};
use inferhost_plugin_api::{Batch, Error, GenerateOptions, Rows};

/// The decoder's sizes, which are all that there is to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Model {
    pub(crate) layers: u32,
    pub(crate) kv_heads: u32,
    pub(crate) head_size: u32,
    pub(crate) vocab: u32,
}

fn mix(a: u32, b: u32) -> u32 {
    let hash = a ^ b.wrapping_mul(0x9e37_79b1);
    let hash = (hash ^ (hash >> 15)).wrapping_mul(0x85eb_ca77);
    let hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae3d);
    hash ^ (hash >> 16)
}

impl Model {
    /// Logits of all positions.
    pub(crate) fn logits(&self, tokens: &[u32]) -> Vec<Vec<f32>> {
        let mut states: Vec<u32> = (0..).zip(tokens).map(|(position, &token)| mix(token, position)).collect();
        for layer in 0..self.layers {
            let before = states.clone();
            for (position, state) in states.iter_mut().enumerate() {
                *state = mix(*state, self.attended(&before[..=position], layer));
            }
        }
        let logits =
            |state: u32| (0..self.vocab).map(|token| (mix(state, token) % 256) as f32 / 8.0).collect();
        states.into_iter().map(logits).collect()
    }

    fn attended(&self, states: &[u32], layer: u32) -> u32 {
        let own = states[states.len() - 1];
        let mut sum = 0u32;
        for part in 0..2 {
            for &state in states {
                for unit in 0..self.kv_heads * self.head_size {
                    let value = mix(mix(state, 2 * layer + part), unit) % 64;
                    sum = sum.wrapping_add(value * (mix(own, 2 * unit + part) % 97));
                }
            }
        }
        sum
    }

    /// Those of the last position of every row.
    pub(crate) fn last_logits(&self, rows: &[Vec<u32>]) -> Vec<f32> {
        rows.iter().flat_map(|row| self.logits(row).pop().unwrap()).collect()
    }

    /// ln p of every token but the first.
    pub(crate) fn logprobs(&self, row: &[u32]) -> Vec<f64> {
        let logprob = |(logits, &token): (&Vec<f32>, &u32)| {
            let sum: f64 = logits.iter().map(|&logit| f64::from(logit - 32.0).exp()).sum();
            f64::from(logits[token as usize] - 32.0) - sum.ln()
        };
        self.logits(row).iter().zip(&row[1..]).map(logprob).collect()
    }

    /// What the shared loop makes of these logits, one row after the other.
    pub(crate) fn generate(&self, rows: &[Vec<u32>], options: &GenerateOptions<'_>) -> Vec<Vec<u32>> {
        let alone = |row: &Vec<u32>| {
            let mut nothing = || ();
            let mut sink = Collected(vec![Vec::new()], &mut nothing);
            let mut steps = Steps { model: *self, row: Vec::new(), logits: Vec::new() };
            generate(&mut steps, Rows::new(std::slice::from_ref(row)).batch(), options, &mut sink).unwrap();
            sink.0.remove(0)
        };
        rows.iter().map(alone).collect()
    }
}

struct Steps {
    model: Model,
    row: Vec<u32>,
    logits: Vec<f32>,
}

impl StepModel for Steps {
    fn start(&mut self, batch: Batch<'_>, _: usize) -> Result<NextLogits<'_>, Error> {
        self.row = batch.iter().flatten().copied().collect();
        self.logits = self.model.last_logits(std::slice::from_ref(&self.row));
        Ok(NextLogits::F32(&self.logits))
    }

    fn step(&mut self, tokens: &[u32]) -> Result<NextLogits<'_>, Error> {
        self.row.extend(tokens);
        self.logits = self.model.last_logits(std::slice::from_ref(&self.row));
        Ok(NextLogits::F32(&self.logits))
    }
}
