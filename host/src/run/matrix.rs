//! The loop over the plan: each run is made once, recorded once, and skipped where an earlier part of the same
//! run folder holds its record.

use super::group::GroupRunner;
use super::ledger::Ledger;
use super::recording::{Place, record};
use super::{Event, Setup, Starter};
use crate::config::Config;
use crate::interrupt;
use crate::plan::{Group, Plan, Run};
use crate::record::Record;
use crate::store::StoreError;
use crate::validity::Enough;
use std::collections::HashMap;

/// What stops a matrix before its end. The records made so far are kept.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// A run folder that does not take records.
    #[error("failed to {0}")]
    Store(#[from] StoreError),
    /// No worker process can be started.
    #[error("failed to {0}")]
    Worker(std::io::Error),
}

/// Everything a matrix is made from.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// As resolved.
    pub config: &'a Config,
    /// Its runs.
    pub plan: &'a Plan,
    /// Its models and plugins.
    pub setup: &'a Setup,
    /// How its workers are started.
    pub starter: &'a Starter,
}

impl Matrix<'_> {
    /// Makes the runs that `recorded` does not hold yet and writes each into `ledger`.
    ///
    /// # Errors
    /// [`RunError`]; the manifest is then written as far as things went.
    pub fn run(
        &self,
        recorded: &[Record],
        ledger: &mut Ledger,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), RunError> {
        let done: HashMap<RunKey, &Record> =
            recorded.iter().map(|record| (RunKey::of(record), record)).collect();
        ledger.recount_spared();
        if let Some(note) = self.strangers(recorded, &done) {
            events(Event::Note(note));
        }
        events(Event::Started { planned: self.plan.runs(), recorded: done.len() as u64 });
        let result =
            self.plan.groups.iter().try_for_each(|group| self.run_group(group, &done, ledger, events));
        let closed = ledger.close(result.is_ok().then(now));
        // What stopped the matrix is likely why the manifest cannot be written either.
        result.and(closed.map_err(RunError::from))
    }

    /// Records beyond what the plan asks for: a file that was edited, or merged rounds and imports.
    fn strangers(&self, recorded: &[Record], done: &HashMap<RunKey, &Record>) -> Option<String> {
        if done.is_empty() {
            return None;
        }
        let runs = self.plan.groups.iter().flat_map(|group| group.runs.iter().map(move |run| (group, run)));
        let asked = runs.filter(|&(group, &run)| done.contains_key(&self.key(group, run))).count();
        let ours = recorded.iter().filter(|record| record.imported.is_none()).count();
        let strange = ours.saturating_sub(asked);
        (strange > 0).then(|| {
            format!("{strange} records are of runs that this plan does not ask for, or repeat another; they stay where they are")
        })
    }

    fn key(&self, group: &Group, run: Run) -> RunKey {
        RunKey(self.plan.cells[run.cell].id.0.clone(), group.round, run.repetition)
    }

    fn run_group(
        &self,
        group: &Group,
        done: &HashMap<RunKey, &Record>,
        ledger: &mut Ledger,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), RunError> {
        let mut runner = GroupRunner::new(self, group);
        let mut cells: HashMap<usize, Enough> = HashMap::new();
        let cores = ledger.cores();
        for &run in &group.runs {
            let cell = &self.plan.cells[run.cell];
            let enough = cells.entry(run.cell).or_insert_with(|| Enough::new(&self.config.run));
            if let Some(record) = done.get(&self.key(group, run)) {
                enough.extend(record);
                continue;
            }
            if enough.reached() {
                ledger.spare();
                events(Event::Spared);
                continue;
            }
            if interrupt::requested() {
                return Err(RunError::Interrupted);
            }
            let started_at = now();
            let outcome = runner.attempt(run)?;
            let place = Place { group, run, started_at, worker_pid: runner.pid, cores };
            let record = record(self.config, cell, place, outcome);
            ledger.append(&record)?;
            enough.extend(&record);
            if let Some(session) = runner.session.take() {
                ledger.note_session(group.backend, &self.config.models[group.model].name, session)?;
            }
            events(Event::Recorded(&record));
        }
        Ok(())
    }
}

/// What makes a run one of a kind in its folder.
#[derive(PartialEq, Eq, Hash)]
struct RunKey(String, u32, u32);

impl RunKey {
    fn of(record: &Record) -> Self {
        Self(record.cell.clone(), record.round, record.repetition)
    }
}

/// The time, RFC 3339 in UTC, to the millisecond.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
