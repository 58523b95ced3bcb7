//! One metric of one cell in one folder, as the tests need it: relative to its mean.

use super::cells::Run;
use crate::stats::{Summary, summary};

/// Mean and spread of one metric's values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) summary: Summary,
    pub(super) mean: f64,
    /// Squared coefficient of variation of single runs, rounds taken together.
    pub(super) variance: f64,
    /// Its degrees of freedom, n - 1.
    pub(super) df: f64,
    /// Squared coefficient of variation of the means of rounds, over the number of rounds; none of one round.
    between_rounds: Option<f64>,
}

impl Sample {
    /// None where fewer than two runs have the metric.
    pub(super) fn of(runs: &[Run], metric: fn(&Run) -> Option<f64>) -> (Summary, Option<Self>) {
        let values: Vec<f64> = runs.iter().filter_map(metric).collect();
        let of_all = summary(&values);
        let sample = of_all.mean.zip(of_all.sd).filter(|(mean, _)| *mean > 0.0).map(|(mean, sd)| Self {
            summary: of_all,
            mean,
            variance: (sd / mean).powi(2),
            df: of_all.n as f64 - 1.0,
            between_rounds: between_rounds(runs, metric, mean),
        });
        (of_all, sample)
    }

    /// Squared relative standard error of the mean, and its degrees of freedom. Single runs have the variance `moderated`
    /// towards that of the worker's other cells; where the means of rounds say more, they count: runs of one round are
    /// not independent of each other.
    pub(super) fn error(&self, pool: Pool) -> (f64, f64) {
        let (variance, df) = self.moderated(pool);
        let of_runs = variance / self.summary.n as f64;
        (of_runs.max(self.between_rounds.unwrap_or(0.0)), df)
    }

    /// Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential Expression in Microarray Experiments",
    /// Statistical Applications in Genetics and Molecular Biology 3 (2004), equation 3, with the prior's degrees of
    /// freedom set rather than estimated, and never more than the other cells have.
    fn moderated(&self, pool: Pool) -> (f64, f64) {
        const PRIOR: f64 = 4.0;
        let prior = PRIOR.min(pool.df - self.df).max(0.0);
        let df = prior + self.df;
        ((prior * pool.variance + self.df * self.variance) / df, df)
    }
}

fn between_rounds(runs: &[Run], metric: fn(&Run) -> Option<f64>, mean: f64) -> Option<f64> {
    let mut rounds: Vec<(u32, Vec<f64>)> = Vec::new();
    for run in runs {
        let Some(value) = metric(run) else { continue };
        match rounds.iter_mut().find(|(round, _)| *round == run.round) {
            Some((_, values)) => values.push(value),
            None => rounds.push((run.round, vec![value])),
        }
    }
    let means: Vec<f64> = rounds.iter().filter_map(|(_, values)| summary(values).mean).collect();
    Some((summary(&means).sd? / mean).powi(2) / means.len() as f64)
}

/// The variance of single runs, over the cells of one worker.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pool {
    /// Squared coefficient of variation, weighted by degrees of freedom.
    pub(super) variance: f64,
    pub(super) df: f64,
}

impl Pool {
    pub(super) fn of<'a>(samples: impl Iterator<Item = &'a Sample>) -> Self {
        let (sum, df) = samples.fold((0.0, 0.0), |(sum, df), s| (sum + s.variance * s.df, df + s.df));
        if df > 0.0 { Self { variance: sum / df, df } } else { Self::default() }
    }
}
