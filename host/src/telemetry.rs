//! What this process used, counted by the operating system around a call, outside the timed region.

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
        Self { cpu: platform::cpu() }
    }

    /// What was used since, over `latency`, and the largest resident set so far.
    pub fn until_now(self, latency: Duration) -> Telemetry {
        let cpu = platform::cpu().zip(self.cpu).map(|(now, before)| now.saturating_sub(before));
        Telemetry {
            rss_peak_mb: platform::rss_peak_bytes().map(|bytes| bytes as f64 / 1e6),
            cpu_mean_pct: cpu.map(|cpu| 100.0 * cpu.as_secs_f64() / latency.as_secs_f64().max(1e-9)),
            gpu: None,
        }
    }
}

#[cfg(unix)]
mod platform {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::{TimeVal, TimeValLike};
    use std::time::Duration;

    pub(super) fn cpu() -> Option<Duration> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        Some(duration(usage.user_time()) + duration(usage.system_time()))
    }

    fn duration(time: TimeVal) -> Duration {
        Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0))
    }

    /// What `getrusage` says of a process on Linux may be its parent's peak, from before it became itself.
    #[cfg(target_os = "linux")]
    pub(super) fn rss_peak_bytes() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn rss_peak_bytes() -> Option<u64> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        // macOS counts in bytes, the others in KiB.
        let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
        Some(u64::try_from(usage.max_rss()).ok()? * unit)
    }
}

#[cfg(not(unix))]
mod platform {
    use std::time::Duration;

    pub(super) fn cpu() -> Option<Duration> {
        None
    }

    pub(super) fn rss_peak_bytes() -> Option<u64> {
        None
    }
}
