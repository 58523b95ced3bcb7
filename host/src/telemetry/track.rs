//! A worker's rows in the run folder's series: one at each beat, whatever the worker is doing.

use super::gpu::GpuReading;
use super::history::Load;
use super::platform::{self, Reading, Switches};
use super::window::Window;
use crate::record::{GpuRow, SeriesRow, Stage};
use crate::store::SeriesWriter;
use jiff::Timestamp;
use std::time::Instant;

/// Whose rows they are, and where they go.
#[derive(Debug, Clone)]
pub struct Series {
    /// Of the run folder.
    pub writer: SeriesWriter,
    /// The model that the worker opens.
    pub model: String,
    /// The backend that it serves.
    pub backend: String,
    /// The name of its log.
    pub worker: String,
}

/// The rows of one worker.
#[derive(Debug)]
pub(super) struct Track {
    series: Series,
    pid: u32,
    window: Window,
    before: Counts,
    package: Option<(Instant, f64)>,
}

/// What a sample holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample<'a> {
    pub(super) at: Instant,
    pub(super) stage: Stage,
    pub(super) family: &'a [Reading],
    pub(super) gpus: &'a [GpuReading],
    pub(super) load: Load,
    /// Since the first worker.
    pub(super) package_j: Option<f64>,
}

/// Counters of the worker's own process at the row before.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    minor_faults: Option<u64>,
    major_faults: Option<u64>,
    switches: Option<Switches>,
}

impl Counts {
    fn of(pid: u32, family: &[Reading]) -> Self {
        let own = family.iter().find(|process| process.pid == pid);
        Self {
            minor_faults: own.and_then(|process| process.minor_faults),
            major_faults: own.and_then(|process| process.major_faults),
            switches: platform::switches(pid),
        }
    }
}

impl Track {
    /// The first row is due one beat after `now`.
    pub(super) fn new(series: Series, pid: u32, now: Instant) -> Self {
        let family = platform::family(pid);
        let mut window = Window::new(now, Vec::new());
        window.step(now, &family);
        Self { series, pid, window, before: Counts::of(pid, &family), package: None }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.window.is_due(now)
    }

    /// Adds the row of `sample`, and one for each GPU.
    pub(super) fn add(&mut self, sample: &Sample<'_>) {
        self.window.next(sample.at);
        let (rss_mb, cpu_pct) = self.window.step(sample.at, sample.family);
        let (before, counts) = (self.before, Counts::of(self.pid, sample.family));
        self.before = counts;
        let since = |of: fn(&Counts) -> Option<u64>| Some(of(&counts)?.saturating_sub(of(&before)?));
        let row = SeriesRow {
            t_ms: Timestamp::now().as_millisecond(),
            pid: self.pid,
            model: self.series.model.clone(),
            backend: self.series.backend.clone(),
            worker: self.series.worker.clone(),
            stage: sample.stage,
            rss_mb: tenths(rss_mb),
            cpu_pct: tenths(cpu_pct),
            minor_faults: since(|of| of.minor_faults),
            major_faults: since(|of| of.major_faults),
            voluntary_switches: since(|of| Some(of.switches?.voluntary)),
            involuntary_switches: since(|of| Some(of.switches?.involuntary)),
            others_cpu_pct: tenths(sample.load.others_cpu_pct),
            steal_pct: tenths(sample.load.steal_pct),
            package_w: tenths(self.package_w(sample)),
        };
        let gpus: Vec<GpuRow> = sample.gpus.iter().map(|gpu| gpu_row(&row, gpu)).collect();
        self.series.writer.add(&row, &gpus);
    }

    fn package_w(&mut self, sample: &Sample<'_>) -> Option<f64> {
        let joules = sample.package_j?;
        let (then, before) = self.package.replace((sample.at, joules))?;
        let seconds = sample.at.duration_since(then).as_secs_f64();
        (seconds > 0.0).then(|| (joules - before) / seconds)
    }

    /// What was added so far reaches the file.
    pub(super) fn flush(&self) {
        self.series.writer.flush();
    }
}

fn gpu_row(row: &SeriesRow, gpu: &GpuReading) -> GpuRow {
    GpuRow {
        t_ms: row.t_ms,
        pid: row.pid,
        model: row.model.clone(),
        backend: row.backend.clone(),
        worker: row.worker.clone(),
        stage: row.stage,
        gpu: gpu.index,
        memory_mb: tenths(gpu.memory_mb),
        utilisation_pct: tenths(gpu.utilisation_pct),
        power_w: tenths(gpu.power_w),
        temperature_c: tenths(gpu.temperature_c),
        sm_clock_mhz: tenths(gpu.sm_clock_mhz),
        memory_clock_mhz: tenths(gpu.memory_clock_mhz),
        throttle_reasons: gpu.throttle_reasons.join(";"),
    }
}

/// More digits would say nothing and fill the file.
fn tenths(value: Option<f64>) -> Option<f64> {
    value.map(|value| (value * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_decimal() {
        for (value, expected) in [(0.04, 0.0), (0.05, 0.1), (1_234.56, 1_234.6), (12.0, 12.0)] {
            assert_eq!(tenths(Some(value)), Some(expected));
        }
        assert_eq!(tenths(None), None);
    }
}
