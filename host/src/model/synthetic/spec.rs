//! What follows `synthetic:`: the sizes of the study's models by name, or any size by keys.

use super::write::FORMAT;
use crate::config::nearest;
use crate::model::tensors::parameters;
use crate::model::{Activation, Architecture, Gpt2Config};
use std::str::FromStr;

/// Named sizes: name, layers, width, heads. All have GPT-2's vocabulary and context.
pub const NAMED: [(&str, u32, u32, u32); 9] = [
    ("tiny-gpt2", 2, 2, 2),
    ("gpt2-5m", 1, 96, 3),
    ("gpt2-25m", 3, 384, 6),
    ("gpt2-45m", 6, 512, 8),
    ("gpt2-50m", 8, 512, 8),
    ("gpt2-75m", 5, 768, 12),
    ("gpt2-100m", 8, 768, 12),
    ("gpt2-124m", 12, 768, 12),
    ("gpt2-xl", 48, 1600, 25),
];
const KEYS: [&str; 7] = ["layers", "embd", "heads", "vocab", "ctx", "inner", "seed"];
/// More is a slip of the keyboard: the file would be larger than 80 GB.
const MOST_PARAMETERS: u128 = 20_000_000_000;

/// A size and a seed; GPT-2's 124M and seed 0 where not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntheticSpec {
    layers: u32,
    embd: u32,
    heads: u32,
    vocab: u32,
    ctx: u32,
    inner: Option<u32>,
    seed: u64,
}

impl SyntheticSpec {
    const GPT2: Self =
        Self { layers: 12, embd: 768, heads: 12, vocab: 50_257, ctx: 1024, inner: None, seed: 0 };

    /// The hyperparameters.
    pub fn config(&self) -> Gpt2Config {
        Gpt2Config {
            n_embd: self.embd,
            n_layer: self.layers,
            n_head: self.heads,
            n_inner: self.inner.unwrap_or(self.embd.saturating_mul(4)),
            n_positions: self.ctx,
            vocab_size: self.vocab,
            layer_norm_epsilon: 1e-5,
            activation: Activation::GeluTanh,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
            tie_word_embeddings: true,
        }
    }

    /// The hyperparameters, as a model's config has them.
    pub fn architecture(&self) -> Architecture {
        Architecture::Gpt2(self.config())
    }

    /// Most positions of one row.
    pub const fn context_length(&self) -> u32 {
        self.ctx
    }

    /// The seed of all tensors.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Unique per content, so that a name and its keys share one folder.
    pub(super) fn folder_name(&self) -> String {
        let Self { layers, embd, heads, vocab, ctx, seed, .. } = self;
        let inner = self.config().n_inner;
        format!("gpt2-l{layers}-e{embd}-h{heads}-v{vocab}-c{ctx}-i{inner}-s{seed}-f{FORMAT}")
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let size = || match value.parse::<u32>() {
            Ok(size @ 1..=10_000_000) => Ok(size),
            _ => Err(format!("{key}={value} is not a whole number from 1 to 10,000,000")),
        };
        match key {
            "layers" => self.layers = size()?,
            "embd" => self.embd = size()?,
            "heads" => self.heads = size()?,
            "vocab" => self.vocab = size()?,
            "ctx" => self.ctx = size()?,
            "inner" => self.inner = Some(size()?),
            "seed" => {
                self.seed = value
                    .parse()
                    .map_err(|_| format!("seed={value} is not a whole number from 0 to 2^64-1"))?;
            }
            _ => return Err(unknown("key", key, &KEYS)),
        }
        Ok(())
    }

    fn checked(self) -> Result<Self, String> {
        let Self { embd, heads, .. } = self;
        if embd % heads != 0 {
            return Err(format!("embd={embd} is not divisible by heads={heads}"));
        }
        match parameters(&self.architecture()) {
            count if count > MOST_PARAMETERS => {
                Err(format!("that is {count} parameters; at most {MOST_PARAMETERS} are made"))
            }
            _ => Ok(self),
        }
    }
}

