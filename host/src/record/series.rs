//! The rows of `telemetry.csv` and `gpu.csv`: what workers used over time, in every stage, sampled every 100 ms. They stand
//! beside the records, which stay small.

use super::Stage;
use serde::{Deserialize, Serialize};

/// A sample of one worker. What is counted is counted since its row before; a field without a counter is empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesRow {
    /// When, milliseconds since 1970.
    pub t_ms: i64,
    /// The worker's process.
    pub pid: u32,
    /// Which model it opens.
    pub model: String,
    /// Which backend it serves.
    pub backend: String,
    /// The name of its log.
    pub worker: String,
    /// What it was doing; between two calls, what it did last.
    pub stage: Stage,
    /// Resident set of the worker and the processes it started, MB (10^6 bytes).
    pub rss_mb: Option<f64>,
    /// Their CPU, percent of one core.
    pub cpu_pct: Option<f64>,
    /// Page faults of the worker that needed no disk.
    pub minor_faults: Option<u64>,
    /// Page faults of the worker that waited for the disk.
    pub major_faults: Option<u64>,
    /// Times one of its threads, of those alive, gave its processor up to wait; empty with more than 64 threads.
    pub voluntary_switches: Option<u64>,
    /// Times one of them had its processor taken away; empty with more than 64 threads.
    pub involuntary_switches: Option<u64>,
    /// CPU of all processes but the host and its workers, percent of one core, over half a second that ended at most 0.2 s
    /// ago (on a machine with very many processors more).
    pub others_cpu_pct: Option<f64>,
    /// Processor time that the hypervisor gave to other machines in that half second, percent of one core.
    pub steal_pct: Option<f64>,
    /// Power of all processor packages, watts.
    pub package_w: Option<f64>,
}

/// A sample of one GPU that a worker has memory on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuRow {
    /// When, milliseconds since 1970: that of the worker's row.
    pub t_ms: i64,
    /// The worker's process.
    pub pid: u32,
    /// Which model it opens.
    pub model: String,
    /// Which backend it serves.
    pub backend: String,
    /// The name of its log.
    pub worker: String,
    /// What it was doing.
    pub stage: Stage,
    /// The driver's number of the GPU.
    pub gpu: u32,
    /// Memory of the worker and the processes it started, MB (10^6 bytes).
    pub memory_mb: Option<f64>,
    /// Time in which any kernel ran, percent.
    pub utilisation_pct: Option<f64>,
    /// Watts, whoever used them.
    pub power_w: Option<f64>,
    /// Degrees Celsius.
    pub temperature_c: Option<f64>,
    /// Clock of the multiprocessors, MHz.
    pub sm_clock_mhz: Option<f64>,
    /// Clock of the memory, MHz.
    pub memory_clock_mhz: Option<f64>,
    /// Why the driver held the clock down, by NVML's names in small letters, `;` between them.
    pub throttle_reasons: String,
}
