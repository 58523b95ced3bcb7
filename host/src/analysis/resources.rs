//! What the runs of one cell used: disk, memory, processor.

use super::run::{Figure, Run, Used};
use crate::manifest::Manifest;
use crate::stats::{Summary, summary};
use schemars::JsonSchema;
use serde::Serialize;

/// Over the ok runs of one cell. Sizes are of its model and backend.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Resources {
    /// Bytes on disk of what the backend opens; none where the manifest does not say.
    pub disk_bytes: Option<u64>,
    /// Bytes of weights as the runtime holds them; none where it does not say.
    pub model_bytes: Option<u64>,
    /// The worker's largest resident set up to the end of a run, MB (10^6 bytes).
    pub rss_peak_mb: Summary,
    /// A run's mean of sampled resident sets, MB. `n` counts the runs that lasted for enough samples, as below.
    pub rss_mean_mb: Summary,
    /// A run's 90th percentile of them, MB.
    pub rss_p90_mb: Summary,
    /// CPU time of a run over its latency, percent of one core.
    pub cpu_mean_pct: Summary,
    /// A run's largest sampled CPU, percent of one core.
    pub cpu_peak_pct: Summary,
    /// A run's 90th percentile of it.
    pub cpu_p90_pct: Summary,
    /// Page faults of the worker in a run that needed no disk.
    pub minor_faults: Summary,
    /// Page faults of the worker in a run that waited for the disk.
    pub major_faults: Summary,
    /// Times a thread of the worker gave its processor up to wait in a run.
    pub voluntary_switches: Summary,
    /// Times a thread of the worker had its processor taken away in a run.
    pub involuntary_switches: Summary,
    /// CPU of all processes but inferhost's own, over a run or the half second before its end, percent of one core.
    pub others_cpu_pct: Summary,
    /// Processor time that the hypervisor gave to other machines in that time, percent of one core.
    pub steal_pct: Summary,
}

impl Resources {
    pub(super) fn of(ok: &[&Run]) -> Self {
        let over = |metric: fn(&Used) -> Figure| -> Summary {
            summary(&ok.iter().filter_map(|run| metric(&run.used).get()).collect::<Vec<_>>())
        };
        Self {
            disk_bytes: None,
            model_bytes: None,
            rss_peak_mb: over(|used| used.rss_peak_mb),
            rss_mean_mb: over(|used| used.rss_mean_mb),
            rss_p90_mb: over(|used| used.rss_p90_mb),
            cpu_mean_pct: over(|used| used.cpu_mean_pct),
            cpu_peak_pct: over(|used| used.cpu_peak_pct),
            cpu_p90_pct: over(|used| used.cpu_p90_pct),
            minor_faults: over(|used| used.minor_faults),
            major_faults: over(|used| used.major_faults),
            voluntary_switches: over(|used| used.voluntary_switches),
            involuntary_switches: over(|used| used.involuntary_switches),
            others_cpu_pct: over(|used| used.others_cpu_pct),
            steal_pct: over(|used| used.steal_pct),
        }
    }

    /// With the sizes that `manifest` has.
    pub(super) fn sized(self, manifest: &Manifest, model: &str, backend: &str) -> Self {
        let entry = manifest.backends.iter().find(|entry| entry.name == backend);
        let disk_bytes = entry.and_then(|entry| entry.disk_bytes.get(model).copied());
        let model_bytes = entry.and_then(|entry| entry.session.get(model)?.model_bytes);
        Self { disk_bytes, model_bytes, ..self }
    }

    /// Runs that lasted for enough samples.
    pub fn sampled_runs(&self) -> usize {
        self.rss_p90_mb.n.max(self.cpu_p90_pct.n)
    }
}
