//! The GPUs that a worker has memory on, through NVIDIA's management library. That is loaded while the program runs; a
//! machine without it, or with a driver that is older than 510 and does not list processes so, has no GPUs here.

use super::window::LEAST;
use crate::record::GpuTelemetry;
use crate::stats::summary;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::{Device, Nvml};
use std::ffi::OsStr;
use std::time::Duration;

/// The driver's own name for it; the one without a number is there only where programs are built against it.
const LIBRARY: &str = if cfg!(windows) { "nvml.dll" } else { "libnvidia-ml.so.1" };

/// The driver, asked.
#[derive(Debug)]
pub(super) struct Gpus {
    nvml: Nvml,
    count: u32,
}

/// One GPU at one moment; none where the driver does not say.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct GpuReading {
    pub(super) index: u32,
    pub(super) memory_mb: Option<f64>,
    pub(super) utilisation_pct: Option<f64>,
    pub(super) power_w: Option<f64>,
    pub(super) temperature_c: Option<f64>,
    pub(super) sm_clock_mhz: Option<f64>,
    pub(super) memory_clock_mhz: Option<f64>,
    /// NVML's names in small letters.
    pub(super) throttle_reasons: Vec<String>,
}

impl Gpus {
    /// Through the library of this machine, or the one at `library`; none where it cannot be loaded or finds no GPU.
    pub(super) fn new(library: Option<&OsStr>) -> Option<Self> {
        let nvml = Nvml::builder().lib_path(library.unwrap_or(OsStr::new(LIBRARY))).init().ok()?;
        let count = nvml.device_count().ok().filter(|&count| count > 0)?;
        Some(Self { nvml, count })
    }

    /// Those on which one of the processes has memory, in the driver's order.
    pub(super) fn used_by(&self, pids: &[u32]) -> Vec<GpuReading> {
        let devices =
            (0..self.count).filter_map(|index| Some((index, self.nvml.device_by_index(index).ok()?)));
        devices.filter_map(|(index, device)| reading(index, &device, pids)).collect()
    }

    /// Joules since the driver was loaded; none where it does not count them, which GPUs before Volta do not.
    pub(super) fn joules(&self, index: u32) -> Option<f64> {
        let counted = self.nvml.device_by_index(index).ok()?.total_energy_consumption().ok()?;
        Some(counted as f64 / 1e3)
    }
}

/// None where none of the processes has memory on it.
fn reading(index: u32, device: &Device<'_>, pids: &[u32]) -> Option<GpuReading> {
    let processes = device.running_compute_processes().ok()?;
    let ours: Vec<_> = processes.iter().filter(|process| pids.contains(&process.pid)).collect();
    if ours.is_empty() {
        return None;
    }
    let bytes = ours.iter().map(|process| match process.used_gpu_memory {
        UsedGpuMemory::Used(bytes) => Some(bytes),
        UsedGpuMemory::Unavailable => None,
    });
    let bytes: Option<u64> = bytes.sum();
    let clock = |of: Clock| device.clock_info(of).ok().map(f64::from);
    Some(GpuReading {
        index,
        memory_mb: bytes.map(|bytes| bytes as f64 / 1e6),
        utilisation_pct: device.utilization_rates().ok().map(|rates| f64::from(rates.gpu)),
        power_w: device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1e3),
        temperature_c: device.temperature(TemperatureSensor::Gpu).ok().map(f64::from),
        sm_clock_mhz: clock(Clock::SM),
        memory_clock_mhz: clock(Clock::Memory),
        throttle_reasons: device.current_throttle_reasons().map(names).unwrap_or_default(),
    })
}

/// An idle GPU has a low clock, and nothing holds it down.
fn names(reasons: ThrottleReasons) -> Vec<String> {
    let held = reasons.difference(ThrottleReasons::GPU_IDLE);
    held.iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect()
}

/// The samples of one run.
#[derive(Debug, Default)]
pub(super) struct GpuSamples {
    /// By GPU, in the order in which they were first seen.
    of: Vec<(u32, Vec<GpuReading>)>,
}

impl GpuSamples {
    pub(super) fn add(&mut self, readings: &[GpuReading]) {
        for reading in readings {
            match self.of.iter_mut().find(|(index, _)| *index == reading.index) {
                Some((_, samples)) => samples.push(reading.clone()),
                None => self.of.push((reading.index, vec![reading.clone()])),
            }
        }
    }

    /// What they say of each GPU with enough of them; none where there is no such GPU.
    pub(super) fn telemetry(&self) -> Option<Vec<GpuTelemetry>> {
        let enough = self.of.iter().filter(|(_, samples)| samples.len() >= LEAST);
        let mut found: Vec<GpuTelemetry> = enough.map(|(index, samples)| of_run(*index, samples)).collect();
        found.sort_by_key(|gpu| gpu.index);
        (!found.is_empty()).then_some(found)
    }

