//! Backends side by side: one table per model and call, one row per scenario.

use super::Analysis;
use super::cell::CellSummary;
use super::group::{Call, Scenario};
use super::order::distinct;

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
        let backends = distinct(cells.iter().map(|cell| cell.backend.as_str()));
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

/// The cells of one table's scenarios of which both backends have enough runs for a claim, `backend`'s first.
pub(super) fn enough_of_both<'a>(
    table: &'a [CellSummary],
    backend: &str,
    against: &str,
) -> Vec<(&'a CellSummary, &'a CellSummary)> {
    let of = |name: &str| {
        table.iter().filter(|cell| cell.backend == name && cell.is_enough()).collect::<Vec<&CellSummary>>()
    };
    let (own, others) = (of(backend), of(against));
    let pair =
        |cell: &&'a CellSummary| Some((*cell, *others.iter().find(|other| other.scenario == cell.scenario)?));
    own.iter().filter_map(pair).collect()
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
