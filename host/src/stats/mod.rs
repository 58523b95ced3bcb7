//! Statistics over plain slices of numbers: pure, each with its source, each checked against SciPy's or published values
//! (`scripts/stats_fixtures.py` makes the former).
//!
//! Every function takes what measurement gives: empty slices and values that are not finite get an answer (`None`
//! where there is none), never a panic.

mod effect;
mod holm;
mod interval;
mod pending;
mod quantile;
mod ratio;
mod student;
mod summary;
mod t_test;
mod wilson;

pub use effect::{EffectSize, Magnitude, effect_size};
pub use holm::holm;
pub use interval::Interval;
pub use pending::*;
pub use quantile::quantile;
pub use ratio::{RatioOfMeans, geometric_mean, geometric_ratio, ratio_of_means};
pub use student::{t_critical, t_two_sided};
pub use summary::{Summary, summary};
pub use t_test::{TTest, Test, t_test};
pub use wilson::wilson;

/// The coverage of every confidence interval.
pub const CONFIDENCE: f64 = 0.95;
