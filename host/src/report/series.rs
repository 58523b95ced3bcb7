//! What workers used over time, from the run folder's series, thinned as it is read: ten hours of samples and ten seconds
//! make charts of the same size. What is shown of a stretch of time is the largest sample in it.

use crate::analysis::Analysis;
use crate::manifest::Manifest;
use crate::record::{GpuRow, SeriesRow, Stage};
use crate::store::{SeriesRead, StoreError, read_gpu_series, read_series};
use std::path::Path;

/// Points of one line, and of all lines of a chart.
const MOST_POINTS: usize = 240;
const MOST_POINTS_IN_ALL: usize = 1_600;
const LEAST_POINTS: usize = 24;
/// What a sample stands for at first, seconds.
const FIRST_WIDTH: f64 = 0.1;
/// More time than this between two samples is a pause: another worker, another day.
const LONGEST_STEP: f64 = 1.0;

/// A number that samples have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    Memory,
    Cpu,
    Others,
    PackagePower,
    GpuMemory,
    GpuPower,
}

impl Quantity {
    pub(super) const ALL: [Self; 6] =
        [Self::Memory, Self::Cpu, Self::Others, Self::PackagePower, Self::GpuMemory, Self::GpuPower];
}

/// The samples of a model on a backend, one worker after the other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Track {
    pub(super) model: String,
    pub(super) backend: String,
    peaks: [Peaks; Quantity::ALL.len()],
    clock: Clock,
    gpu_clock: Clock,
    /// Of the GPUs of one sample, added up until the next sample comes.
    gpus: Option<Gpus>,
}

/// Every model on every backend that has samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tracks {
    pub(super) all: Vec<Track>,
    /// What was left out of which file.
    pub(super) notes: Vec<String>,
}

impl Tracks {
    /// Those of the run folder at `run_dir`, of models and backends that the report knows; none where it has no series.
    ///
    /// # Errors
    /// What the system refused.
    pub(super) fn read(run_dir: &Path, manifest: &Manifest, analysis: &Analysis) -> Result<Self, StoreError> {
        let known = Known { manifest, analysis };
        let most = (MOST_POINTS_IN_ALL / known.backends().max(1)).clamp(LEAST_POINTS, MOST_POINTS);
        let mut tracks = Self::default();
        let read = read_series(run_dir, |row| {
            if let Some(track) = tracks.of(&known, &row.model, &row.backend, most) {
                track.add(&row);
            }
        })?;
        tracks.note("telemetry.csv", read);
        let read = read_gpu_series(run_dir, |row| {
            if let Some(track) = tracks.of(&known, &row.model, &row.backend, most) {
                track.add_gpu(&row);
            }
        })?;
        tracks.all.iter_mut().for_each(Track::end_gpus);
        tracks.note("gpu.csv", read);
        Ok(tracks)
    }

    fn of(&mut self, known: &Known<'_>, model: &str, backend: &str, most: usize) -> Option<&mut Track> {
        let index = self.all.iter().position(|track| track.model == model && track.backend == backend);
        if index.is_none() && known.has(model, backend) {
            self.all.push(Track::new(model, backend, most));
            return self.all.last_mut();
        }
        self.all.get_mut(index?)
    }

    fn note(&mut self, file: &str, read: Option<SeriesRead>) {
        if let Some(SeriesRead { malformed, first_malformed: Some(first) }) = read {
            self.notes.push(format!(
                "{malformed} lines of {file} are no samples and left out, the first of them line {first}."
            ));
        }
    }
}

/// What the report is about: no other name makes a track, whatever the file holds.
struct Known<'a> {
    manifest: &'a Manifest,
    analysis: &'a Analysis,
}

