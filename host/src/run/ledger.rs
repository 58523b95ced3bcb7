//! The run folder and its manifest, kept in step: every record counted, every session noted.

use crate::accuracy::Evaluation;
use crate::manifest::{Counts, Manifest};
use crate::record::Record;
use crate::store::{RunFolder, StoreError};
use inferhost_plugin_api::SessionInfo;

/// Where a matrix writes.
pub struct Ledger {
    folder: RunFolder,
    manifest: Manifest,
}

impl Ledger {
    /// Writes `manifest` into `folder`, with `recorded` counted.
    ///
    /// # Errors
    /// What the system refused.
    pub fn open(folder: RunFolder, mut manifest: Manifest, recorded: &[Record]) -> Result<Self, StoreError> {
        manifest.counts = Counts { spared: manifest.counts.spared, ..Counts::default() };
        manifest.ended_at = None;
        recorded.iter().for_each(|record| manifest.counts.add(record));
        folder.write_manifest(&manifest)?;
        Ok(Self { folder, manifest })
    }

    /// The counts so far.
    pub fn counts(&self) -> &Counts {
        &self.manifest.counts
    }

    pub(super) fn append(&mut self, record: &Record) -> Result<(), StoreError> {
        self.folder.append(record)?;
        self.manifest.counts.add(record);
        Ok(())
    }

    /// Of the machine; of those this process may use, where the system says no more.
    pub(super) fn cores(&self) -> u64 {
        let usable = || std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        self.manifest.machine.logical_cores.unwrap_or_else(usable)
    }

    /// Forgets which runs need not be made: they are about to be counted anew.
    pub(super) fn recount_spared(&mut self) {
        self.manifest.counts.spared = 0;
    }

    /// Counts a planned run that need not be made.
    pub(super) fn spare(&mut self) {
        self.manifest.counts.spared += 1;
    }

    /// Adds a line to `accuracy.jsonl`. It is on the disk when this returns.
    pub(crate) fn append_evaluation(&mut self, evaluation: &Evaluation) -> Result<(), StoreError> {
        self.folder.append_evaluation(evaluation)
    }

    pub(crate) fn note_session(
        &mut self,
        backend: usize,
        model: &str,
        info: SessionInfo,
    ) -> Result<(), StoreError> {
        if let Some(entry) = self.manifest.backends.get_mut(backend) {
            entry.session.insert(model.to_string(), info);
        }
        self.folder.write_manifest(&self.manifest)
    }

    pub(crate) fn close(&mut self, ended_at: Option<String>) -> Result<(), StoreError> {
        self.manifest.ended_at = ended_at;
        self.folder.write_manifest(&self.manifest)
    }
}
