//! What follows `synthetic:`: a size by name, or any size of an architecture by keys.

use super::gpt2::Gpt2Shape;
use super::llama::LlamaShape;
use super::write::FORMAT;
use crate::config::nearest;
use crate::model::Architecture;
use crate::model::tensors::parameters;
use std::str::FromStr;

/// More is a slip of the keyboard: the file would be larger than 80 GB.
const MOST_PARAMETERS: u128 = 20_000_000_000;

/// A size of an architecture, and a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntheticSpec {
    shape: Shape,
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Gpt2(Gpt2Shape),
    Llama(LlamaShape),
}

impl Shape {
    /// The architectures by name, then the sizes by name.
    fn known() -> impl Iterator<Item = (&'static str, Self)> {
        let gpt2 = Gpt2Shape::NAMED.map(|(name, shape)| (name, Self::Gpt2(shape)));
        let llama = LlamaShape::NAMED.map(|(name, shape)| (name, Self::Llama(shape)));
        let free = [Self::Gpt2(Gpt2Shape::DEFAULT), Self::Llama(LlamaShape::DEFAULT)];
        let free = free.map(|shape| (shape.name(), shape));
        gpt2.into_iter().chain(llama).chain(free)
    }

    /// What takes every key.
    const fn name(&self) -> &'static str {
        match self {
            Self::Gpt2(_) => "gpt2",
            Self::Llama(_) => "llama",
        }
    }

    const fn keys(&self) -> &'static [&'static str] {
        match self {
            Self::Gpt2(_) => &Gpt2Shape::KEYS,
            Self::Llama(_) => &LlamaShape::KEYS,
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match self {
            Self::Gpt2(shape) => shape.set(key, value),
            Self::Llama(shape) => shape.set(key, value),
        }
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Gpt2(shape) => shape.check(),
            Self::Llama(shape) => shape.check(),
        }
    }
}

impl SyntheticSpec {
    /// The hyperparameters, as a model's config has them.
    pub fn architecture(&self) -> Architecture {
        match &self.shape {
            Shape::Gpt2(shape) => Architecture::Gpt2(shape.config()),
            Shape::Llama(shape) => Architecture::Llama(shape.config()),
        }
    }

    /// Most positions of one row.
    pub fn context_length(&self) -> u32 {
        match &self.shape {
            Shape::Gpt2(shape) => shape.config().n_positions,
            Shape::Llama(shape) => shape.config().max_position_embeddings,
        }
    }

    /// Number of token ids.
    pub fn vocab_size(&self) -> u32 {
        match &self.shape {
            Shape::Gpt2(shape) => shape.config().vocab_size,
            Shape::Llama(shape) => shape.config().vocab_size,
        }
    }

    /// The seed of all tensors.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Unique per content, so that a name and its keys share one folder.
    pub(super) fn folder_name(&self) -> String {
        let shape = match &self.shape {
            Shape::Gpt2(shape) => shape.folder_name(),
            Shape::Llama(shape) => shape.folder_name(),
        };
        format!("{shape}-s{}-f{FORMAT}", self.seed)
    }

    /// The text of `config.json`.
    pub(super) fn config_json(&self) -> serde_json::Result<String> {
        match &self.shape {
            Shape::Gpt2(shape) => serde_json::to_string_pretty(&shape.config_file()),
            Shape::Llama(shape) => serde_json::to_string_pretty(&shape.config_file()),
        }
    }

    /// What transformers calls the decoder in the names of its tensors.
    pub(super) const fn decoder(&self) -> &'static str {
        match self.shape {
            Shape::Gpt2(_) => "transformer",
            Shape::Llama(_) => "model",
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        if key == "seed" {
            let wrong = |_| format!("seed={value} is not a whole number from 0 to 2^64-1");
            self.seed = value.parse().map_err(wrong)?;
            return Ok(());
        }
        let keys = self.shape.keys();
        if !keys.contains(&key) {
            return Err(unknown("key", key, &[keys, &["seed"]].concat()));
        }
        self.shape.set(key, value)
    }

    fn checked(self) -> Result<Self, String> {
        self.shape.check()?;
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
        let Some((_, shape)) = Shape::known().find(|(known, _)| *known == name) else {
            return Err(unknown("size", name, &Shape::known().map(|(known, _)| known).collect::<Vec<_>>()));
        };
        let mut spec = Self { shape, seed: 0 };
        let free = shape.name();
        let mut seen: Vec<&str> = Vec::new();
        for pair in keys.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is not key=value"))?;
            if seen.contains(&key) {
                return Err(format!("{key} is given twice"));
            }
            if name != free && shape.keys().contains(&key) {
                return Err(format!(
                    "{name} has its sizes and takes only seed=; use {free}?{pair} to choose"
                ));
            }
            spec.set(key, value)?;
            seen.push(key);
        }
        spec.checked()
    }
}

/// The value of a key that is a size.
pub(super) fn size(key: &str, value: &str) -> Result<u32, String> {
    match value.parse::<u32>() {
        Ok(size @ 1..=10_000_000) => Ok(size),
        _ => Err(format!("{key}={value} is not a whole number from 1 to 10,000,000")),
    }
}

/// Refuses a whole that is not made of so many equal parts.
pub(super) fn divides((part, parts): (&str, u32), (whole, size): (&str, u32)) -> Result<(), String> {
    if size % parts == 0 {
        return Ok(());
    }
    Err(format!("{whole}={size} is not divisible by {part}={parts}"))
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
            let Architecture::Gpt2(mut config) = spec.parse::<SyntheticSpec>().unwrap().architecture() else {
                panic!("not GPT-2")
            };
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
        assert_eq!(parse("gpt2").folder_name(), "gpt2-l12-e768-h12-v50257-c1024-i3072-s0-f1");
    }

    #[test]
    fn mistakes_name_the_nearest_right_one() {
        for (text, expected) in [
            ("gpt2-124", "unknown size \"gpt2-124\"; did you mean gpt2-124m?"),
            ("bert-large", "unknown size \"bert-large\"; known are tiny-gpt2, gpt2-5m"),
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
