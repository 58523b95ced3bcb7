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
pub(crate) use normal::normal_two_sided;
pub use outlier::{OUTLIER_SCORE, modified_z_scores, outliers};
pub use quantile::quantile;
pub use ratio::{RatioOfMeans, geometric_mean, geometric_ratio, ratio_of_means};
pub use regression::{LineFit, line_fit};
pub use student::{t_critical, t_two_sided};
pub use summary::{Summary, summary};
pub use t_test::{TTest, Test, difference_of_sums, t_test};
pub use variance::{VarianceSplit, variance_split};
pub use wilson::wilson;

/// The coverage of every confidence interval.
pub const CONFIDENCE: f64 = 0.95;

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    const EDGES: [f64; 20] = [
        0.0,
        -0.0,
        1.0,
        1.0 + f64::EPSILON,
        2.0,
        -3.0,
        0.1,
        1e-308,
        5e-324,
        1e-160,
        1e-100,
        1e100,
        1e160,
        1e300,
        -1e300,
        f64::MAX,
        f64::MIN,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];

    /// Everything that the functions say of two samples.
    fn said(a: &[f64], b: &[f64]) -> String {
        let (sa, sb) = (summary(a), summary(b));
        let (x, y) = (a.first().copied().unwrap_or(1.0), b.first().copied().unwrap_or(1.0));
        let load = Load { tokens_per_run: Some(x), tokens_per_hour: Some(y) };
        let line = line_fit(a, b);
        let found = (
            (sa, t_test(&sa, &sb, Test::Welch), t_test(&sa, &sb, Test::Pooled), effect_size(&sa, &sb)),
            (ratio_of_means(&sa, &sb), geometric_mean(a), quantile(a, y), holm(a)),
            (line, line.and_then(|line| line.mean_ci95(0.5)), variance_split(&[a, b, &[1.0]])),
            (modified_z_scores(a), outliers(a), drift(a), amortisation(1.0, x, y, load)),
            (t_two_sided(x, y), t_critical(x, y), t_critical(CONFIDENCE, x), fisher::f_tail(x, y, 3.0)),
        );
        format!("{found:?}")
    }

    fn said_of_crossover(a: &[f64], b: &[f64]) -> String {
        let point = |(&params, &ratio)| CrossoverPoint { params, ratio };
        format!("{:?}", crossover(&a.iter().zip(b).map(point).collect::<Vec<_>>(), 0))
    }

    #[test]
    fn nothing_panics_or_answers_with_what_is_no_number() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
        for case in 0..5_000 {
            let kinds = if case % 3 == 0 { EDGES.len() } else { 17 };
            let mut sample = || -> Vec<f64> {
                (0..rng.random_range(0..6)).map(|_| EDGES[rng.random_range(0..kinds)]).collect()
            };
            let (a, b) = (sample(), sample());
            // The bootstraps take their time.
            let said = if case % 100 == 0 { said_of_crossover(&a, &b) } else { said(&a, &b) };
            assert!(!said.contains("NaN") && !said.contains("inf"), "{a:?} and {b:?}: {said}");
        }
    }
}
