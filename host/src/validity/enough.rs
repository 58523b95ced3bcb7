//! When a cell's runs are enough.

use crate::config::RunSettings;
use crate::record::Record;
use crate::stats::summary;

/// Fewest undisturbed runs of a cell in a round before its runs may end early. An interval of fewer is narrow by chance too
/// often: with 5, one that ended early holds the mean in 92% to 95% of cells instead of 95% (simulated, log-normal
/// latencies of 2% to 10% CV).
pub const LEAST_BEFORE_STOP: u32 = 5;

/// Decides from the undisturbed runs of one cell in one round whether further ones are needed. The same runs give the same
/// decision, so that a matrix that is gone on with leaves out what it left out before.
#[derive(Debug, Clone)]
pub struct Enough {
    target_ci: Option<f64>,
    least: u32,
    min_measured_ms: f64,
    latencies_ms: Vec<f64>,
}

impl Enough {
    /// No runs yet. Number and time asked for are a cell's over all rounds, so each round has its share to do.
    pub fn new(settings: &RunSettings) -> Self {
        let rounds = settings.rounds.max(1);
        Self {
            target_ci: settings.target_ci,
            least: settings.min_repetitions.unwrap_or(0).div_ceil(rounds).max(LEAST_BEFORE_STOP),
            min_measured_ms: settings.min_measured_s * 1e3 / f64::from(rounds),
            latencies_ms: Vec::new(),
        }
    }

    /// Takes a run into account, where it is ok and was not disturbed.
    pub fn extend(&mut self, record: &Record) {
        if self.target_ci.is_some() && record.disturbances.is_empty() {
            self.latencies_ms.extend(record.latency_ms);
        }
    }

    /// Whether the runs so far are enough in number and in time, and their mean is known as well as was asked.
    pub fn reached(&self) -> bool {
        let Some(target) = self.target_ci else { return false };
        if self.latencies_ms.len() < self.least as usize
            || self.latencies_ms.iter().sum::<f64>() < self.min_measured_ms
        {
            return false;
        }
        let found = summary(&self.latencies_ms);
        let known = found.ci95.zip(found.mean).map(|(ci, mean)| (ci.high - ci.low) / 2.0 / mean);
        known.is_some_and(|known| known <= target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Disturbance, DisturbanceKind, sample};

    fn after(settings: &RunSettings, latencies: &[f64]) -> bool {
        let mut enough = Enough::new(settings);
        for &latency_ms in latencies {
            enough.extend(&Record { latency_ms: Some(latency_ms), ..sample::ok() });
        }
        enough.reached()
    }

    #[test]
    fn number_time_and_interval_are_all_asked_for() {
        let steady = [100.0, 101.0, 99.0, 100.0, 100.0, 101.0, 99.0, 100.0];
        let target = |target_ci| RunSettings { target_ci, ..RunSettings::default() };
        let settings = target(Some(0.02));
        assert!(!after(&settings, &steady[..4]), "fewer than 5");
        assert!(after(&settings, &steady[..5]));
        assert!(!after(&target(None), &steady), "nothing ends early unless it is asked for");
        assert!(!after(&target(Some(0.001)), &steady), "the interval is too wide");
        assert!(!after(&settings, &[100.0, 150.0, 50.0, 100.0, 120.0]));
        let more = RunSettings { min_repetitions: Some(6), ..settings.clone() };
        assert!(!after(&more, &steady[..5]) && after(&more, &steady[..6]));
        let longer = RunSettings { min_measured_s: 0.7, ..settings.clone() };
        assert!(!after(&longer, &steady[..6]) && after(&longer, &steady[..8]));
        let rounds = RunSettings { rounds: 2, min_repetitions: Some(10), ..longer };
        assert!(after(&rounds, &steady[..5]), "half of the number and of the time in each of two rounds");
    }

    #[test]
    fn only_undisturbed_runs_count() {
        let settings = RunSettings { target_ci: Some(0.02), ..RunSettings::default() };
        let mut enough = Enough::new(&settings);
        let disturbed = Disturbance { kind: DisturbanceKind::Busy, message: "busy".into() };
        for _ in 0..9 {
            enough.extend(&Record { disturbances: vec![disturbed.clone()], ..sample::ok() });
            enough.extend(&sample::degraded(crate::record::DegradedKind::Timeout, "late"));
        }
        assert!(!enough.reached());
        (0..5).for_each(|_| enough.extend(&sample::ok()));
        assert!(enough.reached());
    }
}