impl Known<'_> {
    fn backends(&self) -> usize {
        self.manifest.backends.len()
    }

    fn has(&self, model: &str, backend: &str) -> bool {
        let in_manifest = self.manifest.models.iter().any(|entry| entry.name == model)
            && self.manifest.backends.iter().any(|entry| entry.name == backend);
        in_manifest || self.analysis.cells.iter().any(|cell| cell.model == model && cell.backend == backend)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Gpus {
    t_ms: i64,
    pid: u32,
    stage: Stage,
    memory_mb: Option<f64>,
    power_w: Option<f64>,
}

impl Track {
    fn new(model: &str, backend: &str, most: usize) -> Self {
        let peaks = std::array::from_fn(|_| Peaks::new(most));
        let (model, backend) = (model.into(), backend.into());
        Self { model, backend, peaks, clock: Clock::default(), gpu_clock: Clock::default(), gpus: None }
    }

    fn add(&mut self, row: &SeriesRow) {
        let at = self.clock.advance(row.t_ms);
        for (quantity, value) in [
            (Quantity::Memory, row.rss_mb),
            (Quantity::Cpu, row.cpu_pct),
            (Quantity::Others, row.others_cpu_pct),
            (Quantity::PackagePower, row.package_w),
        ] {
            self.peaks[quantity as usize].add(at, value, row.stage);
        }
    }

    fn add_gpu(&mut self, row: &GpuRow) {
        match &mut self.gpus {
            Some(gpus) if (gpus.t_ms, gpus.pid) == (row.t_ms, row.pid) => {
                // Of a sum that lacks a part nothing is known.
                let plus = |sum: Option<f64>, part: Option<f64>| Some(sum? + part?);
                gpus.memory_mb = plus(gpus.memory_mb, row.memory_mb);
                gpus.power_w = plus(gpus.power_w, row.power_w);
            }
            _ => {
                self.end_gpus();
                let &GpuRow { t_ms, pid, stage, memory_mb, power_w, .. } = row;
                self.gpus = Some(Gpus { t_ms, pid, stage, memory_mb, power_w });
            }
        }
    }

    fn end_gpus(&mut self) {
        let Some(gpus) = self.gpus.take() else { return };
        let at = self.gpu_clock.advance(gpus.t_ms);
        self.peaks[Quantity::GpuMemory as usize].add(at, gpus.memory_mb, gpus.stage);
        self.peaks[Quantity::GpuPower as usize].add(at, gpus.power_w, gpus.stage);
    }

    /// Seconds, the largest sample about then and the stage it was taken in; in the order of time.
    pub(super) fn points(&self, of: Quantity) -> impl Iterator<Item = (f64, f64, Stage)> {
        self.peaks[of as usize].points()
    }
}

/// Time that passed in a worker's samples, without the pauses between them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Clock {
    seconds: f64,
    last_ms: Option<i64>,
}

impl Clock {
    fn advance(&mut self, t_ms: i64) -> f64 {
        if let Some(last) = self.last_ms.replace(t_ms) {
            // A clock may have been set back.
            self.seconds += (t_ms.saturating_sub(last) as f64 / 1e3).clamp(0.0, LONGEST_STEP);
        }
        self.seconds
    }
}

/// The largest sample of each stretch of time; stretches become twice as long whenever there would be too many.
#[derive(Debug, Clone, PartialEq)]
struct Peaks {
    most: usize,
    width: f64,
    stretches: Vec<Option<(f64, Stage)>>,
}

impl Peaks {
    fn new(most: usize) -> Self {
        Self { most, width: FIRST_WIDTH, stretches: Vec::new() }
    }

    fn add(&mut self, at: f64, value: Option<f64>, stage: Stage) {
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        while at / self.width >= self.most as f64 {
            let pairs = self.stretches.chunks(2);
            self.stretches = pairs.map(|pair| pair.iter().copied().reduce(larger).flatten()).collect();
            self.width *= 2.0;
        }
        let index = (at / self.width) as usize;
        if self.stretches.len() <= index {
            self.stretches.resize(index + 1, None);
        }
        self.stretches[index] = larger(self.stretches[index], Some((value, stage)));
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64, Stage)> {
        let at = |index: usize| index as f64 * self.width;
        let known = self.stretches.iter().enumerate();
        known.filter_map(move |(index, peak)| peak.map(|(value, stage)| (at(index), value, stage)))
    }
}

fn larger(a: Option<(f64, Stage)>, b: Option<(f64, Stage)>) -> Option<(f64, Stage)> {
    match (a, b) {
        (Some(first), Some(second)) => Some(if second.0 > first.0 { second } else { first }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_long_it_was_the_peaks_stay() {
        for (samples, most) in [(10_usize, 240), (5_000, 240), (360_000, 240), (360_000, 24)] {
            let mut peaks = Peaks::new(most);
            for sample in 0..samples {
                let value = if sample == samples / 2 { 900.0 } else { 100.0 };
                peaks.add(sample as f64 * 0.1, Some(value), Stage::Run);
            }
            peaks.add(1.0, Some(f64::NAN), Stage::Run);
            let points: Vec<_> = peaks.points().collect();
            assert!(points.len() <= most && points.len() >= most.min(samples) / 2, "{}", points.len());
            assert!(points.is_sorted_by(|a, b| a.0 < b.0));
            let top: Vec<f64> = points.iter().filter(|point| point.1 == 900.0).map(|point| point.0).collect();
            let middle = (samples / 2) as f64 * 0.1;
            assert!(
                matches!(top[..], [at] if (middle - at) <= peaks.width && at <= middle + 1e-6),
                "{top:?}"
            );
        }
    }

    #[test]
    fn pauses_and_clocks_set_back_take_no_time() {
        let mut clock = Clock::default();
        let times: Vec<f64> = [5_000, 5_100, 5_200, 90_000, 90_100, 7, i64::MIN, i64::MAX]
            .into_iter()
            .map(|t_ms| (clock.advance(t_ms) * 10.0).round() / 10.0)
            .collect();
        assert_eq!(times, [0.0, 0.1, 0.2, 1.2, 1.3, 1.3, 1.3, 2.3]);
    }
}
