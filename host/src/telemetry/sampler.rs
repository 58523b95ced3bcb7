//! A worker looked at from outside, in the thread that waits for its answer: nothing in the worker takes part, and
//! nothing is left behind where the worker or the host ends.

use super::gpu::GpuSamples;
use super::history::Snapshot;
use super::instruments::{Instruments, Need};
use super::platform;
use super::track::{Sample, Series, Track};
use super::window::{INTERVAL, Samples, Window};
use crate::record::{Stage, Telemetry};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A shorter run has no energy: the counters of packages are updated every millisecond.
const LEAST_FOR_ENERGY: Duration = Duration::from_millis(10);

/// Samples of one worker and of the processes it started: those of its latest run for that run's record, those of its
/// whole life for the run folder's series.
#[derive(Debug)]
pub struct Sampler {
    pid: u32,
    instruments: Arc<Instruments>,
    track: Option<Track>,
    stage: Stage,
    /// While the run goes on.
    watch: Option<Watch>,
    /// Of the latest run.
    run: Run,
    /// The GPUs on which memory of this worker was seen.
    gpus: Vec<u32>,
    /// How long the run before took.
    last_run: Option<Duration>,
}

/// A run that goes on.
#[derive(Debug)]
struct Watch {
    window: Window,
    began: Instant,
    package_j: Option<f64>,
    gpu_j: Vec<(u32, f64)>,
}

/// What was seen of a run.
#[derive(Debug, Default)]
struct Run {
    /// The machine's counters before it.
    before: Option<Snapshot>,
    samples: Samples,
    gpus: GpuSamples,
    lasted: Duration,
    package_j: Option<f64>,
    /// What the energy counters of GPUs went up by.
    gpu_j: Vec<(u32, f64)>,
}

impl Sampler {
    /// For the process `pid`, which has just come to life; its rows go to `series`.
    pub fn new(pid: u32, instruments: Arc<Instruments>, series: Option<Series>) -> Self {
        instruments.add(pid);
        let track = series.map(|series| Track::new(series, pid, Instant::now()));
        let (watch, run, gpus) = (None, Run::default(), Vec::new());
        Self { pid, instruments, track, stage: Stage::Load, watch, run, gpus, last_run: None }
    }

    /// Forgets the run before; a request that begins with `stage` is about to be sent. What takes long is read here,
    /// while the worker waits.
    pub fn begin(&mut self, stage: Stage) {
        self.stage = stage;
        self.watch = None;
        self.run = Run::default();
        self.instruments.refresh(Need::Edge, None);
    }

    /// The worker has come to `stage`. What is done here at the beginning of a run takes microseconds, for the worker's
    /// clock is about to start.
    pub fn entered(&mut self, stage: Stage) {
        self.stage = stage;
        if let Some(watch) = self.watch.take() {
            self.ended(watch);
        }
        if stage == Stage::Run {
            let cpu = platform::cpu(self.pid).map(|cpu| (self.pid, cpu));
            let began = Instant::now();
            let package_j = self.instruments.package_joules();
            // Asking the driver takes longer, and a short run has no GPU energy anyway.
            let short = self.last_run.is_some_and(|lasted| lasted < 2 * INTERVAL);
            let gpu_j = if short { Vec::new() } else { self.instruments.gpu_joules(&self.gpus) };
            let window = Window::new(began, cpu.into_iter().collect());
            self.run = Run { before: self.instruments.latest(), ..Run::default() };
            self.watch = Some(Watch { window, began, package_j, gpu_j });
        }
    }

    fn ended(&mut self, watch: Watch) {
        self.run.lasted = watch.began.elapsed();
        self.last_run = Some(self.run.lasted);
        self.run.package_j =
            self.instruments.package_joules().zip(watch.package_j).map(|(now, then)| now - then);
        let indices: Vec<u32> = watch.gpu_j.iter().map(|(index, _)| *index).collect();
        let now = self.instruments.gpu_joules(&indices);
        let before = |index| watch.gpu_j.iter().find(|(other, _)| *other == index).map(|(_, joules)| *joules);
        self.run.gpu_j = now.iter().filter_map(|&(index, now)| Some((index, now - before(index)?))).collect();
    }

    /// Takes a sample where one is due; to be called more often than that.
    pub fn look(&mut self) {
        let now = Instant::now();
        let of_run = self.watch.as_ref().map(|watch| watch.window.is_due(now));
        // While a run goes on, its beat is that of the series too.
        let due = of_run.unwrap_or_else(|| self.track.as_ref().is_some_and(|track| track.is_due(now)));
        if due {
            self.sample(now);
        }
    }

