//! What an evaluation tells whoever watches.

use super::Evaluation;

/// Something happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The evaluation begins.
    Started {
        /// Pairs of model and backend.
        planned: u64,
        /// Those an earlier part recorded.
        recorded: u64,
    },
    /// Every backend of a model has scored another batch.
    Scored {
        /// The model.
        model: &'a str,
        /// Tokens predicted so far, by each backend.
        done: u64,
        /// All to predict.
        total: u64,
        /// Tokens a second, all backends together taking their turns.
        tok_s: f64,
    },
    /// A backend is done with a model.
    Evaluated(&'a Evaluation),
}
