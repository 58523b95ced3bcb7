//! Whether values rise or fall in the order in which they were measured: a machine that heats up, a cache that fills.

use super::normal::normal_two_sided;
use super::quantile;
use serde::{Deserialize, Serialize};

/// Values from which Theil and Sen's slope takes every pair; of more, this many that are evenly spaced, because the pairs
/// grow with the square.
const SLOPE_VALUES: usize = 300;

/// Up to here p is exact where no values are the same: SciPy's own border.
const EXACT_VALUES: usize = 33;

/// The trend of a series over its order.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Finite values in the series; the others leave their place empty.
    pub n: usize,
    /// Kendall's tau-b of values and order: 1 where every value is above those before it, -1 where below.
    pub tau: f64,
    /// Two-sided p of a tau of 0.
    pub p: f64,
    /// How p was computed.
    pub method: TauMethod,
    /// Theil and Sen's slope: the median change from one place to the next, over all pairs of values, or of 300 evenly
    /// spaced ones of a longer series.
    pub slope: f64,
    /// The slope's change from the first place to the last, as a share of the median's size; none where that is 0.
    pub change: Option<f64>,
}

/// How the p of Kendall's tau is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TauMethod {
    /// From the number of orders with as few inversions: at most 33 values, none twice, or at most one inversion.
    Exact,
    /// From the normal distribution, with the variance corrected for ties.
    Normal,
}

/// The trend of `values` in the order given; none with fewer than two different finite ones. In n log n.
///
/// Kendall, "Rank Correlation Methods" (1970), chapters 3 to 5; Sen, "Estimates of the Regression Coefficient Based on
/// Kendall's Tau", Journal of the American Statistical Association 63 (1968).
pub fn drift(values: &[f64]) -> Option<Drift> {
    let placed: Vec<(f64, f64)> = values
        .iter()
        .enumerate()
        .filter(|(_, value)| value.is_finite())
        .map(|(place, value)| (place as f64, *value))
        .collect();
    let series: Vec<f64> = placed.iter().map(|(_, value)| *value).collect();
    let n = series.len();
    let mut sorted = series.clone();
    let falling = inversions(&mut sorted) as f64;
    let ties = Ties::of(&sorted);
    let pairs = n as f64 * (n as f64 - 1.0) / 2.0;
    let untied = pairs - ties.pairs;
    if n < 2 || untied <= 0.0 {
        return None;
    }
    let excess = untied - 2.0 * falling;
    let rarer = falling.min(untied - falling);
    let (p, method) = if ties.pairs == 0.0 && (n <= EXACT_VALUES || rarer <= 1.0) {
        (exact_p(n, rarer as usize), TauMethod::Exact)
    } else {
        (normal_two_sided(excess / ties.variance(n as f64).sqrt()), TauMethod::Normal)
    };
    let slope = median_slope(&placed)?;
    let change = slope * (values.len() as f64 - 1.0) / quantile(&sorted, 0.5)?.abs();
    let tau = (excess / pairs.sqrt() / untied.sqrt()).clamp(-1.0, 1.0);
    Some(Drift { n, tau, p, method, slope, change: Some(change).filter(|change| change.is_finite()) })
}

/// Sorts `values` and counts the pairs that were in falling order, by merging.
fn inversions(values: &mut [f64]) -> u64 {
    let middle = values.len() / 2;
    if middle == 0 {
        return 0;
    }
    let (left, right) = values.split_at_mut(middle);
    let mut count = inversions(left) + inversions(right);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut l, mut r) = (0, 0);
    while l < left.len() && r < right.len() {
        if right[r] < left[l] {
            count += (left.len() - l) as u64;
            merged.push(right[r]);
            r += 1;
        } else {
            merged.push(left[l]);
            l += 1;
        }
    }
    merged.extend_from_slice(&left[l..]);
    merged.extend_from_slice(&right[r..]);
    values.copy_from_slice(&merged);
    count
}

/// Values that occur more than once.
struct Ties {
    /// Pairs of the same value.
    pairs: f64,
    /// The sum of t (t - 1) (2t + 5) over values that occur t times.
    correction: f64,
}

impl Ties {
    fn of(sorted: &[f64]) -> Self {
        let mut ties = Self { pairs: 0.0, correction: 0.0 };
        for same in sorted.chunk_by(|a, b| a == b) {
            let t = same.len() as f64;
            ties.pairs += t * (t - 1.0) / 2.0;
            ties.correction += t * (t - 1.0) * (2.0 * t + 5.0);
        }
        ties
    }

