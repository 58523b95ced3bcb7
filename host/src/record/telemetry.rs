//! What a run used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the worker used, as far as it could be counted. What is sampled is null where there were fewer than two samples:
/// in runs of under some 200 ms, and without isolation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Telemetry {
    /// Largest resident set in the worker's life so far, opening and warm-ups included, MB (10^6 bytes); null without a
    /// counter.
    pub rss_peak_mb: Option<f64>,
    /// Resident set of the worker and the processes it started, during the call: mean of the samples, MB.
    pub rss_mean_mb: Option<f64>,
    /// The same, 90th percentile of the samples.
    pub rss_p90_mb: Option<f64>,
    /// CPU time of the call over its latency, percent of one core; null without a counter.
    pub cpu_mean_pct: Option<f64>,
    /// CPU of the worker and the processes it started, from one sample to the next, percent of one core: the largest.
    pub cpu_peak_pct: Option<f64>,
    /// The same, 90th percentile.
    pub cpu_p90_pct: Option<f64>,
    /// Samples taken while the call ran, 100 ms apart.
    pub samples: u32,
    /// Page faults of the worker during the call that needed no disk; null without a counter.
    pub minor_faults: Option<u64>,
    /// Page faults of the worker during the call that waited for the disk; null without a counter.
    pub major_faults: Option<u64>,
    /// Times a thread of the worker gave its processor up to wait, during the call; null without a counter.
    pub voluntary_switches: Option<u64>,
    /// Times a thread of the worker had its processor taken away, during the call; null without a counter.
    pub involuntary_switches: Option<u64>,
    /// CPU of all processes but the host, its workers and what they started, percent of one core, over the run or the half
    /// second before its end, whichever is longer. The counters are in steps of 10 ms, 2% of a core over half a second,
    /// and a sum below zero is 0. They are read when the worker has answered, but not twice within 20 ms: of runs that
    /// follow each other faster, some have the figure of the run before. Null without a counter, without isolation, and
    /// in the first 200 ms of a host.
    pub others_cpu_pct: Option<f64>,
    /// Processor time that the hypervisor gave to other machines, in the same time, percent of one core; null in the same
    /// cases.
    pub steal_pct: Option<f64>,
    /// Pages the whole machine moved to or from swap in the same time; null without a counter and without isolation.
    pub swapped_pages: Option<u64>,
    /// Times a processor lowered its clock for heat in the same time, over all cores and packages; null without a counter
    /// (in most virtual machines) and without isolation.
    pub thermal_throttles: Option<u64>,
    /// Times the container's CPU quota was used up in the same time, or that of a group around it; null without a quota and
    /// without isolation.
    pub quota_throttles: Option<u64>,
    /// Each GPU the worker had memory on; null without a driver, without isolation, where fewer than two samples were
    /// taken, and in a container in which the driver shows no process of the container.
    pub gpu: Option<Vec<GpuTelemetry>>,
    /// Energy of the run, joules: the sum of the two below, of one where the other is null; null where both are.
    pub energy_j: Option<f64>,
    /// What all processor packages of the machine used, whoever caused it, by RAPL's counters at the run's beginning and
    /// end; null where one cannot be read (most systems let only root), and in runs of under 10 ms.
    pub energy_package_j: Option<f64>,
    /// What the GPUs in `gpu` used, whoever caused it: of each by the driver's energy counter at the run's beginning and
    /// end, where it has one and the worker had memory there before the run, else the mean of its sampled power over
    /// the run's time. Null where `gpu` is, and where a GPU has neither.
    pub energy_gpu_j: Option<f64>,
}

/// One GPU during a run. What a driver does not tell is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GpuTelemetry {
    /// The driver's number of it, from 0.
    pub index: u32,
    /// Memory of the worker and the processes it started, MB (10^6 bytes): the largest sample.
    pub memory_peak_mb: Option<f64>,
    /// Time in which any kernel ran, percent: mean of the samples.
    pub utilisation_mean_pct: Option<f64>,
    /// Watts: mean of the samples.
    pub power_mean_w: Option<f64>,
    /// Watts: the largest sample.
    pub power_peak_w: Option<f64>,
    /// Degrees Celsius: the largest sample.
    pub temperature_peak_c: Option<f64>,
    /// Clock of the multiprocessors, MHz: mean of the samples.
    pub sm_clock_mean_mhz: Option<f64>,
    /// Clock of the memory, MHz: mean of the samples.
    pub memory_clock_mean_mhz: Option<f64>,
    /// Why the driver held the clock down in any sample, by NVML's names in small letters: `sw_power_cap`,
    /// `hw_thermal_slowdown`; empty where it did not. An idle GPU's low clock is no such reason.
    pub throttle_reasons: Vec<String>,
}
