//! `inferhost rerun`: a run folder's matrix once more, from its manifest alone, and whether it came out the same.

use super::run::Job;
use crate::cli::RerunArgs;
use crate::config::{self, Backend};
use crate::error::AppError;
use crate::manifest::{Manifest, ShardEntry};
use crate::output::{note, print, print_json};
use crate::plan::Shard;
use crate::plugins::is_path;
use crate::record::Record;
use crate::report::{self, Layout};
use crate::store::{read_manifest, stream_records};
use crate::text::one_line;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::path::Path;

pub(super) fn execute(args: &RerunArgs) -> Result<(), AppError> {
    let origin = read_manifest(&args.run_dir).map_err(|error| AppError::store(&error))?;
    let folder = args.run_dir.display();
    let config = config::from_manifest(&origin.config).map_err(|reason| {
        AppError::bad_input(format!(
            "failed to run {folder} again: its manifest holds no config to run: {reason}"
        ))
    })?;
    let before = Outputs::read(&args.run_dir)?;
    config.backends.iter().filter_map(chosen_by_folder).for_each(|line| note(&line));
    let job = Job {
        config: &config,
        out: args.out.as_deref(),
        resume: false,
        shard: shard(&origin)?,
        isolation: args.execution.isolation,
        plugins: &args.execution.plugins,
        origin: Some(&origin),
    };
    let done = job.run()?;
    let text = report::report(&done.path, Layout::of_stdout()).map_err(AppError::report)?;
    let same = Sameness::of(&before, &Outputs::read(&done.path)?);
    if args.execution.json {
        print_json(&Summary {
            run_dir: &done.path.display().to_string(),
            report: &done.page(),
            same: &same,
        })?;
    } else {
        let (path, report) = (done.path.display(), done.page());
        print(&format!(
            "{}\nreport: {report}\n{}\nnext: inferhost compare {folder} {path}",
            text.trim_end(),
            same.sentence()
        ))?;
    }
    done.any_ok()
}

/// What a folder that may come from elsewhere makes this machine load.
fn chosen_by_folder(backend: &Backend) -> Option<String> {
    let plugin = is_path(&backend.plugin).then(|| format!("loads {}", backend.plugin));
    let names: Vec<&str> = backend.env.keys().map(String::as_str).collect();
    let env = (!names.is_empty()).then(|| format!("sets {}", names.join(", ")));
    let library = backend.options.get("library").map(|library| format!("has the library {library}"));
    let chosen: Vec<String> = [plugin, env, library].into_iter().flatten().collect();
    let name = &backend.name;
    (!chosen.is_empty()).then(|| format!("as the folder says, {name} {}", chosen.join(", ")))
}

fn shard(origin: &Manifest) -> Result<Option<Shard>, AppError> {
    let parse = |ShardEntry { index, count, .. }: ShardEntry| format!("{index}/{count}").parse::<Shard>();
    origin.shard.map(parse).transpose().map_err(AppError::bad_input)
}

#[derive(Serialize)]
struct Summary<'a> {
    run_dir: &'a str,
    report: &'a str,
    #[serde(flatten)]
    same: &'a Sameness,
}

/// What the ok runs of each cell put out.
struct Outputs {
    by_cell: HashMap<String, HashSet<String>>,
    /// A cell in words.
    names: HashMap<String, String>,
}

impl Outputs {
    fn read(folder: &Path) -> Result<Self, AppError> {
        let mut found = Self { by_cell: HashMap::new(), names: HashMap::new() };
        // What another program measured is not run again.
        let mut take = |record: Record| {
            if record.imported.is_none() {
                found.names.entry(record.cell.clone()).or_insert_with(|| named(&record));
                found.by_cell.entry(record.cell).or_default().extend(record.output_digest);
            }
        };
        stream_records(folder, |_, record| take(record)).map_err(|error| AppError::store(&error))?;
        Ok(found)
    }
}

fn named(record: &Record) -> String {
    one_line(&format!("{} {} {} {}", record.model, record.backend, record.scenario, record.mode.name()))
}

/// How much of one run came out again in another.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Sameness {
    /// Cells of the first.
    cells: u64,
    /// Cells of both.
    same_cells: u64,
    /// Cells of both with output in both.
    comparable_outputs: u64,
    /// Those with the same output: token ids, or ids of the largest logits.
    same_outputs: u64,
    /// The first, in alphabetical order, whose output is another.
    differing: Option<String>,
}

impl Sameness {
    fn of(before: &Outputs, after: &Outputs) -> Self {
        let mut same = Self { cells: before.by_cell.len() as u64, ..Self::default() };
        for (cell, outputs) in &before.by_cell {
            let Some(others) = after.by_cell.get(cell) else { continue };
            same.same_cells += 1;
            if outputs.is_empty() || others.is_empty() {
                continue;
            }
            same.comparable_outputs += 1;
            if outputs == others {
                same.same_outputs += 1;
            } else {
                let name = before.names.get(cell).cloned();
                same.differing = [same.differing.take(), name].into_iter().flatten().min();
            }
        }
        same
    }

    fn sentence(&self) -> String {
        let Self { cells, same_cells, comparable_outputs, same_outputs, differing } = self;
        let differing = differing.as_ref().map_or(String::new(), |name| format!(" (not: {name})"));
        format!(
            "again: {same_cells} of {cells} cells are the same, and {same_outputs} of {comparable_outputs} outputs{differing}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(cells: &[(&str, &[&str])]) -> Outputs {
        Outputs {
            by_cell: cells
                .iter()
                .map(|(cell, digests)| (cell.to_string(), digests.iter().map(|d| d.to_string()).collect()))
                .collect(),
            names: cells.iter().map(|(cell, _)| (cell.to_string(), format!("cell {cell}"))).collect(),
        }
    }

    #[test]
    fn cells_and_outputs_are_held_against_each_other() {
        let before = outputs(&[("a", &["1"]), ("b", &["2"]), ("c", &[]), ("d", &["4"]), ("e", &["5"])]);
        let after = outputs(&[("a", &["1"]), ("b", &["3"]), ("c", &["3"]), ("e", &["5", "6"])]);
        let same = Sameness::of(&before, &after);
        let expected = Sameness {
            cells: 5,
            same_cells: 4,
            comparable_outputs: 3,
            same_outputs: 1,
            differing: Some("cell b".into()),
        };
        assert_eq!(same, expected);
        assert_eq!(same.sentence(), "again: 4 of 5 cells are the same, and 1 of 3 outputs (not: cell b)");
    }
}
