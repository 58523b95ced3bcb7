//! Where a test finds golden cases and the plugin that was just built.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};

/// The golden cases of this repository and its surroundings.
#[derive(Debug, Clone, Default)]
pub struct GoldenDirs {
    /// Cases of the families asked for, sorted by path.
    pub found: Vec<PathBuf>,
    /// One line per place that holds no cases, for a test to print.
    pub absent: Vec<String>,
}

/// The cases under `tests/golden` of this repository and under the nearest `shared/golden` of the folders above,
/// as far as their config's `model_type` is one of `families`.
pub fn golden_dirs(families: &[&str]) -> GoldenDirs {
    let api = Path::new(env!("CARGO_MANIFEST_DIR"));
    let repository = api.parent().unwrap_or(api);
    let shared = repository.ancestors().map(|folder| folder.join("shared/golden")).find(|at| at.is_dir());
    let mut dirs = GoldenDirs::default();
    if shared.is_none() {
        dirs.absent.push(format!("no shared/golden in or above {}", repository.display()));
    }
    for place in [Some(repository.join("tests/golden")), shared].into_iter().flatten() {
        let cases = cases_in(&place, families);
        if cases.is_empty() {
            dirs.absent.push(format!("no golden cases of {} in {}", families.join(", "), place.display()));
        }
        dirs.found.extend(cases);
    }
    dirs
}

fn cases_in(place: &Path, families: &[&str]) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    let mut cases: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|case| case.join("expected.json").is_file())
        .filter(|case| family_of(case).is_some_and(|family| families.contains(&family.as_str())))
        .collect();
    cases.sort();
    cases
}

fn family_of(case: &Path) -> Option<String> {
    let config = std::fs::read(case.join("config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_slice(&config).ok()?;
    Some(config.get("model_type")?.as_str()?.to_string())
}

/// The shared library of plugin `name` in the target folder of the running test, whether it exists or not. Cargo
/// leaves it next to the test or one folder above, by version and command; the newer is the one just built.
pub fn built_library(name: &str) -> PathBuf {
    let file = format!("{DLL_PREFIX}inferhost_plugin_{}{DLL_SUFFIX}", name.replace('-', "_"));
    let test = std::env::current_exe().unwrap_or_default();
    let built = |at: &PathBuf| at.metadata().and_then(|metadata| metadata.modified()).ok();
    test.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(&file))
        .max_by_key(built)
        .unwrap_or_else(|| PathBuf::from(file))
}