    fn sample(&mut self, now: Instant) {
        let family = platform::family(self.pid);
        let gpus = self.instruments.gpus_of(&family);
        for gpu in &gpus {
            if !self.gpus.contains(&gpu.index) {
                self.gpus.push(gpu.index);
            }
        }
        self.instruments.refresh(Need::Sample, Some((self.pid, &family)));
        if let Some(watch) = &mut self.watch {
            watch.window.next(now);
            self.run.samples.add(watch.window.step(now, &family));
            self.run.gpus.add(&gpus);
        }
        // Asked for also where nobody wants it: a counter that is not looked at in time begins anew unseen.
        let package_j = self.instruments.package_joules();
        if let Some(track) = &mut self.track {
            let (at, stage, load) = (now, self.stage, self.instruments.load_since(None));
            track.add(&Sample { at, stage, family: &family, gpus: &gpus, load, package_j });
        }
    }

    /// The worker has answered and waits again. In a matrix of short runs this is where the series' samples are taken.
    pub fn answered(&mut self) {
        self.instruments.refresh(Need::Edge, None);
        self.look();
        if let Some(track) = &self.track {
            track.flush();
        }
    }

    /// Writes what was seen of a run that took `latency` into its telemetry; to be called once it has
    /// [`answered`](Self::answered).
    pub fn complete(&self, latency: Duration, telemetry: &mut Telemetry) {
        let Run { before, samples, gpus, lasted, package_j, gpu_j } = &self.run;
        samples.complete(telemetry);
        let load = self.instruments.load_since(before.as_ref());
        telemetry.others_cpu_pct = load.others_cpu_pct;
        telemetry.steal_pct = load.steal_pct;
        telemetry.swapped_pages = load.swapped_pages;
        telemetry.thermal_throttles = load.thermal_throttles;
        telemetry.quota_throttles = load.quota_throttles;
        telemetry.gpu = gpus.telemetry();
        telemetry.energy_package_j = package_j.filter(|_| latency >= LEAST_FOR_ENERGY);
        telemetry.energy_gpu_j = gpus.joules(gpu_j, *lasted);
        let parts = [telemetry.energy_package_j, telemetry.energy_gpu_j];
        telemetry.energy_j = parts.into_iter().flatten().reduce(|sum, part| sum + part);
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.instruments.remove(self.pid);
        if let Some(track) = &self.track {
            track.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler() -> Sampler {
        Sampler::new(std::process::id(), Arc::new(Instruments::default()), None)
    }

    /// A real process, this one, which is busy with being looked at.
    #[cfg(target_os = "linux")]
    #[test]
    fn sampling_lasts_as_long_as_the_run() {
        let mut sampler = sampler();
        let mut telemetry = Telemetry::default();
        sampler.begin(Stage::Warmup);
        sampler.look();
        assert!(sampler.watch.is_none(), "a warm-up is not sampled");
        sampler.entered(Stage::Run);
        while sampler.run.samples.count() < 3 {
            sampler.look();
        }
        sampler.entered(Stage::Verify);
        sampler.answered();
        sampler.complete(Duration::from_millis(300), &mut telemetry);
        assert_eq!(telemetry.samples, 3);
        assert!(telemetry.rss_p90_mb > Some(1.0) && telemetry.cpu_p90_pct > Some(0.0), "{telemetry:?}");
        assert!(telemetry.cpu_peak_pct >= telemetry.cpu_p90_pct && telemetry.rss_mean_mb > Some(1.0));
        assert!(telemetry.others_cpu_pct >= Some(0.0) && telemetry.swapped_pages.is_some(), "{telemetry:?}");
        sampler.begin(Stage::Run);
        let mut next = Telemetry::default();
        sampler.complete(Duration::ZERO, &mut next);
        assert_eq!((next.samples, next.rss_p90_mb, next.energy_j), (0, None, None));
    }

    #[test]
    fn energy_is_the_sum_of_what_was_counted_in_a_run_long_enough() {
        let mut sampler = sampler();
        let run = |package_j| Run { package_j, ..Run::default() };
        for (package_j, ms, expected) in [(Some(3.0), 10, Some(3.0)), (Some(3.0), 9, None), (None, 500, None)]
        {
            sampler.run = run(package_j);
            let mut telemetry = Telemetry::default();
            sampler.complete(Duration::from_millis(ms), &mut telemetry);
            let found = (telemetry.energy_package_j, telemetry.energy_gpu_j, telemetry.energy_j);
            assert_eq!(found, (expected, None, expected), "{ms} ms");
        }
    }

    /// What it costs is not asserted but printed: `cargo test -p inferhost the_cost -- --nocapture`.
    #[test]
    fn the_cost_of_a_sample() {
        const SAMPLES: u32 = 1_000;
        let (pid, mut sampler) = (std::process::id(), sampler());
        let cpu = || platform::cpu(pid).unwrap_or_default();
        let (start, before) = (Instant::now(), cpu());
        (0..SAMPLES).for_each(|_| sampler.sample(Instant::now()));
        let (wall, used) = (start.elapsed() / SAMPLES, (cpu() - before) / SAMPLES);
        println!("a sample takes {wall:?}, {used:?} of it on the processor");
    }
}
