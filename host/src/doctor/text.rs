//! The report for people: a line a check, and what mends it below.

use super::{Check, Level, Report};
use crate::text::clipped;

/// Characters of a line's message that are shown; `--json` has all of it.
const MESSAGE_LIMIT: usize = 600;
const NAME_LIMIT: usize = 64;

/// The whole report, without a line break at its end.
pub fn terminal(report: &Report) -> String {
    let host = format!("inferhost {}, plugin interface {}", report.host_version, report.interface);
    let mut lines = vec![host];
    lines.extend(report.checks.iter().flat_map(check));
    for plugin in &report.plugins {
        let todo = if plugin.level == Level::Ok { ": nothing to do" } else { "" };
        lines.push(format!("{}  {}{todo}", clipped(&plugin.name, NAME_LIMIT), plugin.level.name()));
        lines.extend(plugin.checks.iter().flat_map(check));
    }
    lines.push(summary(report));
    lines.join("\n")
}

fn check(check: &Check) -> Vec<String> {
    let Check { name, level, message, fix } = check;
    let mut lines = vec![format!("  {name:<14} {:<4}  {}", level.name(), clipped(message, MESSAGE_LIMIT))];
    lines.extend(
        fix.iter().map(|fix| format!("  {:<14} {:<4}  fix: {}", "", "", clipped(fix, MESSAGE_LIMIT))),
    );
    lines
}

fn summary(report: &Report) -> String {
    let all = || report.plugins.iter().flat_map(|plugin| &plugin.checks).chain(&report.checks);
    let count = |level| all().filter(|check| check.level == level).count();
    let of = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match (count(Level::Fail), count(Level::Warn)) {
        (0, 0) => "all is well: nothing to do".into(),
        (0, warnings) => format!("it works, with {}", of(warnings, "warning")),
        (failures, warnings) => format!("{}, {}", of(failures, "failure"), of(warnings, "warning")),
    }
}
