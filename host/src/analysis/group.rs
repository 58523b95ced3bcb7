//! Records put together by what they measure, in the order a reader expects.

use super::order::Order;
use crate::manifest::Manifest;
use crate::record::{Mode, Record};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;

/// Which of a session's calls, and whether with `past_key_values`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Call {
    /// The call.
    pub mode: Mode,
    /// Whether the cache was used; none where the mode has no steps.
    pub use_cache: Option<bool>,
}

impl Call {
    /// Prefill, then generation with and without cache, then logprobs.
    fn rank(self) -> (Mode, Reverse<Option<bool>>) {
        (self.mode, Reverse(self.use_cache))
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mode.name())?;
        match self.use_cache {
            Some(true) => f.write_str(" cached"),
            Some(false) => f.write_str(" uncached"),
            None => Ok(()),
        }
    }
}

/// A scenario by name and shape: one whose shape was changed between two starts of a matrix is two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scenario {
    /// Its name in the config.
    pub name: String,
    /// Rows.
    pub batch: u32,
    /// Tokens of each row's prompt.
    pub prompt_tokens: u32,
    /// Tokens asked of each row; 0 where the mode makes none.
    pub new_tokens: u32,
}

impl Scenario {
    /// Batch x prompt tokens, and new tokens where there are any: `4x19`, `4x19+8`.
    pub fn shape(&self) -> String {
        let Self { batch, prompt_tokens, new_tokens, .. } = self;
        match new_tokens {
            0 => format!("{batch}x{prompt_tokens}"),
            _ => format!("{batch}x{prompt_tokens}+{new_tokens}"),
        }
    }
}

/// What the records of one cell have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key<'a> {
    pub(super) model: &'a str,
    pub(super) call: Call,
    pub(super) scenario: ScenarioKey<'a>,
    pub(super) backend: &'a str,
}

/// A [`Scenario`], borrowed; ordered from small to large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ScenarioKey<'a> {
    batch: u32,
    prompt_tokens: u32,
    new_tokens: u32,
    name: &'a str,
}

impl ScenarioKey<'_> {
    pub(super) fn to_owned(self) -> Scenario {
        let Self { batch, prompt_tokens, new_tokens, name } = self;
        Scenario { name: name.into(), batch, prompt_tokens, new_tokens }
    }
}

impl<'a> Key<'a> {
    fn of(record: &'a Record) -> Self {
        Self {
            model: &record.model,
            call: Call { mode: record.mode, use_cache: record.use_cache },
            scenario: ScenarioKey {
                batch: record.batch,
                prompt_tokens: record.prompt_tokens,
                new_tokens: record.new_tokens,
                name: &record.scenario,
            },
            backend: &record.backend,
        }
    }

    /// Whether both are of one table's row: all but the backend.
    pub(super) fn same_row(&self, other: &Self) -> bool {
        (self.model, self.call, self.scenario) == (other.model, other.call, other.scenario)
    }
}

/// The records of one cell.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) key: Key<'a>,
    pub(super) records: Vec<&'a Record>,
}

/// All cells: models and backends as the manifest lists them, those it does not know after them.
pub(super) fn groups<'a>(manifest: &'a Manifest, records: &[&'a Record]) -> Vec<Group<'a>> {
    let mut by_key: HashMap<Key<'a>, Vec<&'a Record>> = HashMap::new();
    for &record in records {
        by_key.entry(Key::of(record)).or_default().push(record);
    }
    let listed = manifest.models.iter().map(|model| model.name.as_str());
    let models = Order::new(listed.chain(records.iter().map(|record| record.model.as_str())));
    let listed = manifest.backends.iter().map(|backend| backend.name.as_str());
    let backends = Order::new(listed.chain(records.iter().map(|record| record.backend.as_str())));
    let mut groups: Vec<Group<'a>> =
        by_key.into_iter().map(|(key, records)| Group { key, records }).collect();
    groups.sort_by_cached_key(|Group { key, .. }| {
        (models.rank(key.model), key.call.rank(), key.scenario, backends.rank(key.backend))
    });
    groups
}
