//! Resampling with replacement, from a seed.

use super::{CONFIDENCE, Interval, quantile};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Resamples of each bootstrap.
pub const RESAMPLES: usize = 10_000;

/// What `statistic` gives for each of [`RESAMPLES`] resamples of 0 to n-1, in a stream of Xoshiro256++ that `seed` alone
/// determines. None from it asks for another resample; after ten times as many, what is there is returned.
pub(super) fn bootstrap<T>(n: usize, seed: u64, mut statistic: impl FnMut(&[usize]) -> Option<T>) -> Vec<T> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut found = Vec::with_capacity(RESAMPLES);
    let mut drawn = vec![0; n];
    for _ in 0..10 * RESAMPLES {
        if found.len() == RESAMPLES || n == 0 {
            break;
        }
        drawn.fill_with(|| rng.random_range(0..n));
        found.extend(statistic(&drawn));
    }
    found
}

/// The interval between the quantiles of `values` that leave half of 1 - 95% to either side. Efron and Tibshirani, "An
/// Introduction to the Bootstrap" (1993), section 13.3.
pub(super) fn percentile_interval(values: &[f64]) -> Option<Interval> {
    let outside = (1.0 - CONFIDENCE) / 2.0;
    Some(Interval { low: quantile(values, outside)?, high: quantile(values, 1.0 - outside)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_the_resamples() {
        let mean = |drawn: &[usize]| Some(drawn.iter().sum::<usize>() as f64 / 20.0);
        let found = bootstrap(20, 7, mean);
        assert_eq!(found, bootstrap(20, 7, mean));
        assert_ne!(found, bootstrap(20, 8, mean));
        // Of 0 to 19 the mean is 9.5 and its standard error sqrt(33.25/20).
        let ci = percentile_interval(&found).unwrap();
        assert!(
            (ci.low - (9.5 - 1.96 * 1.289)).abs() < 0.15 && (ci.high - (9.5 + 1.96 * 1.289)).abs() < 0.15
        );
    }

    #[test]
    fn refused_resamples_are_drawn_again_for_a_while() {
        assert_eq!(bootstrap(3, 1, |drawn| (drawn[0] == 0).then_some(())).len(), RESAMPLES);
        assert_eq!(bootstrap(3, 1, |_| None::<()>).len(), 0);
        assert_eq!(bootstrap(0, 1, |_| Some(())).len(), 0);
        assert_eq!(percentile_interval(&[]), None);
    }
}
