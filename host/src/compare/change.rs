//! Whether a change is more than noise.
//!
//! The runs of one worker share its level: its memory layout, its minute, its neighbours. Repetitions say nothing of that
//! level, so two runs of the same differ by more than a t-test on repetitions allows. Here the level of a worker is held to
//! vary as much as a single run within it does, and by as much as its share of the processor changed (competition);
//! `scripts/bench/aa.py` measures what that assumption is worth. A second test needs no assumption on levels: a cell against
//! the other cells of its worker, whose level is the same.

use super::outcome::{ChangeTest, Metric};
use super::sample::Sample;
use super::worker::{MetricPair, Worker};
use crate::stats::{CONFIDENCE, Interval, t_critical, t_two_sided};

/// A change, as a logarithm of the ratio of means, with its 95% interval.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    pub(super) change: f64,
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
    let change = MetricPair::change(samples);
    let errors = Errors::of(worker, metric, samples);
    let level = level(worker, change, errors);
    let siblings = against_siblings(worker, metric, change, errors);
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
fn level(worker: &Worker<'_>, change: f64, errors: Errors) -> Estimate {
    let [before, after] = worker.pools(Metric::Latency);
    let sides = [(before.variance + errors.before.0, before.df), (after.variance + errors.after.0, after.df)];
    let share = worker.share_change();
    // Competition makes a worker slower where its share falls, not where it rises.
    let competition = if share * change < 0.0 { share * share } else { 0.0 };
    estimate(change, sides, competition)
}

fn against_siblings(worker: &Worker<'_>, metric: Metric, change: f64, errors: Errors) -> Option<Estimate> {
    let own = (metric == Metric::Latency).then_some((change, errors.before.0 + errors.after.0));
    let (median, error) = worker.siblings.without(own)?;
    let beyond = change - median;
    let mut found = estimate(beyond, [errors.before, errors.after], error);
    if beyond * change <= 0.0 {
        // The others moved further the same way, or it stood still while they moved: not its own change.
        found.p = 1.0;
    }
    Some(found)
}

/// Two sides of squared errors with degrees of freedom, and a third term without. Satterthwaite, "An Approximate
/// Distribution of Estimates of Variance Components", Biometrics Bulletin 2 (1946).
fn estimate(change: f64, sides: [(f64, f64); 2], known: f64) -> Estimate {
    let sampled: f64 = sides.iter().map(|(error, _)| error).sum();
    let spread = sides.iter().map(|(error, df)| (error / sampled).powi(2) / df).sum::<f64>();
    let df = if sampled > 0.0 { 1.0 / spread } else { sides[0].1 + sides[1].1 };
    let error = (sampled + known).sqrt();
    if error == 0.0 {
        // Values that never vary: any difference is one.
        let ci95 = Some(Interval { low: change, high: change });
        return Estimate { change, ci95, p: if change == 0.0 { 1.0 } else { 0.0 } };
    }
    let half = t_critical(CONFIDENCE, df).map(|critical| critical * error);
    let p = t_two_sided(change / error, df).unwrap_or(1.0);
    Estimate { change, ci95: half.and_then(|half| Interval::around(change, half)), p }
}
