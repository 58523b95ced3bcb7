//! `inferhost plan`: the cells of a config and the order of its runs, and which profile of an engine runs which of their
//! shapes, with nothing loaded and nothing built.

use crate::cli::PlanArgs;
use crate::config::{self, Backend, Config};
use crate::error::AppError;
use crate::model;
use crate::output::{self, print, print_json};
use crate::plan::{Cell, CellCoverage, Coverage, EngineProfiles, Origin, Plan, evaluated, plan};
use crate::prepare::Artifact;
use inferhost_plugin_api::shapes::{Profile, Shape, Shapes};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Planned<'a> {
    config: &'a Config,
    runs: u64,
    #[serde(flatten)]
    plan: &'a Plan,
    coverage: &'a Coverage,
}

pub(super) fn execute(args: &PlanArgs) -> Result<(), AppError> {
    let config = config::load(&args.config).map_err(AppError::bad_input)?;
    let known = Known::of(&config)?;
    let plan = plan(&config, &known.contexts);
    let coverage = Coverage::new(&config, &plan.cells, &known.built, &known.evaluated);
    if args.json {
        return print_json(&Planned { config: &config, runs: plan.runs(), plan: &plan, coverage: &coverage });
    }
    print(&text(&config, &plan, &coverage))
}

/// What can be told of models without making or fetching any.
#[derive(Default)]
struct Known {
    /// By name.
    contexts: BTreeMap<String, u32>,
    /// By place in the config: of engines that were built elsewhere.
    built: BTreeMap<usize, Vec<Profile>>,
    /// By place in the config.
    evaluated: BTreeMap<usize, Shapes>,
}

impl Known {
    fn of(config: &Config) -> Result<Self, AppError> {
        for backend in &config.backends {
            let parsed = backend.artifact.as_deref().map(str::parse::<Artifact>).transpose();
            parsed.map_err(|reason| {
                AppError::bad_input(format!("{}: backend `{}`: {reason}", config.name, backend.name))
            })?;
        }
        let mut known = Self::default();
        for (index, model) in config.models.iter().enumerate() {
            let wrong =
                |source| AppError::bad_input(format!("{}: model `{}`: {source}", config.name, model.name));
            let found = model::known_config(&model.source).map_err(wrong)?;
            let built = model::engine_profiles(&model.source).map_err(wrong)?;
            known.contexts.extend(found.context_length.map(|context| (model.name.clone(), context)));
            known.built.extend(built.map(|profiles| (index, profiles)));
            if let Some(settings) = &config.accuracy {
                let shapes =
                    found.vocab_size.and_then(|vocab| evaluated(settings, found.context_length, vocab));
                known.evaluated.extend(shapes.map(|shapes| (index, shapes)));
                if shapes.is_none() && config.backends.iter().any(Backend::loads_engine) {
                    let name = &model.name;
                    output::note(&format!(
                        "the windows of [accuracy] are not known before model {name} is there; its engines will run them too"
                    ));
                }
            }
        }
        Ok(known)
    }
}

fn text(config: &Config, plan: &Plan, coverage: &Coverage) -> String {
    let run = &config.run;
    let mut lines = vec![format!(
        "{}: {} cells x {} repetitions x {} rounds = {} runs in {} workers",
        config.name,
        plan.cells.len(),
        run.repetitions,
        run.rounds,
        plan.runs(),
        plan.groups.len()
    )];
    lines.extend(run.target_ci.map(|target| {
        format!("at most: a cell's runs end early once its mean latency is known to {}%", target * 100.0)
    }));
    let cells = plan.cells.iter().enumerate();
    lines.extend(cells.map(|(index, cell)| {
        format!("  {}  {}{}", cell.id.0, describe(config, cell), shapes(coverage.cell(index)))
    }));
    let skipped = plan.skipped.iter();
    lines.extend(skipped.map(|s| format!("  skipped           {}: {}", describe(config, &s.cell), s.reason)));
    lines.extend(coverage.engines.iter().flat_map(|engine| engine_lines(config, engine)));
    let lost = coverage.cells.iter().filter_map(|covered| Some((covered.cell, covered.problem.as_ref()?)));
    lines.extend(lost.map(|(cell, problem)| {
        format!("  shape_not_covered  {}: {problem}", describe(config, &plan.cells[cell]))
    }));
    lines.join("\n")
}

/// `: 1 x 8 [0], 1 x 1 after 8..14 [2]`: what the cell submits, each with the engine's profile that runs it.
fn shapes(covered: Option<&CellCoverage>) -> String {
    let Some(covered) = covered else { return String::new() };
    let one = |(shapes, profile): &(Shapes, Option<usize>)| match profile {
        Some(profile) => format!("{shapes} [{profile}]"),
        None if covered.problem.is_some() => format!("{shapes} [not covered]"),
        None => format!("{shapes} [several]"),
    };
    format!(": {}", covered.shapes.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn engine_lines(config: &Config, engine: &EngineProfiles) -> Vec<String> {
    let (model, backend) = (&config.models[engine.model].name, &config.backends[engine.backend]);
    let origin = match engine.origin {
        Origin::Derived => "derived from what this plan submits",
        Origin::Config => "given by the config",
        Origin::Engine => "of the engine as it was built",
    };
    let what = backend.artifact.as_deref().unwrap_or("the engine");
    let mut lines = vec![format!(
        "  profiles of {what} for {model} on {}, {origin} (rows x tokens after cached positions):",
        backend.name
    )];
    let tuned = |profile: &Profile| Shape {
        batch: profile.batch.opt,
        tokens: profile.tokens.opt,
        past: profile.past.opt,
    };
    let profiles = engine.profiles.iter().enumerate();
    lines.extend(profiles.map(|(at, profile)| format!("    [{at}] {profile}, tuned for {}", tuned(profile))));
    lines
}

fn describe(config: &Config, cell: &Cell) -> String {
    let scenario = &config.scenarios[cell.scenario];
    let cache = match cell.use_cache {
        Some(true) => " cached",
        Some(false) => " uncached",
        None => "",
    };
    format!(
        "{} on {}, {} ({} x {} + {}), {}{cache}",
        config.models[cell.model].name,
        config.backends[cell.backend].name,
        scenario.name,
        scenario.batch,
        scenario.prompt_tokens,
        scenario.new_tokens,
        cell.mode.name()
    )
}
