//! What makes a cell's figures doubtful, in words.

use super::answer::percent;
use super::figure::{figure, p_value, ratio};
use crate::analysis::{CellSummary, DRIFT, DRIFT_P, Flag, OUTLIER_SHARE, SLOW_FIRST, UNSTABLE_CV};
use crate::record::DisturbanceKind;
use crate::stats::OUTLIER_SCORE;
use crate::validity::Least;

/// What each word means, with the bounds.
pub(super) fn how_to_read(least: Least) -> String {
    format!(
        "- **Doubts** change no figure. *Too few runs*, *too little time*: fewer than {least}, so nothing is claimed. \
         *Disturbed*: not valid, for in the time of so many ok runs {} (busy), {} (swapped), or {} (throttled); each such record says what was found and what to do. *Unstable*: \
         the latency's standard deviation is above {} of its mean. *Slow first run*: in most workers the first measured run \
         took {SLOW_FIRST} times the median of the others or more, and longer than each of them. *Drift*: latency changed by \
         {} or more from a worker's first run to its last (Theil and Sen's slope), Kendall's tau with p below {DRIFT_P}. \
         *Workers differ*: the means of the rounds' workers lie as far apart, F-test with p below {DRIFT_P}. *Outliers*: \
         runs whose modified z-score (from the median absolute deviation) is above {OUTLIER_SCORE} and which are {} \
         or more away from the median; they stay in every figure.\n",
        disturbance(DisturbanceKind::Busy),
        disturbance(DisturbanceKind::Swapped),
        disturbance(DisturbanceKind::Throttled),
        percent(UNSTABLE_CV),
        percent(DRIFT),
        percent(OUTLIER_SHARE)
    )
}

/// What happened in the time of disturbed runs.
pub(super) const fn disturbance(kind: DisturbanceKind) -> &'static str {
    match kind {
        DisturbanceKind::Busy => "others used the processors",
        DisturbanceKind::Swapped => "memory was moved to or from the disk",
        DisturbanceKind::Throttled => "a processor, GPU or quota slowed them",
    }
}

/// All doubts of a cell, in one line; none where there are none.
pub(super) fn doubts(cell: &CellSummary) -> Option<String> {
    let mut words: Vec<String> = cell.flags.iter().map(|flag| doubt(*flag)).collect();
    match cell.outlier_lines.len() {
        0 => {}
        1 => words.push("1 outlier".into()),
        several => words.push(format!("{several} outliers")),
    }
    (!words.is_empty()).then(|| words.join("; "))
}

fn kinds(counts: [u64; 3]) -> String {
    let names = [DisturbanceKind::Busy, DisturbanceKind::Swapped, DisturbanceKind::Throttled];
    let found = names.into_iter().zip(counts).filter(|(_, count)| *count > 0);
    found.map(|(kind, count)| format!("{} {count}", kind.name())).collect::<Vec<_>>().join(", ")
}

fn doubt(flag: Flag) -> String {
    match flag {
        Flag::TooFewRuns { ok } => format!("too few runs ({ok} ok)"),
        Flag::TooLittleTime { measured_s } => format!("too little time ({} s)", figure(Some(measured_s))),
        Flag::Disturbed { busy, swapped, throttled, runs } => {
            format!("{runs} disturbed ({})", kinds([busy, swapped, throttled]))
        }
        Flag::Unstable { cv } => format!("unstable (CV {}%)", figure(Some(cv * 100.0))),
        Flag::SlowFirstRun { ratio: times } => format!("slow first run ({})", ratio(Some(times))),
        Flag::WorkersDiffer { spread, p } => {
            format!("workers differ ({:.1}%, F-test {})", spread * 100.0, p_value(p))
        }
        Flag::Drift { tau, p, change } => {
            format!("drift ({:+.1}%, Kendall's tau {tau:.2}, {})", change * 100.0, p_value(p))
        }
    }
}
