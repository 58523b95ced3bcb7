//! Where a cell's detail is on the page.

use crate::analysis::CellSummary;
use crate::report::charts::slug;
use std::collections::{HashMap, HashSet};

/// An id for each cell: `cell-` and its own id, as far as an id of the page can hold that.
pub(super) struct Anchors<'a> {
    ids: Vec<String>,
    by_cell: HashMap<&'a str, usize>,
}

impl<'a> Anchors<'a> {
    pub(super) fn new(cells: &'a [CellSummary]) -> Self {
        let (mut ids, mut by_cell, mut used) = (Vec::new(), HashMap::new(), HashSet::new());
        for (index, cell) in cells.iter().enumerate() {
            let plain = format!("cell-{}", slug(&cell.cell));
            let id =
                if used.contains(&plain) { format!("cell-n{index}-{}", slug(&cell.cell)) } else { plain };
            used.insert(id.clone());
            ids.push(id);
            by_cell.entry(cell.cell.as_str()).or_insert(index);
        }
        Self { ids, by_cell }
    }

    /// Of the cell at `index`.
    pub(super) fn id(&self, index: usize) -> &str {
        self.ids.get(index).map_or("", String::as_str)
    }

    /// The link to the cell that records name `cell`.
    pub(super) fn link(&self, cell: &str) -> Option<String> {
        self.by_cell.get(cell).map(|index| format!("#{}", self.id(*index)))
    }
}
