//! What workers used over time: `telemetry.csv`, a row per sample, and `gpu.csv`, a row per sample and GPU, where there is
//! one. A run is worth more than its series: where a row cannot be written the series ends with a note and the runs go
//! on. A host that is killed leaves one torn last line at most, which the next writer cuts off and readers leave out.

mod join;
mod read;
mod write;

pub use join::JoinedSeries;
pub use read::{SeriesRead, read_gpu_series, read_series};
pub use write::SeriesWriter;

/// The fields of a worker's rows, in the order of [`SeriesRow`](crate::record::SeriesRow).
pub(super) const COLUMNS: &str = "t_ms,pid,model,backend,worker,stage,rss_mb,cpu_pct,minor_faults,major_faults,\
    voluntary_switches,involuntary_switches,others_cpu_pct,steal_pct,package_w\n";

/// The fields of a GPU's rows, in the order of [`GpuRow`](crate::record::GpuRow).
pub(super) const GPU_COLUMNS: &str = "t_ms,pid,model,backend,worker,stage,gpu,memory_mb,utilisation_pct,power_w,temperature_c,\
    sm_clock_mhz,memory_clock_mhz,throttle_reasons\n";

#[cfg(test)]
mod sample {
    use crate::record::{GpuRow, SeriesRow, Stage};

    pub(super) fn row(t_ms: i64) -> SeriesRow {
        SeriesRow {
            t_ms,
            pid: 42,
            model: "tiny, small".into(),
            backend: "ort".into(),
            worker: "tiny-ort-round0".into(),
            stage: Stage::Run,
            rss_mb: Some(212.4),
            cpu_pct: Some(199.0),
            minor_faults: Some(3),
            major_faults: Some(0),
            voluntary_switches: None,
            involuntary_switches: Some(7),
            others_cpu_pct: Some(0.0),
            steal_pct: None,
            package_w: None,
        }
    }

    pub(super) fn gpu_row(t_ms: i64) -> GpuRow {
        GpuRow {
            t_ms,
            pid: 42,
            model: "tiny, small".into(),
            backend: "ort".into(),
            worker: "tiny-ort-round0".into(),
            stage: Stage::Run,
            gpu: 1,
            memory_mb: Some(2_000.0),
            utilisation_pct: Some(50.0),
            power_w: None,
            temperature_c: Some(71.0),
            sm_clock_mhz: None,
            memory_clock_mhz: None,
            throttle_reasons: "sw_power_cap;hw_slowdown".into(),
        }
    }
}
