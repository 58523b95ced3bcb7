//! What this process used, counted by the operating system around a call, outside the timed region.

use super::platform::{self, Own};
use crate::record::Telemetry;
use std::time::Duration;

/// The counters of one moment. Reading them costs a microsecond: it is the last thing before the clock.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    own: Option<Own>,
}

impl Usage {
    /// Reads the counters.
    pub fn now() -> Self {
        Self { own: platform::own() }
    }

    /// What was used since, over `latency`, and the largest resident set so far.
    pub fn until_now(self, latency: Duration) -> Telemetry {
        let counted = self.own.zip(platform::own());
        let since = |of: fn(&Own) -> u64| counted.map(|(before, now)| of(&now).saturating_sub(of(&before)));
        let cpu = counted.map(|(before, now)| now.cpu.saturating_sub(before.cpu));
        Telemetry {
            rss_peak_mb: platform::own_rss_peak_bytes().map(|bytes| bytes as f64 / 1e6),
            cpu_mean_pct: cpu.map(|cpu| 100.0 * cpu.as_secs_f64() / latency.as_secs_f64().max(1e-9)),
            minor_faults: since(|own| own.minor_faults),
            major_faults: since(|own| own.major_faults),
            voluntary_switches: since(|own| own.switches.voluntary),
            involuntary_switches: since(|own| own.switches.involuntary),
            ..Telemetry::default()
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn faults_and_switches_are_those_between() {
        let before = Usage::now();
        // Pages that were never touched fault, each once.
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let waited = std::thread::spawn(move || wait.recv().is_ok());
        done.send(()).unwrap();
        assert!(waited.join().unwrap() && touched.len() == 64 << 20);
        let used = before.until_now(Duration::from_secs(1));
        assert!(used.minor_faults > Some(0) && used.major_faults.is_some(), "{used:?}");
        assert!(used.voluntary_switches.is_some() && used.involuntary_switches.is_some(), "{used:?}");
        let at_once = Usage::now().until_now(Duration::from_secs(1));
        assert!(at_once.minor_faults < used.minor_faults, "{at_once:?} after {used:?}");
    }
}
