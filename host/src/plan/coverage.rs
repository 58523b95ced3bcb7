//! Which profile of an engine runs which shapes of a plan, before anything is built: a cell whose shapes no profile
//! runs is known for what it is, `shape_not_covered`, and never sent to a worker.

use super::{Cell, submitted};
use crate::config::Config;
use inferhost_plugin_api::shapes::{Profile, Shape, Shapes, Span, covering, first_uncovered, profiles_for};
use serde::Serialize;
use std::collections::BTreeMap;

/// Where profiles come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Of what the plan submits.
    Derived,
    /// The config gives them.
    Config,
    /// The engine was built elsewhere.
    Engine,
}

/// The profiles of one model's engine on one backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EngineProfiles {
    /// Which of the config's models.
    pub model: usize,
    /// Which of the config's backends.
    pub backend: usize,
    /// Where they come from.
    pub origin: Origin,
    /// In the engine's order.
    pub profiles: Vec<Profile>,
}

/// What a cell submits to an engine, and what runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CellCoverage {
    /// Which of the plan's cells.
    pub cell: usize,
    /// Its shapes, each with the place of the profile that runs all of it; none: several together, or not all.
    pub shapes: Vec<(Shapes, Option<usize>)>,
    /// Why it cannot be run: `shape_not_covered`, in one line.
    pub problem: Option<String>,
}

/// All engines of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// In the order of models and backends.
    pub engines: Vec<EngineProfiles>,
    /// Those of `cells` that run on an engine, in order.
    pub cells: Vec<CellCoverage>,
}

impl Coverage {
    /// Of `cells`, the plan's. `built` holds, by model, the profiles of engines that were built elsewhere, `evaluated`
    /// what an evaluation submits of each model.
    pub fn new(
        config: &Config,
        cells: &[Cell],
        built: &BTreeMap<usize, Vec<Profile>>,
        evaluated: &BTreeMap<usize, Shapes>,
    ) -> Self {
        let mut own: BTreeMap<(usize, usize), Vec<&Cell>> = BTreeMap::new();
        for cell in cells {
            own.entry((cell.model, cell.backend)).or_default().push(cell);
        }
        let mut engines = Vec::new();
        for (model, backend) in pairs(config) {
            let given = &config.backends[backend];
            let (origin, profiles) = match built.get(&model) {
                Some(profiles) => (Origin::Engine, profiles.clone()),
                None if !given.loads_engine() => continue,
                None if !given.profiles.is_empty() => (Origin::Config, given.profiles.clone()),
                None => {
                    let own = own.get(&(model, backend)).into_iter().flatten();
                    let shapes =
                        own.flat_map(|cell| submitted(config, cell)).chain(evaluated.get(&model).copied());
                    (Origin::Derived, profiles_for(&shapes.collect::<Vec<_>>()))
                }
            };
            engines.push(EngineProfiles { model, backend, origin, profiles });
        }
        let mut coverage = Self { engines, cells: Vec::new() };
        for (index, cell) in cells.iter().enumerate() {
            if let Some(engine) = coverage.engine(cell.model, cell.backend) {
                let covered = of_cell(config, index, cell, engine);
                coverage.cells.push(covered);
            }
        }
        coverage
    }

    /// The engine of a model on a backend; none where it loads something else.
    pub fn engine(&self, model: usize, backend: usize) -> Option<&EngineProfiles> {
        let at = self.engines.binary_search_by_key(&(model, backend), |one| (one.model, one.backend)).ok()?;
        self.engines.get(at)
    }

    /// What the plan's cell of that number submits to an engine; none where it runs on something else.
    pub fn cell(&self, cell: usize) -> Option<&CellCoverage> {
        let at = self.cells.binary_search_by_key(&cell, |covered| covered.cell).ok()?;
        self.cells.get(at)
    }

    /// Why the plan's cell of that number cannot be run.
    pub fn problem(&self, cell: usize) -> Option<&str> {
        self.cell(cell)?.problem.as_deref()
    }
}

