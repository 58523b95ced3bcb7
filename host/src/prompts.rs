//! The token ids a run is given: random ids of the whole vocabulary, or stretches of a text. They depend on seed
//! and scenario alone, so every backend and every repetition sees the same.

use crate::config::Scenario;
use inferhost_plugin_api::Rows;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use sha2::{Digest, Sha256};

/// Where prompt tokens come from.
#[derive(Debug, Clone)]
pub struct PromptSource(Source);

#[derive(Debug, Clone)]
enum Source {
    /// Uniform over so many ids.
    Random(u32),
    /// Stretches of these tokens, from random starts.
    Text(Vec<u32>),
}

impl PromptSource {
    /// Ids drawn from the whole vocabulary.
    pub const fn random(vocab_size: u32) -> Self {
        Self(Source::Random(vocab_size))
    }

    /// Stretches of `tokens`, of up to `longest`.
    ///
    /// # Errors
    /// One line where there are fewer tokens than that.
    pub fn text(tokens: Vec<u32>, longest: u32) -> Result<Self, String> {
        if tokens.len() < longest as usize || tokens.is_empty() {
            let found = tokens.len();
            return Err(format!(
                "the text has {found} tokens, the longest prompt {longest}; give a longer text"
            ));
        }
        Ok(Self(Source::Text(tokens)))
    }
}

/// The rows of `scenario`, `[batch][prompt_tokens]`.
pub fn rows(source: &PromptSource, scenario: &Scenario, seed: u64) -> Rows {
    let mut rng = rng(seed, &scenario.name);
    let length = scenario.prompt_tokens as usize;
    let row = |_| -> Vec<u32> {
        match &source.0 {
            Source::Random(vocab_size) => {
                (0..length).map(|_| rng.random_range(0..(*vocab_size).max(1))).collect()
            }
            Source::Text(tokens) => {
                let start = rng.random_range(0..=tokens.len().saturating_sub(length));
                tokens.iter().skip(start).take(length).copied().collect()
            }
        }
    };
    Rows::new(&(0..scenario.batch).map(row).collect::<Vec<_>>())
}

fn rng(seed: u64, scenario: &str) -> Xoshiro256PlusPlus {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(scenario).finalize();
    let mut bytes = [0u8; 32];
    bytes.copy_from_slice(&digest);
    Xoshiro256PlusPlus::from_seed(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(name: &str, batch: u32) -> Scenario {
        Scenario { name: name.into(), batch, prompt_tokens: 6, new_tokens: 1 }
    }

    #[test]
    fn seed_and_scenario_decide_the_prompt() {
        let source = PromptSource::random(1000);
        let of = |name: &str, seed| rows(&source, &scenario(name, 2), seed);
        assert_eq!(of("a", 1), of("a", 1));
        assert_ne!(of("a", 1), of("a", 2));
        assert_ne!(of("a", 1), of("b", 1));
        assert!(of("a", 1).batch().tokens.iter().all(|&id| id < 1000));
    }

    #[test]
    fn text_is_cut_not_shuffled_and_must_be_long_enough() {
        let text = PromptSource::text((0..50).collect(), 6).unwrap();
        let rows_of = rows(&text, &scenario("a", 3), 1);
        assert!(rows_of.batch().iter().all(|row| row.windows(2).all(|w| w[1] == w[0] + 1)));
        assert!(PromptSource::text(vec![1], 6).unwrap_err().contains("1 tokens"));
    }
}
