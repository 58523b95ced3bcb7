//! `inferhost backends`: every plugin is loaded in a worker of its own, so one that crashes hides no other.

use crate::cli::BackendsArgs;
use crate::error::AppError;
use crate::interrupt;
use crate::output::{print, print_json};
use crate::plugins::{PluginFile, PluginFolders};
use crate::run::{Starter, describe};
use crate::text;
use crate::worker::Lost;
use crate::worker::temporary_folder;
use inferhost_plugin_api::Description;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Listed {
    name: String,
    path: String,
    shadowed: Vec<String>,
    description: Option<Description>,
    problem: Option<String>,
}

pub(super) fn execute(args: &BackendsArgs) -> Result<(), AppError> {
    let folders = args.plugins.open().map_err(AppError::bad_input)?;
    interrupt::install().map_err(AppError::failed)?;
    let logs = temporary_folder().map_err(AppError::failed)?;
    let starter = Starter::new(logs.path()).map_err(AppError::failed)?;
    let listed: Vec<Listed> =
        folders.list().into_iter().map(|file| look_at(&folders, file, &starter)).collect::<Result<_, _>>()?;
    if args.json {
        return print_json(&listed);
    }
    if listed.is_empty() {
        return print(
            "no plugins found; add a folder with --plugin-dir, or build some: cargo build --release",
        );
    }
    print(&listed.iter().map(entry).collect::<Vec<_>>().join("\n\n"))
}

fn look_at(folders: &PluginFolders, file: PluginFile, starter: &Starter) -> Result<Listed, AppError> {
    if let Err(refused) = folders.admit(file.clone()) {
        return Ok(listed(&file, None, Some(refused.to_string())));
    }
    if !file.path.is_file() {
        return Ok(listed(&file, None, Some(format!("{} is no regular file", file.path.display()))));
    }
    let worker = starter.start(&file.name, &BTreeMap::new()).map_err(AppError::failed)?;
    let described = worker.and_then(|mut worker| describe(worker.as_mut(), &file, "{}", DEADLINE));
    let (description, problem) = match described {
        Ok(Ok(description)) => {
            let problem = description.runtime.problem.clone();
            (Some(description), problem)
        }
        Ok(Err(failure)) => (None, Some(failure.message)),
        Err(Lost::Degraded(degraded)) => (None, Some(degraded.message)),
        Err(Lost::Interrupted) => return Err(AppError::interrupted("interrupted")),
    };
    Ok(listed(&file, description, problem))
}

fn listed(file: &PluginFile, description: Option<Description>, problem: Option<String>) -> Listed {
    Listed {
        name: file.name.clone(),
        path: file.path.display().to_string(),
        shadowed: file.shadowed.iter().map(|path| path.display().to_string()).collect(),
        description,
        problem,
    }
}

fn entry(listed: &Listed) -> String {
    let mut lines = vec![listed.name.clone()];
    let mut line = |key: &str, value: &str| {
        lines.push(format!("  {key:<10} {}", text::one_line(value)));
    };
    line("library", &listed.path);
    for other in &listed.shadowed {
        line("also at", &format!("{other} (found twice; the first is used)"));
    }
    if let Some(problem) = &listed.problem {
        line("problem", problem);
    }
    if let Some(description) = &listed.description {
        let version = description.runtime.version.as_deref().unwrap_or("version unknown");
        line("version", &description.version);
        line("runtime", &format!("{} {version}", description.runtime.name));
        line("devices", &description.devices.join(", "));
        line("precisions", &description.precisions.join(", "));
        line("opens", &description.forms.iter().map(|form| form.name()).collect::<Vec<_>>().join(", "));
        for option in &description.options {
            line("option", &format!("{}={}  {}", option.name, option.default, option.help));
        }
    }
    lines.join("\n")
}