/// Most profiles that are told in one line.
const MOST_TOLD: usize = 8;

fn pairs(config: &Config) -> impl Iterator<Item = (usize, usize)> {
    let backends = config.backends.len();
    (0..config.models.len()).flat_map(move |model| (0..backends).map(move |backend| (model, backend)))
}

fn of_cell(config: &Config, index: usize, cell: &Cell, engine: &EngineProfiles) -> CellCoverage {
    let run_by = |shapes: Shapes| (shapes, covering(&engine.profiles, &shapes));
    let shapes: Vec<_> = submitted(config, cell).into_iter().map(run_by).collect();
    // Several profiles may run together what none runs alone.
    let uncovered = shapes.iter().filter(|(_, profile)| profile.is_none()).find_map(|(all, _)| {
        first_uncovered(&engine.profiles, all).map(|shape| problem(config, cell, engine, all, shape))
    });
    CellCoverage { cell: index, shapes, problem: uncovered }
}

/// `shape` is the first of `all` that no profile runs.
fn problem(config: &Config, cell: &Cell, engine: &EngineProfiles, all: &Shapes, shape: Shape) -> String {
    let scenario = &config.scenarios[cell.scenario].name;
    let mut profiles: Vec<String> = engine.profiles.iter().take(MOST_TOLD).map(ToString::to_string).collect();
    let more = engine.profiles.len().saturating_sub(MOST_TOLD);
    profiles.extend((more > 0).then(|| format!("and {more} more")));
    let remedy = match engine.origin {
        Origin::Engine => "build one for this config (artifact = \"plan-…\" on the model itself)".to_string(),
        _ => format!(
            "leave the backend's profiles out, or add {{ batch = {}, tokens = {}, past = {} }} to them",
            written(all.batch),
            written(all.tokens),
            written(all.past)
        ),
    };
    format!(
        "scenario {scenario} feeds {shape} (rows x tokens after cached positions), and the engine's profiles run {}; {remedy}",
        if profiles.is_empty() { "nothing".into() } else { profiles.join(", ") }
    )
}

