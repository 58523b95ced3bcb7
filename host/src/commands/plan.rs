//! `inferhost plan`: the cells of a config and the order of its runs, with nothing loaded and nothing built.

use crate::cli::PlanArgs;
use crate::config::{self, Config};
use crate::error::AppError;
use crate::model;
use crate::output::{print, print_json};
use crate::plan::{Cell, Plan, plan};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Planned<'a> {
    config: &'a Config,
    runs: u64,
    #[serde(flatten)]
    plan: &'a Plan,
}

pub(super) fn execute(args: &PlanArgs) -> Result<(), AppError> {
    let config = config::load(&args.config).map_err(AppError::bad_input)?;
    let plan = plan(&config, &contexts(&config)?);
    if args.json {
        return print_json(&Planned { config: &config, runs: plan.runs(), plan: &plan });
    }
    print(&text(&config, &plan))
}

/// The contexts that can be told without making or fetching a model.
fn contexts(config: &Config) -> Result<BTreeMap<String, u32>, AppError> {
    let mut contexts = BTreeMap::new();
    for model in &config.models {
        let context = model::context_length(&model.source).map_err(|source| {
            AppError::bad_input(format!("{}: model `{}`: {source}", config.name, model.name))
        })?;
        contexts.extend(context.map(|context| (model.name.clone(), context)));
    }
    Ok(contexts)
}

fn text(config: &Config, plan: &Plan) -> String {
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
    lines.extend(plan.cells.iter().map(|cell| format!("  {}  {}", cell.id.0, describe(config, cell))));
    let skipped = plan.skipped.iter();
    lines.extend(skipped.map(|s| format!("  skipped           {}: {}", describe(config, &s.cell), s.reason)));
    lines.join("\n")
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
