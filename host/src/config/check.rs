//! Whether the parts of a config fit each other.

use super::{AccuracySettings, Config, RunSettings};
use crate::record::Mode;
use crate::text::clipped;
use crate::validity::LEAST_BEFORE_STOP;
use inferhost_plugin_api::shapes::check_given;
use std::collections::HashSet;

const MOST_RUNS: u64 = 10_000_000;
const MOST_TOKENS: u64 = 100_000_000;

/// The first thing that does not fit, in one line.
pub(super) fn check(config: &Config) -> Result<(), String> {
    check_name("name", &config.name)?;
    names("models", config.models.iter().map(|m| m.name.as_str()))?;
    names("backends", config.backends.iter().map(|b| b.name.as_str()))?;
    if !config.scenarios.is_empty() || config.accuracy.is_none() {
        names("scenarios", config.scenarios.iter().map(|s| s.name.as_str()))?;
    }
    if !config.backends.iter().any(|b| b.name == config.baseline) {
        return Err(format!("baseline `{}` is not the name of a backend", config.baseline));
    }
    run(config)?;
    config.accuracy.as_ref().map_or(Ok(()), AccuracySettings::check)?;
    config.report.check(&config.backends)?;
    sizes(config)?;
    config.backends.iter().try_for_each(backend)?;
    config.scenarios.iter().try_for_each(|scenario| {
        let generates = config.run.modes.contains(&Mode::Generate);
        let missing = match (scenario.batch, scenario.prompt_tokens, scenario.new_tokens) {
            (0, _, _) => "batch",
            (_, 0, _) => "prompt_tokens",
            (_, _, 0) if generates => "new_tokens",
            _ => return Ok(()),
        };
        Err(format!("scenario `{}`: {missing} must be at least 1", scenario.name))
    })
}

fn backend(backend: &crate::config::Backend) -> Result<(), String> {
    let name = &backend.name;
    for (key, value) in &backend.env {
        if key.is_empty() || key.contains(['=', '\0']) || value.contains('\0') {
            let key = key.escape_default();
            return Err(format!(
                "backend `{name}`: env `{key}` is no environment variable; names are not empty and hold no `=`, and nothing holds a NUL"
            ));
        }
    }
    if let Some(pin) = &backend.sha256 {
        let digits = pin.len() == 64 && pin.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits {
            return Err(format!(
                "backend `{name}`: sha256 `{}` has {} characters, expected 64 hexadecimal digits, as `sha256sum` and `inferhost doctor` print them",
                clipped(pin, 70),
                pin.chars().count()
            ));
        }
    }
    if !backend.profiles.is_empty() {
        profiles(backend)?;
    }
    match backend.options.iter().find(|(_, value)| !is_json(value)) {
        None => Ok(()),
        Some((key, _)) => Err(format!(
            "backend `{name}`: option `{key}` must be a finite number, a string, true, false or a list or table of such"
        )),
    }
}

fn profiles(backend: &crate::config::Backend) -> Result<(), String> {
    let name = &backend.name;
    if !backend.loads_engine() {
        return Err(format!(
            "backend `{name}`: profiles are of engine plans, and its artifact is none; set artifact = \"plan-fp32\" or the like, or leave profiles out"
        ));
    }
    check_given(&backend.profiles).map_err(|problem| format!("backend `{name}`: {problem}"))
}

/// TOML has values that JSON has not: not-a-number comes out as null, a date as a table of its own.
fn is_json(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => false,
        serde_json::Value::Array(items) => items.iter().all(is_json),
        serde_json::Value::Object(map) => {
            map.iter().all(|(key, value)| !key.starts_with("$__") && is_json(value))
        }
        _ => true,
    }
}

/// Sizes that are mistyped rather than meant.
fn sizes(config: &Config) -> Result<(), String> {
    let variants = (config.run.modes.len() + config.run.use_cache.len()) as u64;
    let cells = (config.models.len() * config.backends.len() * config.scenarios.len()) as u64 * variants;
    let runs = cells.saturating_mul(config.run.repetitions.into()).saturating_mul(config.run.rounds.into());
    if runs > MOST_RUNS {
        return Err(format!("about {runs} runs are planned; at most {MOST_RUNS} are run in one folder"));
    }
    let tokens = |s: &crate::config::Scenario| {
        let row = u64::from(s.prompt_tokens) + u64::from(s.new_tokens);
        u64::from(s.batch).saturating_mul(row)
    };
    match config.scenarios.iter().find(|s| tokens(s) > MOST_TOKENS) {
        None => Ok(()),
        Some(s) => Err(format!(
            "scenario `{}` has {} tokens in its rows; at most {MOST_TOKENS} are run at once",
            s.name,
            tokens(s)
        )),
    }
}

