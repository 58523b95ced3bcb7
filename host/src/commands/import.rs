//! `inferhost import`: results of other programs become records.

use crate::cli::ImportArgs;
use crate::error::AppError;
use crate::import::{ImportError, Names, Outcome, Place, import};
use crate::output::{self, print, print_json};
use crate::text::one_line;
use serde::Serialize;
use std::collections::BTreeSet;

#[derive(Serialize)]
struct Summary<'a> {
    run_dir: String,
    imported: usize,
    models: &'a BTreeSet<String>,
    backends: &'a BTreeSet<String>,
    scenarios: &'a BTreeSet<String>,
    notes: &'a [String],
}

pub(super) fn execute(args: &ImportArgs) -> Result<(), AppError> {
    let place = match (&args.out, &args.into) {
        (_, Some(into)) => Place::Into(into.clone()),
        (Some(out), None) => Place::New(out.clone()),
        (None, None) => return Err(AppError::bad_input("give --out DIR or --into RUN_DIR; see --help")),
    };
    let names = Names { model: args.model.clone(), backend: args.backend.clone() };
    let outcome = import(&args.files, &place, &names).map_err(|error| match error {
        ImportError::Store(error) => AppError::store(&error),
        other => AppError::bad_input(other),
    })?;
    let Outcome { folder, records, models, backends, scenarios, notes } = &outcome;
    let run_dir = folder.display().to_string();
    if args.json {
        let (imported, notes) = (*records, notes.as_slice());
        return print_json(&Summary { run_dir, imported, models, backends, scenarios, notes });
    }
    notes.iter().for_each(|note| output::note(note));
    let list = |names: &BTreeSet<String>| one_line(&names.iter().cloned().collect::<Vec<_>>().join(", "));
    print(&format!(
        "{records} runs imported into {run_dir}: {} on {}, in {}\nnext: inferhost report {run_dir}",
        list(models),
        list(backends),
        list(scenarios)
    ))
}
