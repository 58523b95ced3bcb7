//! A worker looked at from outside while its timed call runs, in the thread that waits for its answer: nothing in the
//! worker takes part, and nothing is left behind where the worker or the host ends.

use super::platform::{self, Reading};
use crate::record::{Stage, Telemetry};
use crate::stats::{quantile, summary};
use std::time::{Duration, Instant};

/// From one sample to the next.
const INTERVAL: Duration = Duration::from_millis(100);
/// Fewer samples make no distribution: what a run used is then null, not guessed.
const LEAST: usize = 2;
const P90: f64 = 0.9;

/// Samples of one worker, and of the processes it started, during its latest run.
#[derive(Debug)]
pub struct Sampler {
    pid: u32,
    /// While the run goes on.
    window: Option<Window>,
    samples: Samples,
}

#[derive(Debug)]
struct Window {
    due: Instant,
    last: Instant,
    /// CPU time of each process up to `last`.
    cpu: Vec<(u32, Duration)>,
}

/// Resident memory at each sample, and CPU in the time before it.
#[derive(Debug, Default)]
struct Samples {
    rss_mb: Vec<f64>,
    cpu_pct: Vec<f64>,
}

impl Sampler {
    /// For the process `pid`; nothing is read yet.
    pub fn new(pid: u32) -> Self {
        Self { pid, window: None, samples: Samples::default() }
    }

    /// Forgets the run before.
    pub fn reset(&mut self) {
        self.window = None;
        self.samples = Samples::default();
    }

    /// The worker has come to `stage`. Sampling goes on as long as that is the run itself. What is done here at its
    /// beginning takes a microsecond, for the worker's clock is about to start.
    pub fn entered(&mut self, stage: Stage) {
        self.window = (stage == Stage::Run).then(|| {
            let cpu = platform::cpu(self.pid).map(|cpu| (self.pid, cpu));
            let now = Instant::now();
            Window { due: now + INTERVAL, last: now, cpu: cpu.into_iter().collect() }
        });
    }

    /// Takes a sample where one is due; to be called more often than that.
    pub fn look(&mut self) {
        let now = Instant::now();
        if let Some(window) = self.window.as_mut().filter(|window| window.due <= now) {
            window.next(now);
            self.samples.add(window.step(now, &platform::family(self.pid)));
        }
    }

    /// Writes what the samples of the run say into its telemetry.
    pub fn complete(&self, telemetry: &mut Telemetry) {
        self.samples.complete(telemetry);
    }
}

impl Window {
    fn next(&mut self, now: Instant) {
        self.due += INTERVAL;
        // A host that was held up does not make up for samples it missed.
        if self.due <= now {
            self.due = now + INTERVAL;
        }
    }

    /// What was used since the last step: resident memory now, MB, and CPU, percent of one core. A process counts from
    /// when it is first seen, and what one that has ended used at its end is not known.
    fn step(&mut self, now: Instant, family: &[Reading]) -> (Option<f64>, Option<f64>) {
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

impl Samples {
    fn add(&mut self, (rss_mb, cpu_pct): (Option<f64>, Option<f64>)) {
        self.rss_mb.extend(rss_mb);
        self.cpu_pct.extend(cpu_pct);
    }

    fn complete(&self, telemetry: &mut Telemetry) {
        telemetry.samples = u32::try_from(self.rss_mb.len().max(self.cpu_pct.len())).unwrap_or(u32::MAX);
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
        Window { due: start + INTERVAL, last: start, cpu: vec![(1, Duration::from_secs(5))] }
    }

    fn reading(pid: u32, cpu_ms: u64, megabytes: u64) -> Reading {
        let cpu = Some(Duration::from_millis(cpu_ms));
        Reading { pid, cpu, resident_bytes: Some(megabytes * 1_000_000) }
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
        let silent = [Reading { pid: 1, cpu: None, resident_bytes: None }];
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

    /// A real process, this one, which is busy with being looked at.
    #[cfg(target_os = "linux")]
    #[test]
    fn sampling_lasts_as_long_as_the_run() {
        let mut sampler = Sampler::new(std::process::id());
        let mut telemetry = Telemetry::default();
        sampler.entered(Stage::Warmup);
        sampler.look();
        assert!(sampler.window.is_none(), "a warm-up is not sampled");
        sampler.entered(Stage::Run);
        while sampler.samples.rss_mb.len() < 3 {
            sampler.look();
        }
        sampler.entered(Stage::Verify);
        sampler.look();
        sampler.complete(&mut telemetry);
        assert_eq!(telemetry.samples, 3);
        assert!(telemetry.rss_p90_mb > Some(1.0) && telemetry.cpu_p90_pct > Some(0.0), "{telemetry:?}");
        assert!(telemetry.cpu_peak_pct >= telemetry.cpu_p90_pct && telemetry.rss_mean_mb > Some(1.0));
        sampler.reset();
        let mut next = Telemetry::default();
        sampler.complete(&mut next);
        assert_eq!(next, Telemetry::default());
    }

    /// What it costs is not asserted but printed: `cargo test -p inferhost the_cost -- --nocapture`.
    #[test]
    fn the_cost_of_a_sample() {
        const SAMPLES: u32 = 1_000;
        let pid = std::process::id();
        let cpu = || platform::cpu(pid).unwrap_or_default();
        let (start, before) = (Instant::now(), cpu());
        (0..SAMPLES).for_each(|_| drop(std::hint::black_box(platform::family(pid))));
        let (wall, used) = (start.elapsed() / SAMPLES, (cpu() - before) / SAMPLES);
        println!("a sample takes {wall:?}, {used:?} of it on the processor");
    }
}