    /// Joules of those GPUs in a run of length `lasted`: of each what its counter went up by, where `counted` has it,
    /// else the mean of its sampled power over that time. None where one has neither.
    pub(super) fn joules(&self, counted: &[(u32, f64)], lasted: Duration) -> Option<f64> {
        let of_each = self.telemetry()?.into_iter().map(|gpu| {
            let counter = counted.iter().find(|(index, _)| *index == gpu.index).map(|(_, joules)| *joules);
            counter.or_else(|| Some(gpu.power_mean_w? * lasted.as_secs_f64()))
        });
        of_each.sum()
    }
}

fn of_run(index: u32, samples: &[GpuReading]) -> GpuTelemetry {
    let known = |of: fn(&GpuReading) -> Option<f64>| {
        summary(&samples.iter().filter_map(of).filter(|value| value.is_finite()).collect::<Vec<_>>())
    };
    let mut throttle_reasons: Vec<String> =
        samples.iter().flat_map(|sample| sample.throttle_reasons.clone()).collect();
    throttle_reasons.sort();
    throttle_reasons.dedup();
    GpuTelemetry {
        index,
        memory_peak_mb: known(|of| of.memory_mb).max,
        utilisation_mean_pct: known(|of| of.utilisation_pct).mean,
        power_mean_w: known(|of| of.power_w).mean,
        power_peak_w: known(|of| of.power_w).max,
        temperature_peak_c: known(|of| of.temperature_c).max,
        sm_clock_mean_mhz: known(|of| of.sm_clock_mhz).mean,
        memory_clock_mean_mhz: known(|of| of.memory_clock_mhz).mean,
        throttle_reasons,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stand-in for the library, compiled by the C compiler that inferhost needs anyway.
    #[cfg(target_os = "linux")]
    fn stand_in(folder: &std::path::Path) -> std::path::PathBuf {
        let library = folder.join("libnvidia-ml.so.1");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/nvml/nvml.c");
        let mut compiler = std::process::Command::new(std::env::var_os("CC").unwrap_or("cc".into()));
        let ended = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
        assert!(ended.unwrap().success(), "compiling {source}");
        library
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_driver_is_asked_for_the_gpus_of_these_processes() {
        let folder = tempfile::tempdir().unwrap();
        let gpus = Gpus::new(Some(stand_in(folder.path()).as_os_str())).unwrap();
        let expected = GpuReading {
            index: 1,
            memory_mb: Some(2_000.0),
            utilisation_pct: Some(50.0),
            power_w: Some(100.0),
            temperature_c: Some(71.0),
            sm_clock_mhz: Some(1_410.0),
            memory_clock_mhz: None,
            throttle_reasons: vec!["sw_power_cap".into(), "hw_thermal_slowdown".into()],
        };
        assert_eq!(gpus.used_by(&[std::process::id()]), [expected]);
        assert_eq!(gpus.used_by(&[u32::MAX]), []);
        let before = gpus.joules(1).unwrap();
        assert_eq!(gpus.joules(1).map(|now| now - before), Some(5.0));
        assert_eq!(gpus.joules(9), None);
    }

    #[test]
    fn without_a_driver_there_are_no_gpus() {
        assert!(Gpus::new(Some(OsStr::new("/nowhere/libnvidia-ml.so.1"))).is_none());
    }

    fn sample(index: u32, power_w: Option<f64>, reason: &str) -> GpuReading {
        let throttle_reasons = vec![reason.to_string()];
        GpuReading { index, memory_mb: power_w, power_w, throttle_reasons, ..GpuReading::default() }
    }

    #[test]
    fn samples_become_means_and_peaks_of_each_gpu() {
        let mut samples = GpuSamples::default();
        samples.add(&[sample(3, Some(100.0), "b"), sample(1, Some(10.0), "a")]);
        assert_eq!(samples.telemetry(), None, "one sample says nothing");
        samples.add(&[sample(1, Some(30.0), "a"), sample(0, Some(1.0), "c")]);
        samples.add(&[sample(3, None, "a")]);
        let expected = |index, mean, peak, reasons: &[&str]| GpuTelemetry {
            index,
            memory_peak_mb: Some(peak),
            power_mean_w: Some(mean),
            power_peak_w: Some(peak),
            throttle_reasons: reasons.iter().map(|&reason| reason.into()).collect(),
            ..GpuTelemetry::default()
        };
        let found = samples.telemetry().unwrap();
        assert_eq!(found, [expected(1, 20.0, 30.0, &["a"]), expected(3, 100.0, 100.0, &["a", "b"])]);
    }

    #[test]
    fn energy_is_counted_where_it_can_be() {
        let lasted = Duration::from_secs(2);
        let mut samples = GpuSamples::default();
        (0..2).for_each(|_| samples.add(&[sample(0, Some(100.0), "a"), sample(1, Some(50.0), "a")]));
        assert_eq!(samples.joules(&[], lasted), Some(300.0));
        assert_eq!(samples.joules(&[(1, 7.0)], lasted), Some(207.0));
        (0..2).for_each(|_| samples.add(&[sample(2, None, "a")]));
        assert_eq!(samples.joules(&[(1, 7.0)], lasted), None, "a part is no sum");
        assert_eq!(GpuSamples::default().joules(&[(0, 7.0)], lasted), None);
    }
}
