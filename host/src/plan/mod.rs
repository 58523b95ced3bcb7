//! From a config to the runs it asks for, in the order they will be made. Pure: the same config and the same
//! facts about its models give the same plan.

mod coverage;
mod shard;
mod submitted;

pub use coverage::{CellCoverage, Coverage, EngineProfiles, Origin};
pub use shard::Shard;
pub use submitted::{evaluated, submitted};

use crate::config::{Backend, Config, Model, Scenario};
use crate::digest::hex;
use crate::record::Mode;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

/// Names a cell by what is measured, the same on every machine: the first 16 hex digits of a SHA-256 over names,
/// shapes, options and prompts, without the places of files and without what decides how often and in which order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct CellId(pub String);

/// Model x backend x scenario x mode. The first three are places in the config's lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// See [`CellId`].
    pub id: CellId,
    /// Which of the config's models.
    pub model: usize,
    /// Which of the config's backends.
    pub backend: usize,
    /// Which of the config's scenarios.
    pub scenario: usize,
    /// What is called.
    pub mode: Mode,
    /// For `generate`.
    pub use_cache: Option<bool>,
}

/// A cell that cannot be run, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The cell.
    pub cell: Cell,
    /// One line.
    pub reason: String,
}

/// One repetition of one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Run {
    /// Which of the plan's cells.
    pub cell: usize,
    /// From 0.
    pub repetition: u32,
}

/// What one worker does: the runs of one model on one backend in one round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// From 0.
    pub round: u32,
    /// Which of the config's models.
    pub model: usize,
    /// Which of the config's backends.
    pub backend: usize,
    /// In order.
    pub runs: Vec<Run>,
}

/// All runs of a config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What is measured.
    pub cells: Vec<Cell>,
    /// What is not.
    pub skipped: Vec<Skipped>,
    /// In order.
    pub groups: Vec<Group>,
}

impl Plan {
    /// Number of runs, and so of records.
    pub fn runs(&self) -> u64 {
        self.groups.iter().map(|group| group.runs.len() as u64).sum()
    }

    /// The part of it that is `shard`: every count-th group from the index-th on. All shards together are the plan.
    #[must_use]
    pub fn shard(self, shard: Shard) -> Self {
        let groups = self.groups.into_iter().skip(shard.index as usize - 1).step_by(shard.count as usize);
        Self { groups: groups.collect(), ..self }
    }
}

/// The plan of `config`. `contexts` holds the most positions of a row of each model, by name, where it is known:
/// a cell that needs more is skipped.
pub fn plan(config: &Config, contexts: &BTreeMap<String, u32>) -> Plan {
    let (mut cells, mut skipped) = (Vec::new(), Vec::new());
    for cell in all_cells(config) {
        match misfit(config, &cell, contexts) {
            Some(reason) => skipped.push(Skipped { cell, reason }),
            None => cells.push(cell),
        }
    }
    let groups = groups(config, &cells);
    Plan { cells, skipped, groups }
}

fn all_cells(config: &Config) -> Vec<Cell> {
    let mut cells = Vec::new();
    for model in 0..config.models.len() {
        for backend in 0..config.backends.len() {
            for scenario in 0..config.scenarios.len() {
                for (mode, use_cache) in variants(config) {
                    let id = cell_id(config, model, backend, scenario, mode, use_cache);
                    cells.push(Cell { id, model, backend, scenario, mode, use_cache });
                }
            }
        }
    }
    cells
}

fn variants(config: &Config) -> Vec<(Mode, Option<bool>)> {
    let caches: Vec<Option<bool>> = config.run.use_cache.iter().copied().map(Some).collect();
    let of = |mode: &Mode| if *mode == Mode::Generate { caches.clone() } else { vec![None] };
    config.run.modes.iter().flat_map(|mode| of(mode).into_iter().map(|cache| (*mode, cache))).collect()
}

/// The last part of a path, without its folders; anything else as it is.
pub(crate) fn file_name(path_or_name: &str) -> &str {
    if path_or_name.contains(':') {
        return path_or_name;
    }
    path_or_name.rsplit(['/', '\\']).next().unwrap_or(path_or_name)
}

fn cell_id(
    config: &Config,
    model: usize,
    backend: usize,
    scenario: usize,
    mode: Mode,
    use_cache: Option<bool>,
) -> CellId {
    let Model { name: model, source, .. } = &config.models[model];
    // A pin says which file may run, not what is run.
    let Backend { name: backend, plugin, artifact, options, env, profiles, sha256: _ } =
        &config.backends[backend];
    let Scenario { name: scenario, batch, prompt_tokens, new_tokens } = &config.scenarios[scenario];
    let run = &config.run;
    let prompt_text = run.prompt_text.as_deref().and_then(Path::file_name).map(OsStr::to_string_lossy);
    let mut on = serde_json::json!([backend, file_name(plugin), artifact, options, env]);
    if let (false, Some(on)) = (profiles.is_empty(), on.as_array_mut()) {
        on.push(serde_json::json!(profiles));
    }
    let identity = serde_json::json!([
        [model, file_name(source)],
        on,
        [scenario, batch, prompt_tokens, new_tokens],
        [mode, use_cache, run.logits, run.sampling, run.stop_at_eos],
        [config.seed, prompt_text],
    ]);
    CellId(hex(&Sha256::digest(identity.to_string())[..8]))
}

