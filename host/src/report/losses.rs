//! Degraded runs, those of one model and backend that were lost in the same way together: a backend whose runtime is
//! missing is one line, not one for each of its cells.

use crate::analysis::DegradedGroup;

/// Runs lost in the same way.
pub(super) struct Losses<'a> {
    /// The first cell's.
    pub(super) first: &'a DegradedGroup,
    pub(super) cells: usize,
    pub(super) runs: u64,
}

impl Losses<'_> {
    /// `generate cached, single_micro`, or `18 cells`.
    pub(super) fn place(&self) -> String {
        match self.cells {
            1 => format!("{}, {}", self.first.call, self.first.scenario.name),
            several => format!("{several} cells"),
        }
    }
}

/// In the order of their first cells.
pub(super) fn losses(groups: &[DegradedGroup]) -> Vec<Losses<'_>> {
    let mut found: Vec<Losses<'_>> = Vec::new();
    let way = |of: &DegradedGroup| (of.kind, of.stage, of.signal, of.exit_code);
    for group in groups {
        let same = |of: &&mut Losses<'_>| {
            way(of.first) == way(group)
                && (&of.first.model, &of.first.backend) == (&group.model, &group.backend)
        };
        match found.iter_mut().find(same) {
            Some(losses) => {
                losses.cells += 1;
                losses.runs += group.count;
            }
            None => found.push(Losses { first: group, cells: 1, runs: group.count }),
        }
    }
    found
}
