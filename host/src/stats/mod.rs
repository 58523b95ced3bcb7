//! Statistics over plain slices of numbers: pure, each with its source, each checked against published values.
//!
//! Every function takes what measurement gives: empty slices and values that are not finite get an answer (`None`
//! where there is none), never a panic.

mod quantile;
mod summary;

pub use quantile::quantile;
pub use summary::{Summary, summary};
