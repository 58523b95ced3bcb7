//! Statistics over plain slices of numbers: pure, each with its source, each checked against SciPy's or published values
//! (`scripts/stats_fixtures.py` makes the former).
//!
//! Every function takes what measurement gives: empty slices and values that are not finite get an answer (`None`
//! where there is none), never a panic.

mod amortisation;
mod beta;
mod bootstrap;
mod crossover;
mod drift;
mod effect;
mod fisher;
mod gamma;
mod holm;
mod interval;
mod normal;
mod outlier;
mod quantile;
mod ratio;
mod regression;
mod student;
mod summary;
mod t_test;
mod variance;
mod wilson;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod scipy;

pub use amortisation::{Amortisation, Load, amortisation};
pub use bootstrap::RESAMPLES;
pub use crossover::{Crossing, CrossingBootstrap, Crossover, CrossoverPoint, Fieller, crossover};
pub use drift::{Drift, TauMethod, drift};
pub use effect::{EffectSize, Magnitude, effect_size};
pub use holm::holm;
pub use interval::Interval;
pub use outlier::{OUTLIER_SCORE, modified_z_scores, outliers};
pub use quantile::quantile;
pub use ratio::{RatioOfMeans, geometric_mean, ratio_of_means};
pub use regression::{LineFit, line_fit};
pub use student::{t_critical, t_two_sided};
pub use summary::{Summary, summary};
pub use t_test::{TTest, Test, t_test};
pub use variance::{VarianceSplit, variance_split};
pub use wilson::wilson;

/// The coverage of every confidence interval.
pub const CONFIDENCE: f64 = 0.95;
