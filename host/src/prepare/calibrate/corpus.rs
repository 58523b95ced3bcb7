//! The tokens that a calibration runs over: batches of 8 rows of 128.

use crate::digest;
use crate::model::ResolvedModel;
use crate::prepare::artifact::Calibration;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

/// Rows of a batch.
pub const ROWS: usize = 8;
/// Tokens of a row, where the model's context is not shorter.
pub const TOKENS: usize = 128;
/// Batches where a spec does not say.
const SAMPLES: usize = 512;
/// Of random token ids, where there is no corpus.
const RANDOM_SAMPLES: usize = 16;

/// Batches of rows, and a hash of what they came from.
pub(super) struct Corpus {
    pub(super) batches: Vec<Vec<Vec<u32>>>,
    pub(super) sha256: String,
}

impl Corpus {
    /// # Errors
    /// One line that names the file, and for a corpus that is shorter than asked both numbers.
    pub(super) fn read(model: &ResolvedModel, calibration: &Calibration) -> Result<Self, String> {
        let row = TOKENS.min(model.config.context_length.map_or(TOKENS, |context| context as usize));
        let tokens = match &calibration.corpus {
            Some(path) => tokens(model, path)
                .and_then(|ids| in_vocabulary(model, ids))
                .map_err(|problem| format!("corpus {}: {problem}", path.display()))?,
            None => random(model, calibration.samples.map_or(RANDOM_SAMPLES, |n| n as usize) * ROWS * row),
        };
        let batches = batches(&tokens, row, calibration.samples)?;
        let sha256 = tokens.iter().fold(Sha256::new(), |hash, id| hash.chain_update(id.to_le_bytes()));
        Ok(Self { batches, sha256: digest::hex(&sha256.finalize()) })
    }
}

fn batches(tokens: &[u32], row: usize, samples: Option<u32>) -> Result<Vec<Vec<Vec<u32>>>, String> {
    let batch = ROWS * row;
    let wanted = samples.map_or(SAMPLES, |samples| samples as usize);
    let there = tokens.len() / batch;
    if there == 0 || samples.is_some() && there < wanted {
        let wanted = if samples.is_some() { wanted } else { 1 };
        return Err(format!(
            "the corpus has {} tokens, and {wanted} samples of {ROWS}x{row} take {}; ask for fewer samples or give a longer corpus",
            tokens.len(),
            wanted * batch
        ));
    }
    let rows = |batch: &[u32]| batch.chunks_exact(row).map(<[u32]>::to_vec).collect();
    Ok(tokens.chunks_exact(batch).take(wanted).map(rows).collect())
}

/// A JSON file holds token ids, as one list or several; any other a text.
fn tokens(model: &ResolvedModel, path: &Path) -> Result<Vec<u32>, String> {
    let text = fs::read_to_string(path).map_err(|e| e.to_string())?;
    if path.extension().is_none_or(|extension| extension != "json") {
        return model
            .load_tokenizer()
            .and_then(|tokenizer| tokenizer.encode(&text))
            .map_err(|e| e.to_string());
    }
    let mut opening = text.chars().filter(|c| !c.is_whitespace()).take(2);
    let is_nested = opening.all(|c| c == '[');
    let ids = match is_nested {
        true => serde_json::from_str::<Vec<Vec<u32>>>(&text).map(|lists| lists.concat()),
        false => serde_json::from_str(&text),
    };
    ids.map_err(|e| format!("expected token ids as a list or a list of lists: {e}"))
}

fn in_vocabulary(model: &ResolvedModel, ids: Vec<u32>) -> Result<Vec<u32>, String> {
    match (ids.iter().max(), model.config.vocab_size) {
        (Some(&most), Some(vocab)) if most >= vocab => {
            Err(format!("token id {most} is outside the vocabulary of {vocab}"))
        }
        _ => Ok(ids),
    }
}

/// Every id of the vocabulary equally often: all that can be had for a model without a tokenizer.
fn random(model: &ResolvedModel, count: usize) -> Vec<u32> {
    use rand_core::{Rng, SeedableRng};
    let mut generator = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(0);
    let vocab = u64::from(model.config.vocab_size.unwrap_or(1).max(1));
    (0..count).map(|_| (generator.next_u64() % vocab) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_corpus_is_told() {
        let tokens: Vec<u32> = (0..5000).collect();
        assert_eq!(batches(&tokens, 128, None).unwrap().len(), 4);
        assert_eq!(batches(&tokens, 128, Some(2)).unwrap()[1][7].last(), Some(&2047));
        let message = batches(&tokens, 128, Some(5)).unwrap_err();
        assert!(
            message.starts_with("the corpus has 5000 tokens, and 5 samples of 8x128 take 5120"),
            "{message}"
        );
        assert!(batches(&tokens[..9], 128, None).unwrap_err().contains("1 samples"));
    }
}
