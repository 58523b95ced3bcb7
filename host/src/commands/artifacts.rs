//! `inferhost artifacts list|verify|prune`.

use crate::cli::{ArtifactsAction, ArtifactsArgs};
use crate::error::AppError;
use crate::model::cache::cache_dir;
use crate::output::{print, print_json};
use crate::prepare::artifact::{self, Stored};
use std::time::{Duration, SystemTime};

const DAY: u64 = 24 * 60 * 60;

pub(super) fn execute(args: &ArtifactsArgs) -> Result<(), AppError> {
    let cache = cache_dir();
    let failed = |e: std::io::Error| AppError::failed(format!("failed to read {}: {e}", cache.display()));
    match args.action {
        ArtifactsAction::List { json } => {
            let all = artifact::list(&cache).map_err(failed)?;
            if json {
                return print_json(&all);
            }
            let lines = all.iter().map(line).chain([total(&all, "in the cache")]);
            print(&lines.collect::<Vec<_>>().join("\n"))
        }
        ArtifactsAction::Verify => verify(&artifact::list(&cache).map_err(failed)?),
        ArtifactsAction::Prune { older_than } => {
            let age = Duration::from_secs(u64::from(older_than) * DAY);
            let gone = artifact::prune(&cache, age).map_err(|(folder, error)| {
                AppError::failed(format!("failed to remove {}: {error}", folder.display()))
            })?;
            print(&total(&gone, "removed"))
        }
    }
}

fn verify(all: &[Stored]) -> Result<(), AppError> {
    let mut damaged = 0;
    for stored in all {
        let problem = artifact::verify(stored);
        damaged += usize::from(problem.is_some());
        let state = problem.map_or_else(|| "sound".into(), |problem| format!("DAMAGED: {problem}"));
        print(&format!("{}  {state}", line(stored)))?;
    }
    if damaged == 0 {
        return print(&total(all, "verified"));
    }
    Err(AppError::failed(format!(
        "{damaged} of {} artifacts are damaged; they are built again on use",
        all.len()
    )))
}

fn line(stored: &Stored) -> String {
    let key = stored.folder.file_name().unwrap_or_default().to_string_lossy();
    let what = stored
        .info
        .as_ref()
        .map_or_else(|| "cannot be read".to_string(), |info| format!("{} of {}", info.name, info.model));
    let age = stored.built.and_then(|built| SystemTime::now().duration_since(built).ok());
    let days = age.map_or_else(|| "?".into(), |age| (age.as_secs() / DAY).to_string());
    format!("{key}  {:>9.1} MB  {days:>3} days  {what}", stored.bytes as f64 / 1e6)
}

fn total(all: &[Stored], what: &str) -> String {
    let bytes: u64 = all.iter().map(|stored| stored.bytes).sum();
    format!("{} artifacts {what}, {:.1} MB", all.len(), bytes as f64 / 1e6)
}
