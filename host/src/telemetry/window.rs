//! Samples of processes, from one beat to the next, and what those of a run say.

use super::platform::Reading;
use crate::record::Telemetry;
use crate::stats::{quantile, summary};
use std::time::{Duration, Instant};

/// From one sample to the next.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);
/// Fewer samples make no distribution: what a run used is then null, not guessed.
pub(super) const LEAST: usize = 2;
const P90: f64 = 0.9;

/// When the next sample is due, and the CPU time of each process up to the last.
#[derive(Debug)]
pub(super) struct Window {
    due: Instant,
    last: Instant,
    cpu: Vec<(u32, Duration)>,
}

impl Window {
    /// From `now` on, at which the processes had used `cpu`.
    pub(super) fn new(now: Instant, cpu: Vec<(u32, Duration)>) -> Self {
        Self { due: now + INTERVAL, last: now, cpu }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due <= now
    }

    pub(super) fn next(&mut self, now: Instant) {
        self.due += INTERVAL;
        // A host that was held up does not make up for samples it missed.
        if self.due <= now {
            self.due = now + INTERVAL;
        }
    }

    /// What was used since the last step: resident memory now, MB, and CPU, percent of one core. A process counts from
    /// when it is first seen, and what one that has ended used at its end is not known.
    pub(super) fn step(&mut self, now: Instant, family: &[Reading]) -> (Option<f64>, Option<f64>) {
        let resident: Option<u64> =
            family.iter().filter_map(|process| process.resident_bytes).reduce(|sum, bytes| sum + bytes);
        let before = |pid| self.cpu.iter().find(|(other, _)| *other == pid).map(|&(_, cpu)| cpu);
        let used = |process: &Reading| Some(process.cpu?.saturating_sub(before(process.pid)?));
        let used: Option<Duration> = family.iter().filter_map(used).reduce(|sum, cpu| sum + cpu);
        let elapsed = now.duration_since(self.last).as_secs_f64();
        self.last = now;
        self.cpu = family.iter().filter_map(|process| Some((process.pid, process.cpu?))).collect();
        let percent = used.filter(|_| elapsed > 0.0).map(|cpu| 100.0 * cpu.as_secs_f64() / elapsed);
        (resident.map(|bytes| bytes as f64 / 1e6), percent)
    }
}

/// Resident memory at each sample, and CPU in the time before it.
#[derive(Debug, Default)]
pub(super) struct Samples {
    rss_mb: Vec<f64>,
    cpu_pct: Vec<f64>,
}

impl Samples {
    pub(super) fn add(&mut self, (rss_mb, cpu_pct): (Option<f64>, Option<f64>)) {
        self.rss_mb.extend(rss_mb);
        self.cpu_pct.extend(cpu_pct);
    }

    pub(super) fn count(&self) -> usize {
        self.rss_mb.len().max(self.cpu_pct.len())
    }

    pub(super) fn complete(&self, telemetry: &mut Telemetry) {
        telemetry.samples = u32::try_from(self.count()).unwrap_or(u32::MAX);
        let enough = |values: &[f64]| values.len() >= LEAST;
        if enough(&self.rss_mb) {
            telemetry.rss_mean_mb = summary(&self.rss_mb).mean;
            telemetry.rss_p90_mb = quantile(&self.rss_mb, P90);
        }
        if enough(&self.cpu_pct) {
            telemetry.cpu_peak_pct = summary(&self.cpu_pct).max;
            telemetry.cpu_p90_pct = quantile(&self.cpu_pct, P90);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: Instant) -> Window {
        Window::new(start, vec![(1, Duration::from_secs(5))])
    }

    fn reading(pid: u32, cpu_ms: u64, megabytes: u64) -> Reading {
        let cpu = Some(Duration::from_millis(cpu_ms));
        Reading { pid, cpu, resident_bytes: Some(megabytes * 1_000_000), ..Reading::default() }
    }

    #[test]
    fn cpu_is_counted_between_samples_and_memory_at_them() {
        let start = Instant::now();
        let mut window = window(start);
        let at = |ms| start + Duration::from_millis(ms);
        let alone = [reading(1, 5_150, 300)];
        assert_eq!(window.step(at(100), &alone), (Some(300.0), Some(150.0)));
        // Another process is met with 40 ms behind it: they were not seen to pass.
        let two = [reading(1, 5_250, 310), reading(2, 40, 20)];
        assert_eq!(window.step(at(200), &two), (Some(330.0), Some(100.0)));
        let later = [reading(1, 5_250, 310), reading(2, 90, 20)];
        assert_eq!(window.step(at(300), &later), (Some(330.0), Some(50.0)));
        // It has ended, and its pid is not held against anyone.
        assert_eq!(window.step(at(400), &[reading(1, 5_300, 310)]), (Some(310.0), Some(50.0)));
        assert_eq!(window.step(at(500), &[]), (None, None));
    }

    #[test]
    fn what_the_system_does_not_say_is_not_made_up() {
        let start = Instant::now();
        let mut window = window(start);
        let silent = [Reading { pid: 1, ..Reading::default() }];
        assert_eq!(window.step(start + INTERVAL, &silent), (None, None));
        assert_eq!(window.step(start + 2 * INTERVAL, &[reading(1, 9_000, 1)]), (Some(1.0), None));
    }

    #[test]
    fn missed_samples_are_not_made_up_for() {
        let start = Instant::now();
        let mut window = window(start);
        let at = |ms| start + Duration::from_millis(ms);
        window.next(at(117));
        assert_eq!(window.due, at(200), "the beat is kept");
        window.next(at(1_000));
        assert_eq!(window.due, at(1_100));
    }

    #[test]
    fn one_sample_is_counted_and_says_nothing() {
        let mut samples = Samples::default();
        let mut telemetry = Telemetry { rss_peak_mb: Some(9.0), ..Telemetry::default() };
        samples.complete(&mut telemetry);
        assert_eq!(telemetry, Telemetry { rss_peak_mb: Some(9.0), ..Telemetry::default() });
        samples.add((Some(8.0), Some(100.0)));
        samples.complete(&mut telemetry);
        assert_eq!(telemetry, Telemetry { rss_peak_mb: Some(9.0), samples: 1, ..Telemetry::default() });
    }

    #[test]
    fn samples_become_a_peak_and_a_ninetieth_percentile() {
        let mut samples = Samples::default();
        (0..=10).for_each(|step| samples.add((Some(100.0 + f64::from(step)), (step > 0).then_some(200.0))));
        let mut telemetry = Telemetry::default();
        samples.complete(&mut telemetry);
        let expected = Telemetry {
            rss_mean_mb: Some(105.0),
            rss_p90_mb: Some(109.0),
            cpu_peak_pct: Some(200.0),
            cpu_p90_pct: Some(200.0),
            samples: 11,
            ..Telemetry::default()
        };
        assert_eq!(telemetry, expected);
    }
}