/// As a config has it.
fn written(span: Span) -> String {
    if span.min == span.max { format!("[{}]", span.min) } else { format!("[{}, {}]", span.min, span.max) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Scenario;
    use crate::plan::{plan, tests::config};
    use crate::record::Mode;
    use inferhost_plugin_api::shapes::MOST_PROFILES;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn with_plan() -> Config {
        let mut config = config();
        config.backends[1].artifact = Some("plan-fp16".into());
        config
    }

    fn coverage(config: &Config, built: &BTreeMap<usize, Vec<Profile>>) -> Coverage {
        Coverage::new(config, &plan(config, &BTreeMap::new()).cells, built, &BTreeMap::new())
    }

    #[test]
    fn only_engines_have_profiles_and_derived_ones_cover_everything() {
        let config = with_plan();
        let found = coverage(&config, &BTreeMap::new());
        let engines: Vec<_> = found.engines.iter().map(|e| (e.model, e.backend, e.origin)).collect();
        assert_eq!(engines, [(0, 1, Origin::Derived), (1, 1, Origin::Derived)]);
        assert_eq!(found.cells.len(), 12, "half of the cells are of the other backend");
        assert!(found.cells.iter().all(|cell| cell.problem.is_none()));
        assert!(found.cells.iter().flat_map(|cell| &cell.shapes).all(|(_, profile)| profile.is_some()));
        assert_eq!(coverage(&self::config(), &BTreeMap::new()), Coverage::default());
    }

    /// What went wrong in the first study: an engine with one profile, of a prompt.
    #[test]
    fn an_engine_without_the_decode_shapes_is_found_before_the_run() {
        let mut config = with_plan();
        let prompt = Shapes::prefill(Span::of(1), Span::of(8));
        config.backends[1].profiles = vec![Profile::tuned(&prompt, prompt.largest())];
        let found = coverage(&config, &BTreeMap::new());
        let plan = plan(&config, &BTreeMap::new());
        let lost: Vec<usize> = found.cells.iter().filter(|c| c.problem.is_some()).map(|c| c.cell).collect();
        let expected: Vec<usize> = (0..plan.cells.len())
            .filter(|&at| {
                let cell = &plan.cells[at];
                cell.backend == 1 && (cell.scenario != 0 || cell.mode != Mode::Prefill)
            })
            .collect();
        assert_eq!(lost, expected);
        let of = |use_cache| {
            let is =
                |cell: &Cell| cell.backend == 1 && cell.scenario == 0 && cell.use_cache == Some(use_cache);
            found.problem(plan.cells.iter().position(is).unwrap()).unwrap()
        };
        assert_eq!(
            of(true),
            "scenario short feeds 1 x 1 after 8 (rows x tokens after cached positions), and the engine's profiles run 1 x 8; \
             leave the backend's profiles out, or add { batch = [1], tokens = [1], past = [8, 10] } to them"
        );
        assert!(of(false).contains("feeds 1 x 9 (rows"), "{}", of(false));
        let built = BTreeMap::from([(0, config.backends[1].profiles.clone())]);
        let found = coverage(&self::config(), &built);
        assert!(found.engines.iter().all(|engine| engine.origin == Origin::Engine && engine.model == 0));
        let problem = found.cells.iter().find_map(|cell| cell.problem.as_ref()).unwrap();
        assert!(problem.contains("build one for this config"), "{problem}");
    }

    /// Random matrices: every shape that a cell submits, one by one, lies in a profile, and profiles are few.
    #[test]
    fn random_matrices_submit_nothing_that_is_not_covered() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(3);
        for _ in 0..60 {
            let mut config = with_plan();
            config.run.modes = vec![Mode::Generate, Mode::Prefill, Mode::Logprobs];
            let mut scenario = |number: usize| Scenario {
                name: format!("s{number}"),
                batch: random.random_range(1..=40),
                prompt_tokens: random.random_range(1..=700),
                new_tokens: random.random_range(1..=60),
            };
            config.scenarios = (0..12).map(&mut scenario).collect();
            let evaluated = BTreeMap::from([(1, Shapes::prefill(Span::new(1, 7), Span::new(1, 512)))]);
            let cells = plan(&config, &BTreeMap::new()).cells;
            let found = Coverage::new(&config, &cells, &BTreeMap::new(), &evaluated);
            for engine in &found.engines {
                assert!(!engine.profiles.is_empty() && engine.profiles.len() <= MOST_PROFILES);
            }
            assert!(first_uncovered(&found.engine(1, 1).unwrap().profiles, &evaluated[&1]).is_none());
            for (index, cell) in cells.iter().enumerate().filter(|(_, cell)| cell.backend == 1) {
                assert_eq!(found.problem(index), None);
                let profiles = &found.engine(cell.model, 1).unwrap().profiles;
                for shape in every_shape(&config, cell) {
                    let held = profiles.iter().any(|profile| profile.shapes().hold(&shape.into()));
                    assert!(held, "{shape} is in none of {profiles:?}");
                }
            }
        }
    }

    /// What a plugin is given, step by step, without [`submitted`].
    fn every_shape(config: &Config, cell: &Cell) -> Vec<Shape> {
        let Scenario { batch, prompt_tokens: prompt, new_tokens, .. } = config.scenarios[cell.scenario];
        let shape = |tokens, past| Shape { batch, tokens, past };
        let steps = match (cell.mode, cell.use_cache) {
            (Mode::Generate, Some(true)) => (1..new_tokens).map(|step| shape(1, prompt + step - 1)).collect(),
            (Mode::Generate, _) => (1..new_tokens).map(|step| shape(prompt + step, 0)).collect(),
            _ => Vec::new(),
        };
        std::iter::once(shape(prompt, 0)).chain(steps).collect()
    }
}
