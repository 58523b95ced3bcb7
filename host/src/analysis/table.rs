//! Backends side by side: one table per model and call, one row per scenario.

use super::Analysis;
use super::cell::CellSummary;
use super::group::{Call, Scenario};

/// The cells of one model and call.
#[derive(Debug)]
pub struct Table<'a> {
    /// The model.
    pub model: &'a str,
    /// What was called.
    pub call: Call,
    /// The columns: every backend that has a cell here.
    pub backends: Vec<&'a str>,
    /// The rows, from the smallest scenario to the largest.
    pub rows: Vec<TableRow<'a>>,
}

/// The cells of one scenario.
#[derive(Debug)]
pub struct TableRow<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// One for each of the table's backends; none where that backend has no record.
    pub cells: Vec<Option<&'a CellSummary>>,
}

impl Analysis {
    /// The cells as tables.
    pub fn tables(&self) -> Vec<Table<'_>> {
        self.cells.chunk_by(CellSummary::same_table).filter_map(Table::of).collect()
    }
}

impl<'a> Table<'a> {
    fn of(cells: &'a [CellSummary]) -> Option<Self> {
        let first = cells.first()?;
        let mut backends: Vec<&str> = Vec::new();
        for cell in cells {
            if !backends.contains(&cell.backend.as_str()) {
                backends.push(&cell.backend);
            }
        }
        let rows = cells.chunk_by(|a, b| a.scenario == b.scenario);
        let rows = rows.filter_map(|row| TableRow::of(row, &backends)).collect();
        Some(Self { model: &first.model, call: first.call, backends, rows })
    }
}

impl<'a> TableRow<'a> {
    fn of(cells: &'a [CellSummary], backends: &[&str]) -> Option<Self> {
        let cell_of = |backend: &&str| cells.iter().find(|cell| cell.backend == *backend);
        Some(Self { scenario: &cells.first()?.scenario, cells: backends.iter().map(cell_of).collect() })
    }
}

/// Sets every cell's ratio to the `baseline`'s cell of its row.
pub(super) fn compare(cells: &mut [CellSummary], baseline: &str) {
    for row in cells.chunk_by_mut(CellSummary::same_row) {
        let base = row.iter().find(|cell| cell.backend == baseline);
        let base = base.and_then(|cell| cell.throughput_tok_s.mean).filter(|mean| *mean > 0.0);
        for cell in row {
            cell.throughput_ratio = cell.throughput_tok_s.mean.zip(base).map(|(mean, base)| mean / base);
        }
    }
}
