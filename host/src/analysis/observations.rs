//! Records as they come in, one by one, with every denominator counted.

use super::RunCounts;
use super::group::{Group, Groups};
use crate::manifest::Manifest;
use crate::record::Record;
use crate::store::Records;
use std::collections::{BTreeSet, HashMap, HashSet};

/// What a run folder's records say, before a manifest puts it in order.
#[derive(Debug, Default)]
pub struct Observations {
    groups: Groups,
    /// Cell ids, each once.
    cells: HashMap<String, u32>,
    seen: HashSet<(u32, u32, u32)>,
    counts: RunCounts,
}

impl Observations {
    /// Takes the record of `line`. A run is a repetition of a cell in a round: a record that repeats one says nothing new,
    /// and must not stand in for a run that has none.
    pub fn push(&mut self, line: usize, record: Record) {
        let next = self.cells.len() as u32;
        let cell = match self.cells.get(&record.cell) {
            Some(&cell) => cell,
            None => *self.cells.entry(record.cell.clone()).or_insert(next),
        };
        if !self.seen.insert((cell, record.round, record.repetition)) {
            self.counts.doubled += 1;
            return;
        }
        self.counts.recorded += 1;
        match &record.degraded {
            Some(reason) => {
                self.counts.degraded += 1;
                *self.counts.degraded_by_kind.entry(reason.kind).or_default() += 1;
            }
            None => self.counts.ok += 1,
        }
        self.counts.disturbed += u64::from(!record.disturbances.is_empty());
        for kind in record.disturbances.iter().map(|found| found.kind).collect::<BTreeSet<_>>() {
            *self.counts.disturbed_by_kind.entry(kind).or_default() += 1;
        }
        self.groups.push(line, record);
    }

    /// Notes that a torn last line was left out.
    pub fn set_torn(&mut self, torn: bool) {
        self.counts.torn = torn;
    }

    /// The cells in reading order, and the counts against the manifest's plan.
    pub(super) fn sorted(self, manifest: &Manifest) -> (Vec<Group>, RunCounts) {
        let planned = manifest.planned_runs;
        let recorded = self.counts.recorded;
        let counts = RunCounts {
            planned,
            spared: manifest.counts.spared,
            missing: planned.saturating_sub(recorded).saturating_sub(manifest.counts.spared),
            surplus: recorded.saturating_sub(planned),
            ..self.counts
        };
        (self.groups.sorted(manifest), counts)
    }
}

impl From<Records> for Observations {
    fn from(found: Records) -> Self {
        let mut observations = Self::default();
        for (line, record) in (1..).zip(found.records) {
            observations.push(line, record);
        }
        observations.set_torn(found.torn);
        observations
    }
}