impl FromStr for SyntheticSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, keys) = text.split_once('?').unwrap_or((text, ""));
        let named = NAMED.iter().find(|(known, ..)| *known == name);
        let mut spec = match named {
            Some(&(_, layers, embd, heads)) => Self { layers, embd, heads, ..Self::GPT2 },
            None if name == "gpt2" => Self::GPT2,
            None => {
                let known: Vec<&str> = NAMED.iter().map(|(known, ..)| *known).chain(["gpt2"]).collect();
                return Err(unknown("size", name, &known));
            }
        };
        let mut seen: Vec<&str> = Vec::new();
        for pair in keys.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is not key=value"))?;
            if seen.contains(&key) {
                return Err(format!("{key} is given twice"));
            }
            if named.is_some() && key != "seed" && KEYS.contains(&key) {
                return Err(format!("{name} has its sizes and takes only seed=; use gpt2?{pair} to choose"));
            }
            spec.set(key, value)?;
            seen.push(key);
        }
        spec.checked()
    }
}

fn unknown(what: &str, found: &str, known: &[&str]) -> String {
    match nearest(found, known.iter().copied()) {
        Some(nearest) => format!("unknown {what} {found:?}; did you mean {nearest}?"),
        None => format!("unknown {what} {found:?}; known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tensors::{TensorSpec, tensors};

    fn count(spec: &str) -> u128 {
        parameters(&spec.parse::<SyntheticSpec>().unwrap().architecture())
    }

    /// The study's sizes, from `reference/crossover_points.csv` (rounded to 10,000 but for the smallest).
    #[test]
    fn named_sizes_are_the_studys() {
        let table = [
            ("tiny-gpt2", 102_714),
            ("gpt2-5m", 5_040_000),
            ("gpt2-25m", 25_020_000),
            ("gpt2-45m", 45_170_000),
            ("gpt2-50m", 51_480_000),
            ("gpt2-75m", 74_820_000),
            ("gpt2-100m", 96_090_000),
            ("gpt2-124m", 124_440_000),
        ];
        assert_eq!(count("tiny-gpt2"), 102_714);
        assert_eq!(count("gpt2-124m"), 124_439_808);
        assert_eq!(count("gpt2-xl"), 1_557_611_200);
        for (name, expected) in table {
            assert!(count(name).abs_diff(expected) <= 5_000, "{name} has {}", count(name));
        }
    }

    #[test]
    fn the_count_is_that_of_the_tensors() {
        for spec in ["tiny-gpt2", "gpt2-5m", "gpt2?layers=3&embd=10&heads=5&vocab=7&ctx=3&inner=9"] {
            let mut config = spec.parse::<SyntheticSpec>().unwrap().config();
            for tied in [true, false] {
                config.tie_word_embeddings = tied;
                let architecture = Architecture::Gpt2(config.clone());
                let sum: u64 = tensors(&architecture).iter().map(TensorSpec::len).sum();
                assert_eq!(parameters(&architecture), u128::from(sum), "{spec}");
            }
        }
    }

    #[test]
    fn names_and_keys_meet() {
        let parse = |text: &str| text.parse::<SyntheticSpec>().unwrap();
        assert_eq!(parse("gpt2-124m"), parse("gpt2"));
        assert_eq!(parse("gpt2-5m?seed=4"), parse("gpt2?seed=4&layers=1&embd=96&heads=3"));
        assert_eq!(parse("gpt2?inner=3072").folder_name(), parse("gpt2").folder_name());
        assert_ne!(parse("gpt2?seed=1").folder_name(), parse("gpt2").folder_name());
    }

    #[test]
    fn mistakes_name_the_nearest_right_one() {
        for (text, expected) in [
            ("gpt2-124", "unknown size \"gpt2-124\"; did you mean gpt2-124m?"),
            ("llama", "unknown size \"llama\"; known are tiny-gpt2, gpt2-5m"),
            ("gpt2?layer=2", "unknown key \"layer\"; did you mean layers?"),
            ("gpt2?layers=two", "layers=two is not a whole number from 1"),
            ("gpt2?layers=0", "layers=0 is not a whole number from 1"),
            ("gpt2?layers=-1", "layers=-1 is not a whole number"),
            ("gpt2?seed=1.5", "seed=1.5 is not a whole number"),
            ("gpt2?layers", "\"layers\" is not key=value"),
            ("gpt2?seed=1&seed=2", "seed is given twice"),
            ("gpt2?embd=100", "embd=100 is not divisible by heads=12"),
            ("gpt2-5m?layers=2", "gpt2-5m has its sizes and takes only seed=; use gpt2?layers=2 to choose"),
            ("gpt2?layers=10000000", "parameters; at most 20000000000 are made"),
        ] {
            let message = text.parse::<SyntheticSpec>().unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
