//! A run folder as cells with their ok runs, so small that a million records fit in memory.

use super::outcome::CellName;
use crate::analysis::{Call, Scenario, tpot_ms};
use crate::manifest::Manifest;
use crate::record::{DegradedKind, Record};
use crate::store::{StoreError, read_manifest, stream_records};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// One run folder.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) manifest: Manifest,
    /// In the order of their first records.
    pub(super) cells: Vec<Cell>,
    /// Records left out because they repeat a run.
    pub(super) doubled: u64,
    /// Ok runs in whose time the machine was not their own.
    pub(super) disturbed: u64,
    pub(super) torn: bool,
}

/// All runs of one cell.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) name: CellName,
    pub(super) recorded: u64,
    pub(super) degraded: BTreeMap<DegradedKind, u64>,
    /// The first degraded run's message.
    pub(super) message: Option<String>,
    /// The ok ones, in the order written.
    pub(super) runs: Vec<Run>,
}

/// An ok run. Times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) latency: f64,
    pub(super) ttft: Option<f64>,
    pub(super) tpot: Option<f64>,
    /// CPU time; none without a counter.
    pub(super) cpu: Option<f64>,
}

impl Folder {
    pub(super) fn read(path: &Path) -> Result<Self, StoreError> {
        let manifest = read_manifest(path)?;
        let mut collected = Collected::default();
        let torn = stream_records(path, |_, record| collected.push(record))?;
        let Collected { cells, doubled, disturbed, .. } = collected;
        Ok(Self { path: path.into(), manifest, cells, doubled, disturbed, torn })
    }

    /// The backends that have records, in the order of the manifest, then of the records.
    pub(super) fn backends(&self) -> Vec<&str> {
        let recorded: HashSet<&str> = self.cells.iter().map(|cell| cell.name.backend.as_str()).collect();
        let listed = self.manifest.backends.iter().map(|backend| backend.name.as_str());
        let mut names: Vec<&str> = listed.filter(|name| recorded.contains(name)).collect();
        for cell in &self.cells {
            if !names.contains(&cell.name.backend.as_str()) {
                names.push(&cell.name.backend);
            }
        }
        names
    }
}

#[derive(Default)]
struct Collected {
    places: HashMap<CellName, usize>,
    cells: Vec<Cell>,
    /// A small number for each cell id.
    ids: HashMap<String, u32>,
    seen: HashSet<(u32, u32, u32, u32)>,
    doubled: u64,
    disturbed: u64,
}

impl Collected {
    /// The first record of a repetition of a cell in a round counts.
    fn push(&mut self, record: Record) {
        let next = self.ids.len() as u32;
        let id = *self.ids.entry(record.cell.clone()).or_insert(next);
        let name = name_of(&record);
        let cells = &mut self.cells;
        let place = *self.places.entry(name.clone()).or_insert_with(|| {
            cells.push(Cell::empty(name));
            cells.len() - 1
        });
        if self.seen.insert((id, place as u32, record.round, record.repetition)) {
            self.disturbed += u64::from(!record.disturbances.is_empty());
            self.cells[place].push(&record);
        } else {
            self.doubled += 1;
        }
    }
}

fn name_of(record: &Record) -> CellName {
    let Record { model, backend, scenario, mode, batch, prompt_tokens, new_tokens, use_cache, .. } = record;
    CellName {
        model: model.clone(),
        backend: backend.clone(),
        scenario: Scenario {
            batch: *batch,
            prompt_tokens: *prompt_tokens,
            new_tokens: *new_tokens,
            name: scenario.clone(),
        },
        call: Call { mode: *mode, use_cache: *use_cache },
    }
}

impl Cell {
    fn empty(name: CellName) -> Self {
        Self { name, recorded: 0, degraded: BTreeMap::new(), message: None, runs: Vec::new() }
    }

    fn push(&mut self, record: &Record) {
        self.recorded += 1;
        if let Some(reason) = &record.degraded {
            *self.degraded.entry(reason.kind).or_default() += 1;
            self.message.get_or_insert_with(|| reason.message.clone());
        } else if let Some(latency) = positive(record.latency_ms) {
            let share = record.telemetry.as_ref().and_then(|used| used.cpu_mean_pct);
            self.runs.push(Run {
                latency,
                ttft: positive(record.ttft_ms),
                tpot: positive(tpot_ms(record)),
                cpu: positive(share).map(|percent| latency * percent / 100.0),
            });
        }
    }
}

fn positive(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite() && *value > 0.0)
}