fn run(config: &Config) -> Result<(), String> {
    let run = &config.run;
    let at_least_one = [
        ("run.modes", run.modes.len()),
        ("run.use_cache", run.use_cache.len()),
        ("run.repetitions", run.repetitions as usize),
        ("run.rounds", run.rounds as usize),
    ];
    for (key, value) in at_least_one {
        if value == 0 {
            return Err(format!("{key} must not be empty or 0"));
        }
    }
    let modes: HashSet<_> = run.modes.iter().collect();
    let caches: HashSet<_> = run.use_cache.iter().collect();
    if modes.len() < run.modes.len() || caches.len() < run.use_cache.len() {
        return Err("run.modes and run.use_cache must name each value once".into());
    }
    if let Some(limit) = run.memory_limit_mb.filter(|limit| !(64..=1 << 30).contains(limit)) {
        return Err(format!("run.memory_limit_mb is {limit}; it must be 64 to {} MiB", 1 << 30));
    }
    for (key, value) in [("run.deadline_s", run.deadline_s), ("run.open_deadline_s", run.open_deadline_s)] {
        if !(value > 0.0 && value <= 1e6) {
            return Err(format!("{key} is {value}; it must be above 0 and at most 1000000 seconds"));
        }
    }
    validity(run)?;
    let sampling = &run.sampling;
    if !(sampling.temperature >= 0.0 && sampling.temperature.is_finite()) {
        return Err(format!("run.sampling.temperature is {}; it must be 0 or more", sampling.temperature));
    }
    if !(sampling.top_p > 0.0 && sampling.top_p <= 1.0) {
        return Err(format!("run.sampling.top_p is {}; it must be above 0 and at most 1", sampling.top_p));
    }
    Ok(())
}

fn validity(run: &RunSettings) -> Result<(), String> {
    let runs = run.repetitions.saturating_mul(run.rounds);
    if let Some(least) = run.min_repetitions.filter(|least| !(2..=runs).contains(least)) {
        return Err(format!(
            "run.min_repetitions is {least}; it must be 2 to {runs}, which is what repetitions x rounds gives a cell"
        ));
    }
    if !(run.min_measured_s >= 0.0 && run.min_measured_s <= 1e6) {
        return Err(format!("run.min_measured_s is {}; it must be 0 to 1000000 seconds", run.min_measured_s));
    }
    if !(run.busy_above_pct > 0.0 && run.busy_above_pct.is_finite()) {
        return Err(format!(
            "run.busy_above_pct is {}; it must be a number above 0 (100 is the whole machine)",
            run.busy_above_pct
        ));
    }
    match run.target_ci {
        Some(target) if !(target > 0.0 && target < 1.0) => {
            Err(format!("run.target_ci is {target}; it must be above 0 and below 1 (0.02 is 2% of the mean)"))
        }
        Some(_) if run.repetitions <= LEAST_BEFORE_STOP => Err(format!(
            "run.target_ci ends a cell after {LEAST_BEFORE_STOP} repetitions at the earliest, and repetitions is {}; set the most there may be, such as 30",
            run.repetitions
        )),
        _ => Ok(()),
    }
}

fn names<'a>(list: &str, given: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = HashSet::new();
    for given in given {
        check_name(list, given)?;
        if !seen.insert(given) {
            return Err(format!("{list}: the name `{given}` is given twice"));
        }
    }
    if seen.is_empty() { Err(format!("{list} is empty; give at least one")) } else { Ok(()) }
}

/// Names become file names and cells of tables.
pub(crate) fn check_name(list: &str, given: &str) -> Result<(), String> {
    let sound = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if given.is_empty() || given.len() > 64 || given.starts_with('.') || !given.chars().all(sound) {
        return Err(format!(
            "{list}: `{}` is no name; use 1 to 64 of A-Z a-z 0-9 . _ -, not starting with a dot",
            given.escape_default()
        ));
    }
    Ok(())
}
