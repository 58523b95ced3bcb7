//! Whether a change is more than noise.
//!
//! The runs of one worker share its level: its memory layout, its minute, its neighbours. Repetitions say nothing of that
//! level, so two runs of the same differ by more than a t-test on repetitions allows. Here the level of a worker is held to
//! vary as much as a single run within it does, and by as much as its share of the processor changed (competition);
//! `scripts/bench/aa.py` measures what that assumption is worth. A second test needs no assumption on levels: a cell against
//! the other cells of its worker, whose level is the same.

use super::metric::{ChangeTest, Metric};
use super::sample::Sample;
use super::worker::{MetricPair, Worker};
use crate::stats::{CONFIDENCE, Interval, t_critical, t_two_sided};

/// A ratio of means, after over before, with its 95% interval.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    pub(super) ratio: f64,
    pub(super) ci95: Option<Interval>,
    /// Two-sided.
    p: f64,
}

/// What the tests of one metric of one cell say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence {
    /// Of after against before.
    pub(super) level: Estimate,
    /// Beyond what the worker's other cells changed by; none with fewer than three of them.
    pub(super) siblings: Option<Estimate>,
    /// Which of the two tests decides: the one with the smaller p.
    pub(super) test: ChangeTest,
    /// Its p, twice that where there were two tests.
    pub(super) p: f64,
}

/// Tests one metric of one cell of `worker`.
pub(super) fn evidence(worker: &Worker<'_>, metric: Metric, samples: &(Sample, Sample)) -> Evidence {
    let ratio = MetricPair::ratio(samples);
    let errors = Errors::of(worker, metric, samples);
    let level = level(worker, ratio, errors);
    let siblings = against_siblings(worker, metric, ratio, errors);
    match siblings {
        Some(found) if found.p < level.p => {
            let p = (2.0 * found.p).min(1.0);
            Evidence { level, siblings, test: ChangeTest::Siblings, p }
        }
        Some(_) => Evidence { level, siblings, test: ChangeTest::Level, p: (2.0 * level.p).min(1.0) },
        None => Evidence { level, siblings, test: ChangeTest::Level, p: level.p },
    }
}

/// Squared standard errors of both means with their degrees of freedom.
#[derive(Debug, Clone, Copy)]
struct Errors {
    before: (f64, f64),
    after: (f64, f64),
}

impl Errors {
    fn of(worker: &Worker<'_>, metric: Metric, (before, after): &(Sample, Sample)) -> Self {
        let [first, second] = worker.pools(metric);
        Self { before: before.error(first), after: after.error(second) }
    }
}

/// After against before: each side's squared error is that of its mean and that of its worker's level.
fn level(worker: &Worker<'_>, ratio: f64, errors: Errors) -> Estimate {
    let [before, after] = worker.levels();
    let sides = [(before.variance + errors.before.0, before.df), (after.variance + errors.after.0, after.df)];
    let share = worker.share_change();
    // Competition makes a worker slower where its share falls, not where it rises.
    let competition = if share * ratio.ln() < 0.0 { share * share } else { 0.0 };
    estimate(ratio, sides, competition)
}

fn against_siblings(worker: &Worker<'_>, metric: Metric, ratio: f64, errors: Errors) -> Option<Estimate> {
    let change = ratio.ln();
    let own = (metric == Metric::Latency).then_some((change, errors.before.0 + errors.after.0));
    let (median, error) = worker.siblings.without(own)?;
    let beyond = change - median;
    let mut found = estimate(beyond.exp(), [errors.before, errors.after], error);
    if beyond * change <= 0.0 {
        // The others moved further the same way, or it stood still while they moved: not its own change.
        found.p = 1.0;
    }
    Some(found)
}

/// A ratio of means whose sides have squared relative errors with degrees of freedom, and a third error without, which
/// falls on the slower side. Welch's t on the difference of means, with the degrees of freedom of Satterthwaite, "An
/// Approximate Distribution of Estimates of Variance Components", Biometrics Bulletin 2 (1946); on the times themselves and
/// not their logarithms, where a stall of many times a short run's length would have a small relative error.
fn estimate(ratio: f64, [before, after]: [(f64, f64); 2], known: f64) -> Estimate {
    let (slow_before, slow_after) = if ratio < 1.0 { (known, 0.0) } else { (0.0, known) };
    let errors = (before.0 + slow_before, after.0 + slow_after);
    let parts = [(before.0, before.1), (after.0 * ratio * ratio, after.1)];
    let sampled = parts[0].0 + parts[1].0;
    let df = if sampled > 0.0 {
        1.0 / parts.iter().map(|(part, df)| (part / sampled).powi(2) / df).sum::<f64>()
    } else {
        before.1 + after.1
    };
    let error = (errors.0 + errors.1 * ratio * ratio).sqrt();
    if error == 0.0 {
        // Values that never vary: any difference is one.
        let ci95 = Some(Interval { low: ratio, high: ratio });
        return Estimate { ratio, ci95, p: if ratio == 1.0 { 1.0 } else { 0.0 } };
    }
    let ci95 = t_critical(CONFIDENCE, df).and_then(|critical| fieller(ratio, errors, critical));
    Estimate { ratio, ci95, p: t_two_sided((ratio - 1.0) / error, df).unwrap_or(1.0) }
}

/// The ratios that the test does not reject; none where they have no end. Fieller, "Some Problems in Interval Estimation",
/// Journal of the Royal Statistical Society B 16 (1954).
fn fieller(ratio: f64, (before, after): (f64, f64), critical: f64) -> Option<Interval> {
    let (g, h) = (critical * critical * before, critical * critical * after);
    let root = (g + h - g * h).max(0.0).sqrt();
    let bounded = g < 1.0;
    bounded.then(|| Interval {
        low: (ratio * (1.0 - root) / (1.0 - g)).max(0.0),
        high: ratio * (1.0 + root) / (1.0 - g),
    })
}
