//! Which cell of one folder is which of the other.

use super::CompareError;
use super::cells::{Cell, Folder};
use super::outcome::CellName;
use std::collections::HashMap;
use std::path::Path;

/// A backend that has another name in the second folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendPair {
    /// Its name in the first.
    pub before: String,
    /// Its name in the second.
    pub after: String,
}

impl std::str::FromStr for BackendPair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((before, after)) if !before.is_empty() && !after.is_empty() => {
                Ok(Self { before: before.into(), after: after.into() })
            }
            _ => Err("give two backends' names as BEFORE=AFTER".into()),
        }
    }
}

/// The cells of two folders, put together.
#[derive(Debug)]
pub(super) struct Paired<'a> {
    pub(super) both: Vec<(&'a Cell, &'a Cell)>,
    pub(super) gone: Vec<&'a CellName>,
    pub(super) new: Vec<&'a CellName>,
    /// Backends in both: their names before and after.
    pub(super) backends: Vec<(&'a str, &'a str)>,
}

/// Pairs the cells of `before` with those of `after`, or with other backends of its own where there is none.
pub(super) fn pair<'a>(
    before: &'a Folder,
    after: Option<&'a Folder>,
    named: &'a [BackendPair],
) -> Result<Paired<'a>, CompareError> {
    let second = after.unwrap_or(before);
    check(before, second, named)?;
    let backends = backends(before, after, named);
    let mut places: HashMap<&CellName, &Cell> = second.cells.iter().map(|cell| (&cell.name, cell)).collect();
    // In a folder against itself, what no pair names is neither new nor gone: it is not asked for.
    let asked = |name: &str, named: &dyn Fn(&BackendPair) -> &str, all: &[BackendPair]| {
        after.is_some() || all.iter().any(|pair| named(pair) == name)
    };
    let (mut both, mut gone) = (Vec::new(), Vec::new());
    for cell in before.cells.iter().filter(|cell| asked(&cell.name.backend, &|pair| &pair.before, named)) {
        let renamed = backends.iter().find(|(name, _)| *name == cell.name.backend).map(|(_, after)| *after);
        let wanted = renamed.map(|backend| CellName { backend: backend.into(), ..cell.name.clone() });
        match wanted.and_then(|wanted| places.remove(&wanted)) {
            Some(other) => both.push((cell, other)),
            None => gone.push(&cell.name),
        }
    }
    let new = second.cells.iter().map(|cell| &cell.name);
    let new =
        new.filter(|name| places.contains_key(name) && asked(&name.backend, &|pair| &pair.after, named));
    let paired = Paired { both, gone, new: new.collect(), backends };
    if paired.both.is_empty() {
        return Err(CompareError::NothingInCommon {
            before: before.path.clone(),
            after: second.path.clone(),
            before_cells: before.cells.len(),
            after_cells: second.cells.len(),
        });
    }
    Ok(paired)
}

fn backends<'a>(
    before: &'a Folder,
    after: Option<&'a Folder>,
    named: &'a [BackendPair],
) -> Vec<(&'a str, &'a str)> {
    let mut pairs: Vec<(&str, &str)> = named.iter().map(|p| (p.before.as_str(), p.after.as_str())).collect();
    let Some(after) = after else { return pairs };
    let others = after.backends();
    for name in before.backends() {
        let is_free = named.iter().all(|pair| pair.before != name && pair.after != name);
        if is_free && others.contains(&name) {
            pairs.push((name, name));
        }
    }
    pairs
}

fn check(before: &Folder, after: &Folder, named: &[BackendPair]) -> Result<(), CompareError> {
    for (index, pair) in named.iter().enumerate() {
        known(&pair.before, &before.path, &before.backends())?;
        known(&pair.after, &after.path, &after.backends())?;
        let earlier = &named[..index];
        for (name, taken) in [
            (&pair.before, earlier.iter().any(|other| other.before == pair.before)),
            (&pair.after, earlier.iter().any(|other| other.after == pair.after)),
        ] {
            if taken {
                return Err(CompareError::PairedTwice { name: name.clone() });
            }
        }
    }
    Ok(())
}

fn known(name: &str, folder: &Path, backends: &[&str]) -> Result<(), CompareError> {
    if backends.contains(&name) {
        return Ok(());
    }
    Err(CompareError::UnknownBackend { name: name.into(), folder: folder.into(), known: backends.join(", ") })
}
