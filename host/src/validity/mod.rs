//! When a measurement counts. [`disturbances`] says what the machine did beside a run that makes it not valid;
//! [`Enough`] says when the runs of a cell are enough, so that the rest of them need not be made; [`Least`] is what a
//! cell must have before anything is claimed of it. Pure.

mod disturbance;
mod enough;
mod least;

pub use disturbance::disturbances;
pub use enough::{Enough, LEAST_BEFORE_STOP};
pub use least::{LEAST_RUNS, Least};