    /// The variance of rising less falling pairs of `n` values without a trend. Kendall, equation 4.3 with ties on one
    /// side.
    fn variance(&self, n: f64) -> f64 {
        (n * (n - 1.0) * (2.0 * n + 5.0) - self.correction) / 18.0
    }
}

/// Twice the share of orders of `n` different values that have at most `count` inversions, at most 1. Inserting the k-th
/// value adds any of 0 to k-1 inversions with the same chance.
fn exact_p(n: usize, count: usize) -> f64 {
    let mut chance = vec![0.0; count + 1];
    chance[0] = 1.0;
    for k in 2..=n {
        let mut window = 0.0;
        let before = chance.clone();
        for (inversions, chance) in chance.iter_mut().enumerate() {
            window += before[inversions];
            if inversions >= k {
                window -= before[inversions - k];
            }
            *chance = window / k as f64;
        }
    }
    (2.0 * chance.iter().sum::<f64>()).min(1.0)
}

fn median_slope(placed: &[(f64, f64)]) -> Option<f64> {
    let last = placed.len().checked_sub(1)?;
    let thinned: Vec<(f64, f64)> = if placed.len() <= SLOPE_VALUES {
        placed.to_vec()
    } else {
        (0..SLOPE_VALUES).map(|at| placed[at * last / (SLOPE_VALUES - 1)]).collect()
    };
    let pairs = thinned.iter().enumerate().flat_map(|(at, a)| thinned[at + 1..].iter().map(move |b| (a, b)));
    let slopes: Vec<f64> = pairs.map(|((xa, ya), (xb, yb))| (yb - ya) / (xb - xa)).collect();
    quantile(&slopes, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_p_values_are_shares_of_all_orders() {
        // Of the 24 orders of four values, 1, 3 and 5 have 0, 1 and 2 inversions.
        for (inversions, p) in [(0, 2.0 / 24.0), (1, 8.0 / 24.0), (2, 18.0 / 24.0), (3, 1.0)] {
            assert!((exact_p(4, inversions) - p).abs() < 1e-15, "{inversions}");
        }
        assert_eq!((exact_p(2, 0), exact_p(300, 0)), (1.0, 0.0));
    }

    #[test]
    fn inversions_are_the_falling_pairs() {
        for series in
            [vec![], vec![1.0], vec![3.0, 1.0, 2.0], vec![2.0, 2.0, 1.0, 1.0], vec![5.0, 4.0, 3.0, 2.0, 1.0]]
        {
            let falling = (0..series.len())
                .flat_map(|b| (0..b).map(move |a| (a, b)))
                .filter(|&(a, b)| series[b] < series[a])
                .count();
            let mut sorted = series.clone();
            assert_eq!(inversions(&mut sorted), falling as u64, "{series:?}");
            assert!(sorted.is_sorted());
        }
    }

    #[test]
    fn a_rising_series_of_many_values_is_seen_at_once() {
        // A rise of 10% with a saw on top, where the thinning must not fall in step with the saw.
        let values: Vec<f64> =
            (0..100_000).map(|at| 100.0 + f64::from(at) / 1e4 + f64::from(at % 7)).collect();
        let found = drift(&values).unwrap();
        assert!(found.tau > 0.5 && found.p < 1e-12 && found.method == TauMethod::Normal, "{found:?}");
        assert!(
            (found.slope / 1e-4 - 1.0).abs() < 0.1 && (found.change.unwrap() - 0.093).abs() < 0.01,
            "{found:?}"
        );
    }

    #[test]
    fn places_of_missing_values_stay_empty() {
        let found = drift(&[1.0, f64::NAN, 3.0, 4.0, f64::INFINITY, 6.0]).unwrap();
        assert_eq!((found.n, found.tau, found.slope), (4, 1.0, 1.0));
        // From 1 to 6 about a median of 3.5.
        assert!((found.change.unwrap() - 5.0 / 3.5).abs() < 1e-15);
    }

    #[test]
    fn what_has_no_trend_has_an_answer() {
        for values in [vec![], vec![1.0], vec![2.0; 9], vec![f64::NAN, 1.0, f64::INFINITY]] {
            assert_eq!(drift(&values), None, "{values:?}");
        }
        let about_zero = drift(&[-1.0, 0.0, 1.0]).unwrap();
        assert_eq!((about_zero.slope, about_zero.change), (1.0, None));
        assert!(drift(&[f64::MIN, f64::MAX]).is_none_or(|found| found.slope.is_finite()));
    }
}
