//! The token embedding. A call reads a few of its rows; where the head has its matrix in another form, keeping it in memory
//! as well would cost as much again (a third of GPT-2's weights), so the rows are read from the file, mapped.

use crate::error::Outcome;
use crate::weights::Weights;
use inferhost_plugin_api::{Error, ErrorKind};
use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use tch::{Device, Kind, Tensor};

pub(crate) enum Embedding {
    /// `[vocab_size, width]`, in the session's type and on its device.
    Loaded(Tensor),
    Mapped(MappedRows),
}

impl Embedding {
    /// The rows of tensor `name` of the decoder, `[vocab_size, width]`, mapped.
    ///
    /// # Errors
    /// `InvalidInput` for a tensor that is absent, has another shape or cannot be mapped.
    pub(crate) fn map(name: &str, shape: &[usize; 2], weights: &Weights) -> Outcome<Self> {
        let (path, start, kind) = weights.place(name, shape)?;
        let row = shape[1] * kind.elt_size_in_bytes();
        let file = File::open(&path).map_err(|e| Error::invalid(format!("{}: {e}", path.display())))?;
        // SAFETY: the file is a model's, which nothing changes while it is open; if it is cut short all the same, this
        // worker is lost, and the host records that.
        let map =
            unsafe { MmapOptions::new().offset(start).len(shape[0] * row).map(&file) }.map_err(|e| {
                let short = e.kind() == std::io::ErrorKind::OutOfMemory;
                let kind = if short { ErrorKind::OutOfMemory } else { ErrorKind::InvalidInput };
                Error::new(kind, format!("{}: cannot be mapped into memory: {e}", path.display()))
            })?;
        Ok(Self::Mapped(MappedRows { map, row, width: shape[1] as i64, stored: kind, kind: weights.kind() }))
    }

    /// The rows of `ids` `[ids]`, which lie on the table's device: `[ids, width]`.
    pub(crate) fn rows(&self, ids: &Tensor) -> Outcome<Tensor> {
        match self {
            Self::Loaded(table) => Ok(table.f_index_select(0, ids)?),
            Self::Mapped(rows) => rows.of(&Vec::<i64>::try_from(ids)?),
        }
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Loaded(table) => crate::linear::bytes(table),
            Self::Mapped(_) => 0,
        }
    }
}

/// Rows in a file.
pub(crate) struct MappedRows {
    map: Mmap,
    /// Bytes of a row.
    row: usize,
    width: i64,
    stored: Kind,
    kind: Kind,
}

impl MappedRows {
    fn of(&self, ids: &[i64]) -> Outcome<Tensor> {
        let mut rows = Tensor::f_zeros([ids.len() as i64, self.width], (self.stored, Device::Cpu))?;
        let into = crate::shim::bytes_mut(&mut rows);
        for (into, &id) in into.chunks_exact_mut(self.row).zip(ids) {
            // The interface's edge has refused ids beyond the vocabulary.
            let start = id as usize * self.row;
            into.copy_from_slice(&self.map[start..start + self.row]);
        }
        Ok(rows.f_to_kind(self.kind)?)
    }
}
