//! Names in the order they were first met.

use std::collections::HashMap;

/// Ranks names by first appearance.
pub(super) struct Order<'a>(HashMap<&'a str, usize>);

impl<'a> Order<'a> {
    pub(super) fn new(names: impl Iterator<Item = &'a str>) -> Self {
        let mut ranks = HashMap::new();
        for name in names {
            let next = ranks.len();
            ranks.entry(name).or_insert(next);
        }
        Self(ranks)
    }

    /// From 0; a name never met comes last.
    pub(super) fn rank(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or(usize::MAX)
    }
}

/// Each value once.
pub(crate) fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}
