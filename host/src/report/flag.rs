//! What makes a cell's figures doubtful, in words.

use super::answer::percent;
use super::figure::{figure, p_value, ratio};
use crate::analysis::{
    CellSummary, DRIFT, DRIFT_P, Flag, LEAST_RUNS, OUTLIER_SHARE, SLOW_FIRST, UNSTABLE_CV,
};
use crate::stats::OUTLIER_SCORE;

/// What each word means, with the bounds.
pub(super) fn how_to_read() -> String {
    format!(
        "- **Doubts** change no figure. *Too few runs*: fewer than {LEAST_RUNS} ok runs, so nothing is claimed. *Unstable*: \
         the latency's standard deviation is above {} of its mean. *Slow first run*: in most workers the first measured run \
         took {SLOW_FIRST} times the median of the others or more, and longer than each of them. *Drift*: latency changed by \
         {} or more from a worker's first run to its last (Theil and Sen's slope), Kendall's tau with p below {DRIFT_P}. \
         *Workers differ*: the means of the rounds' workers lie as far apart, F-test with p below {DRIFT_P}. *Outliers*: \
         runs whose modified z-score (from the median absolute deviation) is above {OUTLIER_SCORE} and which are {} \
         or more away from the median; they stay in every figure.\n",
        percent(UNSTABLE_CV),
        percent(DRIFT),
        percent(OUTLIER_SHARE)
    )
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

fn doubt(flag: Flag) -> String {
    match flag {
        Flag::TooFewRuns { ok } => format!("too few runs ({ok} ok)"),
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
