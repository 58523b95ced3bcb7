//! At which model size the faster of two backends changes: a power law through throughput ratios over parameters, where
//! it is 1, how sure that is by several methods, and what the points alone say.

mod fieller;
mod fit;
mod resample;
mod transition;

pub use fieller::Fieller;
pub use fit::{Crossing, Crossover, CrossoverPoint, crossover};
pub use resample::CrossingBootstrap;
