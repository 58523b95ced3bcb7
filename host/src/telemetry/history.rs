//! The machine's counters over the last moments, so that a run of two milliseconds, which is shorter than a tick of those
//! counters, has a figure too: that of the half second before its end.

use super::machine::Counters;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The shortest time over which the machine's load is told. A tick is 10 ms: over this it is 2% of one core.
pub(super) const SPAN: Duration = Duration::from_millis(500);
/// Over less, ticks make the shares noise, and they are not told.
const LEAST_SPAN: Duration = Duration::from_millis(200);
/// What happened before a pause of this length is no part of what comes after it.
const PAUSE: Duration = Duration::from_secs(1);

/// The counters at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Snapshot {
    pub(super) at: Instant,
    pub(super) counters: Counters,
    /// Processor time of the host, its workers and what they started, those that have ended included.
    pub(super) ours: Option<Duration>,
}

/// What happened on the machine from one snapshot to another. Shares are percent of one core.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Load {
    pub(super) others_cpu_pct: Option<f64>,
    pub(super) steal_pct: Option<f64>,
    pub(super) swapped_pages: Option<u64>,
    pub(super) thermal_throttles: Option<u64>,
    pub(super) quota_throttles: Option<u64>,
}

impl Snapshot {
    /// From `before` to now.
    pub(super) fn since(&self, before: &Self) -> Load {
        let elapsed = self.at.saturating_duration_since(before.at);
        let share = |used: Duration| {
            (elapsed >= LEAST_SPAN).then(|| 100.0 * used.as_secs_f64() / elapsed.as_secs_f64())
        };
        let time = |of: fn(&Self) -> Option<Duration>| Some(of(self)?.saturating_sub(of(before)?));
        let count = |of: fn(&Counters) -> Option<u64>| {
            Some(of(&self.counters)?.saturating_sub(of(&before.counters)?))
        };
        let others = time(|of| of.counters.busy).zip(time(|of| of.ours));
        Load {
            // Ticks are coarser than a process's own clock, so ours may come out as more than all.
            others_cpu_pct: others.and_then(|(all, ours)| share(all.saturating_sub(ours))),
            steal_pct: time(|of| of.counters.steal).and_then(share),
            swapped_pages: count(|of| of.swapped_pages),
            thermal_throttles: count(|of| of.thermal_throttles),
            quota_throttles: count(|of| of.quota_throttles),
        }
    }
}

/// Snapshots of the last [`SPAN`] and the one before.
#[derive(Debug, Default)]
pub(super) struct History {
    recent: VecDeque<Snapshot>,
}

impl History {
    pub(super) fn push(&mut self, snapshot: Snapshot) {
        if self.latest().is_some_and(|last| snapshot.at.saturating_duration_since(last.at) >= PAUSE) {
            self.recent.clear();
        }
        self.recent.push_back(snapshot);
        // One older than the span is its beginning.
        while self
            .recent
            .get(1)
            .is_some_and(|second| snapshot.at.saturating_duration_since(second.at) >= SPAN)
        {
            self.recent.pop_front();
        }
    }

    pub(super) fn latest(&self) -> Option<Snapshot> {
        self.recent.back().copied()
    }

    /// What happened up to the latest snapshot: since `begin`, or over [`SPAN`] where that is longer and known.
    pub(super) fn load_since(&self, begin: Option<&Snapshot>) -> Load {
        let (Some(latest), Some(oldest)) = (self.recent.back(), self.recent.front()) else {
            return Load::default();
        };
        let earlier = begin.filter(|begin| begin.at < oldest.at);
        latest.since(earlier.unwrap_or(oldest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(start: Instant, ms: u64, busy_ms: u64, ours_ms: u64) -> Snapshot {
        let counters = Counters {
            busy: Some(Duration::from_millis(busy_ms)),
            steal: Some(Duration::from_millis(busy_ms / 10)),
            swapped_pages: Some(ms / 100),
            thermal_throttles: None,
            quota_throttles: Some(7),
        };
        let (at, ours) = (start + Duration::from_millis(ms), Some(Duration::from_millis(ours_ms)));
        Snapshot { at, counters, ours }
    }

    #[test]
    fn what_is_not_ours_is_the_others() {
        let start = Instant::now();
        let first = snapshot(start, 0, 1_000, 100);
        for (busy, ours, expected) in [(2_000, 600, 50.0), (2_000, 100, 100.0), (1_500, 700, 0.0)] {
            let load = snapshot(start, 1_000, busy, ours).since(&first);
            assert_eq!(load.others_cpu_pct, Some(expected), "{busy} {ours}");
            assert_eq!((load.swapped_pages, load.thermal_throttles), (Some(10), None));
            assert_eq!(load.quota_throttles, Some(0));
        }
        assert_eq!(snapshot(start, 1_000, 2_000, 0).since(&first).steal_pct, Some(10.0));
        let silent = Snapshot { ours: None, ..first };
        assert_eq!(snapshot(start, 1_000, 2_000, 600).since(&silent).others_cpu_pct, None);
        let soon = snapshot(start, 100, 1_100, 100).since(&first);
        assert_eq!((soon.others_cpu_pct, soon.steal_pct, soon.swapped_pages), (None, None, Some(1)));
    }

    #[test]
    fn a_short_run_has_the_half_second_before_its_end() {
        let start = Instant::now();
        let mut history = History::default();
        assert_eq!(history.load_since(None), Load::default());
        // Others use a whole core from 600 ms on.
        for ms in (0..=1_000).step_by(50) {
            history.push(snapshot(start, ms, 2 * ms.min(600) + 3 * ms.saturating_sub(600), 2 * ms));
        }
        let of_short = history.load_since(Some(&snapshot(start, 990, 0, 0)));
        assert_eq!(of_short.others_cpu_pct, Some(80.0));
        assert_eq!(history.recent.front().unwrap().at, start + SPAN, "what is older is forgotten");
        let begin = snapshot(start, 0, 0, 0);
        assert_eq!(history.load_since(Some(&begin)).others_cpu_pct, Some(40.0));
        assert_eq!(history.latest().unwrap().at, start + 2 * SPAN);
        history.push(snapshot(start, 9_000, 0, 0));
        assert_eq!(history.load_since(None).others_cpu_pct, None, "a pause is no part of a run");
    }
}
