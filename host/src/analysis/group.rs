//! Records put together by what they measure, in the order a reader expects.

use super::order::Order;
use super::run::Run;
use super::token_times::TokenTimer;
use crate::manifest::Manifest;
use crate::record::{Degraded, Imported, Mode, Record};
use schemars::JsonSchema;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;

/// Which of a session's calls, and whether with `past_key_values`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
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

/// A scenario by name and shape: one whose shape was changed between two starts of a matrix is two. Ordered from small to
/// large.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Scenario {
    /// Rows.
    pub batch: u32,
    /// Tokens of each row's prompt.
    pub prompt_tokens: u32,
    /// Tokens asked of each row; 0 where the mode makes none.
    pub new_tokens: u32,
    /// Its name in the config.
    pub name: String,
}

impl Scenario {
    /// Prompt and new tokens of all rows.
    pub fn tokens(&self, call: Call) -> u64 {
        let new_tokens = if call.mode == Mode::Generate { self.new_tokens } else { 0 };
        u64::from(self.batch) * (u64::from(self.prompt_tokens) + u64::from(new_tokens))
    }

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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) model: String,
    pub(super) call: Call,
    pub(super) scenario: Scenario,
    pub(super) backend: String,
}

impl Key {
    /// Whether both are of one table's row: all but the backend.
    pub(super) fn same_row(&self, other: &Self) -> bool {
        (&self.model, self.call, &self.scenario) == (&other.model, other.call, &other.scenario)
    }
}

/// The records of one cell.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) key: Key,
    /// The first record's cell id.
    pub(super) cell: String,
    /// In the order in which they were written.
    pub(super) runs: Vec<Run>,
    pub(super) lost: Vec<Lost>,
    pub(super) token_times: TokenTimer,
    /// Where its first record comes from, if another program made it.
    pub(super) imported: Option<Imported>,
}

/// Runs of one cell that were lost in the same way; the reason is the first one's.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) reason: Degraded,
    pub(super) count: u64,
}

impl Group {
    fn new(key: Key, cell: String, imported: Option<Imported>) -> Self {
        let (runs, lost) = (Vec::new(), Vec::new());
        Self { key, cell, runs, lost, token_times: TokenTimer::default(), imported }
    }

    /// The runs with a valid measurement.
    pub(super) fn ok(&self) -> impl Iterator<Item = &Run> + Clone {
        self.runs.iter().filter(|run| run.ok)
    }

    fn lose(&mut self, reason: Degraded) {
        match self.lost.iter_mut().find(|l| (l.reason.kind, l.reason.stage) == (reason.kind, reason.stage)) {
            Some(seen) => seen.count += 1,
            None => self.lost.push(Lost { reason, count: 1 }),
        }
    }
}

/// Groups in the order of their first records.
#[derive(Debug, Default)]
pub(super) struct Groups {
    places: HashMap<Key, usize>,
    groups: Vec<Group>,
}

impl Groups {
    pub(super) fn push(&mut self, line: usize, record: Record) {
        let run = Run::of(line, &record);
        let key = Key {
            model: record.model,
            call: Call { mode: record.mode, use_cache: record.use_cache },
            scenario: Scenario {
                batch: record.batch,
                prompt_tokens: record.prompt_tokens,
                new_tokens: record.new_tokens,
                name: record.scenario,
            },
            backend: record.backend,
        };
        let place = match self.places.get(&key) {
            Some(&place) => place,
            None => {
                self.groups.push(Group::new(key.clone(), record.cell, record.imported));
                self.places.insert(key, self.groups.len() - 1);
                self.groups.len() - 1
            }
        };
        let group = &mut self.groups[place];
        group.runs.push(run);
        match record.degraded {
            Some(reason) => group.lose(reason),
            None => group.token_times.push(&record.token_ms),
        }
    }

    /// All of them: models and backends as the manifest lists them, those it does not know after them.
    pub(super) fn sorted(self, manifest: &Manifest) -> Vec<Group> {
        let mut groups = self.groups;
        let listed = manifest.models.iter().map(|model| model.name.as_str());
        let models = Order::new(listed.chain(groups.iter().map(|group| group.key.model.as_str())));
        let listed = manifest.backends.iter().map(|backend| backend.name.as_str());
        let backends = Order::new(listed.chain(groups.iter().map(|group| group.key.backend.as_str())));
        let rank = |Group { key, .. }: &Group| {
            (models.rank(&key.model), key.call.rank(), key.scenario.clone(), backends.rank(&key.backend))
        };
        let mut ranked: Vec<_> = groups.iter().map(rank).zip(0..).collect();
        ranked.sort();
        let mut taken: Vec<Option<Group>> = groups.drain(..).map(Some).collect();
        ranked.into_iter().filter_map(|(_, place): (_, usize)| taken[place].take()).collect()
    }
}
