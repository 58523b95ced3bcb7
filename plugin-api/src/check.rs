//! The checks every batch passes before it reaches a session, so that each plugin gives the same answer to the
//! same mistake.

use crate::{Batch, Error, GenerateOptions, SessionInfo};

/// Refuses a batch that this model cannot run.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the row.
pub(crate) fn batch(batch: Batch<'_>, info: &SessionInfo) -> Result<(), Error> {
    if batch.rows() == 0 {
        return Err(Error::invalid("the batch has no rows; give at least one row of token ids"));
    }
    let total: usize = batch.lengths.iter().map(|&n| n as usize).sum();
    if total != batch.total_tokens() {
        let found = batch.total_tokens();
        return Err(Error::invalid(format!(
            "row lengths add up to {total}, but there are {found} token ids"
        )));
    }
    for (row, tokens) in batch.iter().enumerate() {
        if tokens.is_empty() {
            return Err(Error::invalid(format!("row {row} is empty; every row needs at least one token id")));
        }
        if let Some(id) = tokens.iter().find(|&&id| id >= info.vocab_size) {
            let vocab = info.vocab_size;
            return Err(Error::invalid(format!(
                "row {row} holds token id {id}, but the vocabulary has {vocab}"
            )));
        }
        fits(row, tokens.len(), 0, info)?;
    }
    Ok(())
}

/// Refuses generation that asks for nothing or runs past the model's context.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming what to change.
pub(crate) fn generate(
    rows: Batch<'_>,
    options: &GenerateOptions<'_>,
    info: &SessionInfo,
) -> Result<(), Error> {
    batch(rows, info)?;
    if options.max_new_tokens == 0 {
        return Err(Error::invalid("max_new_tokens is 0; ask for at least 1"));
    }
    if !(options.temperature >= 0.0 && options.temperature.is_finite()) {
        return Err(Error::invalid(format!("temperature is {}; it must be 0 or more", options.temperature)));
    }
    if !(options.top_p > 0.0 && options.top_p <= 1.0) {
        return Err(Error::invalid(format!("top_p is {}; it must be above 0 and at most 1", options.top_p)));
    }
    // The last new token is never fed back, so it needs no position.
    let extra = options.max_new_tokens as usize - 1;
    rows.iter().enumerate().try_for_each(|(row, tokens)| fits(row, tokens.len(), extra, info))
}

/// Refuses a row that needs more positions than the model has.
fn fits(row: usize, prompt: usize, extra: usize, info: &SessionInfo) -> Result<(), Error> {
    let needed = prompt + extra;
    match info.context_length {
        Some(context) if needed > context as usize => Err(Error::invalid(format!(
            "row {row} needs {needed} positions, but the model's context is {context}; shorten the prompt or ask \
             for fewer new tokens"
        ))),
        _ => Ok(()),
    }
}
