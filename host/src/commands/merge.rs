//! `inferhost merge`: several run folders become one.

use crate::cli::MergeArgs;
use crate::error::AppError;
use crate::manifest::Counts;
use crate::merge::{MergeError, Options, merge};
use crate::output::{self, print, print_json};
use serde::Serialize;

#[derive(Serialize)]
struct Summary<'a> {
    run_dir: String,
    parts: usize,
    planned: u64,
    #[serde(flatten)]
    counts: &'a Counts,
    notes: Vec<&'a String>,
}

pub(super) fn execute(args: &MergeArgs) -> Result<(), AppError> {
    let options = Options { as_rounds: args.as_rounds, allow_versions: args.allow_versions };
    let merged = merge(&args.run_dirs, &args.out, options).map_err(|error| match error {
        MergeError::Store(error) => AppError::store(&error),
        other => AppError::bad_input(other),
    })?;
    let (manifest, run_dir) = (&merged.manifest, args.out.display().to_string());
    let notes: Vec<&String> = manifest.notes.iter().chain(&merged.notes).collect();
    let (parts, planned, counts) = (args.run_dirs.len(), manifest.planned_runs, &manifest.counts);
    if args.json {
        return print_json(&Summary { run_dir, parts, planned, counts, notes });
    }
    notes.iter().for_each(|note| output::note(note));
    print(&format!(
        "{parts} run folders merged into {run_dir}: {}, {} ok\nnext: inferhost report {run_dir}",
        counts.of_planned(planned),
        counts.ok
    ))
}