fn misfit(config: &Config, cell: &Cell, contexts: &BTreeMap<String, u32>) -> Option<String> {
    let scenario = &config.scenarios[cell.scenario];
    let model = &config.models[cell.model].name;
    let context = *contexts.get(model)?;
    // The last new token is never fed back, so it needs no position.
    let new = if cell.mode == Mode::Generate { scenario.new_tokens.saturating_sub(1) } else { 0 };
    let needed = u64::from(scenario.prompt_tokens) + u64::from(new);
    (needed > u64::from(context))
        .then(|| format!("scenario {} needs {needed} positions, model {model} has {context}", scenario.name))
}

fn groups(config: &Config, cells: &[Cell]) -> Vec<Group> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(config.seed);
    let mut groups = Vec::new();
    for round in 0..config.run.rounds {
        let mut pairs: Vec<(usize, usize)> = cells.iter().map(|c| (c.model, c.backend)).collect();
        pairs.dedup();
        if config.run.shuffle {
            pairs.shuffle(&mut rng);
        }
        for (model, backend) in pairs {
            let of_pair = |&(_, c): &(usize, &Cell)| c.model == model && c.backend == backend;
            let mut runs: Vec<Run> = (0..config.run.repetitions)
                .flat_map(|repetition| {
                    let cells = cells.iter().enumerate().filter(of_pair);
                    cells.map(move |(cell, _)| Run { cell, repetition })
                })
                .collect();
            if config.run.shuffle {
                runs.shuffle(&mut rng);
            }
            groups.push(Group { round, model, backend, runs });
        }
    }
    groups
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::RunSettings;
    use std::collections::HashSet;

    pub(crate) fn config() -> Config {
        let model = |name: &str| Model { name: name.into(), source: name.into(), claimed_params: None };
        let backend = |name: &str| Backend {
            name: name.into(),
            plugin: "faulty".into(),
            artifact: None,
            profiles: Vec::new(),
            sha256: None,
            options: serde_json::Map::new(),
            env: BTreeMap::new(),
        };
        let scenario = |name: &str, prompt_tokens| Scenario {
            name: name.into(),
            batch: 1,
            prompt_tokens,
            new_tokens: 4,
        };
        Config {
            name: "t".into(),
            seed: 1,
            baseline: "x".into(),
            run: RunSettings {
                rounds: 2,
                repetitions: 3,
                use_cache: vec![true, false],
                ..RunSettings::default()
            },
            models: vec![model("a"), model("b")],
            backends: vec![backend("x"), backend("y")],
            scenarios: vec![scenario("short", 8), scenario("long", 30)],
            accuracy: None,
            report: crate::config::ReportSettings::default(),
        }
    }

    #[test]
    fn every_cell_has_every_repetition_of_every_round_once() {
        let plan = plan(&config(), &BTreeMap::new());
        assert_eq!(plan.cells.len(), 2 * 2 * 2 * 3);
        assert_eq!(plan.runs(), 24 * 3 * 2);
        let all: HashSet<_> =
            plan.groups.iter().flat_map(|g| g.runs.iter().map(move |r| (g.round, *r))).collect();
        assert_eq!(all.len() as u64, plan.runs());
        let ids: HashSet<_> = plan.cells.iter().map(|c| &c.id).collect();
        assert_eq!(ids.len(), plan.cells.len());
    }

    #[test]
    fn shards_are_the_plan_cut_up() {
        let whole = plan(&config(), &BTreeMap::new());
        for count in [1, 3, 8, 9] {
            let shards: Vec<Plan> = (1..=count)
                .map(|index| whole.clone().shard(format!("{index}/{count}").parse().unwrap()))
                .collect();
            assert!(shards.iter().all(|shard| shard.cells == whole.cells));
            assert_eq!(shards.iter().map(Plan::runs).sum::<u64>(), whole.runs());
            let mut groups: Vec<&Group> = shards.iter().flat_map(|shard| &shard.groups).collect();
            let place = |group: &&Group| whole.groups.iter().position(|other| other == *group).unwrap();
            groups.sort_by_key(place);
            assert_eq!(groups, whole.groups.iter().collect::<Vec<_>>(), "{count} shards");
        }
        assert_eq!(whole.shard("9/9".parse().unwrap()).runs(), 0, "there are 8 groups");
    }

    #[test]
    fn the_seed_alone_decides_the_order() {
        let none = BTreeMap::new();
        let mut other = config();
        assert_eq!(plan(&config(), &none), plan(&other, &none));
        other.seed = 2;
        let (a, b) = (plan(&config(), &none), plan(&other, &none));
        assert_ne!(a.groups, b.groups);
        assert_ne!(a.cells[0].id, b.cells[0].id, "the seed decides the prompts too");
    }

    #[test]
    fn what_does_not_fit_the_context_is_skipped_with_its_reason() {
        let contexts = BTreeMap::from([("a".to_string(), 32)]);
        let plan = plan(&config(), &contexts);
        assert_eq!(plan.skipped.len(), 4, "{:?}", plan.skipped);
        assert_eq!(plan.skipped[0].reason, "scenario long needs 33 positions, model a has 32");
        assert_eq!(plan.cells.len() + plan.skipped.len(), 24);
    }
}
