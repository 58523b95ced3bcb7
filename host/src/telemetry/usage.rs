//! What this process used, counted by the operating system around a call, outside the timed region.

use super::platform;
use crate::record::Telemetry;
use std::time::Duration;

/// The processor's counter at one moment. Reading it costs a microsecond: it is the last thing before the clock.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    cpu: Option<Duration>,
}

impl Usage {
    /// Reads the counter.
    pub fn now() -> Self {
        Self { cpu: platform::own_cpu() }
    }

    /// What was used since, over `latency`, and the largest resident set so far.
    pub fn until_now(self, latency: Duration) -> Telemetry {
        let cpu = platform::own_cpu().zip(self.cpu).map(|(now, before)| now.saturating_sub(before));
        Telemetry {
            rss_peak_mb: platform::own_rss_peak_bytes().map(|bytes| bytes as f64 / 1e6),
            cpu_mean_pct: cpu.map(|cpu| 100.0 * cpu.as_secs_f64() / latency.as_secs_f64().max(1e-9)),
            ..Telemetry::default()
        }
    }
}
