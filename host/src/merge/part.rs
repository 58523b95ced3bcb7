//! The run folders to merge, held so that nothing changes in them meanwhile.

use super::MergeError;
use crate::manifest::Manifest;
use crate::store::{Held, hold, read_manifest};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One of them.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    /// The folder's own name, told apart where two have the same.
    pub(super) name: String,
    pub(super) manifest: Manifest,
    /// Held, not read.
    _held: Held,
}

/// The folders at `paths`, in that order.
pub(super) fn open(paths: &[PathBuf], out: &Path) -> Result<Vec<Part>, MergeError> {
    if paths.len() < 2 {
        return Err(MergeError::Alone { path: paths.first().map_or(out, PathBuf::as_path).into() });
    }
    let (mut parts, mut places, mut names) = (Vec::new(), HashSet::new(), HashSet::new());
    let place_of_out = fs::canonicalize(out).ok();
    for path in paths {
        let manifest = read_manifest(path)?;
        let place = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        if Some(&place) == place_of_out.as_ref() {
            return Err(MergeError::OutIsPart { path: out.into() });
        }
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !places.insert(place) {
            return Err(MergeError::Twice { path: path.clone() });
        }
        let name = free_name(name, &names);
        names.insert(name.clone());
        parts.push(Part { path: path.clone(), name, manifest, _held: hold(path)? });
    }
    Ok(parts)
}

fn free_name(name: String, taken: &HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.clone()).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or(name)
}
