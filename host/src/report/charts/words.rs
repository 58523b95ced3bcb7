//! What a mark says in full: the value with its unit, its interval and how many runs it is over.

use crate::analysis::{CellSummary, Scenario};
use crate::report::figure::{count, figure, ratio};
use crate::stats::{Interval, Summary};

/// `single_micro 1x8`.
pub(super) fn scenario(of: &Scenario) -> String {
    format!("{} {}", of.name, of.shape())
}

/// `1 scenario`, `4 scenarios`.
pub(super) fn scenarios(number: usize) -> String {
    format!("{number} scenario{}", if number == 1 { "" } else { "s" })
}

/// `ort, single_micro 1x8: 1.93 ms, 95% CI 1.90 to 1.96, n = 30`.
pub(super) fn mean(cell: &CellSummary, of: &Summary, unit: &str) -> String {
    format!(
        "{}, {}: {} {unit}{}, n = {}",
        cell.backend,
        scenario(&cell.scenario),
        figure(of.mean),
        interval(of.ci95),
        count(of.n as u64)
    )
}

/// `, 95% CI 1.90 to 1.96`; nothing without one.
pub(super) fn interval(of: Option<Interval>) -> String {
    of.map_or_else(String::new, |of| {
        format!(", 95% CI {} to {}", figure(Some(of.low)), figure(Some(of.high)))
    })
}

/// The same of ratios.
pub(super) fn ratio_interval(of: Option<Interval>) -> String {
    of.map_or_else(String::new, |of| format!(", 95% CI {} to {}", ratio(Some(of.low)), ratio(Some(of.high))))
}
