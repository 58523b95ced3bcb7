//! What is wrong here, and what would mend it: [`examine`] looks at the machine and at every plugin, and what it finds is
//! the [`Report`], which `inferhost doctor --json` prints as it is.
//!
//! It is for a machine on which nothing works: what fails is a line of the report. `machine` looks at folders and limits,
//! `library` at what a file needs without running it, `conversation` asks a plugin in a worker and puts it to the
//! known `answer`, `advice` has the line that mends.

mod advice;
pub mod answer;
mod check;
mod conversation;
mod library;
mod machine;
mod origin;
mod plugin;
mod text;
mod tried;

pub use check::{Check, Level};
pub use conversation::{Answer, Interrupted};
pub use library::{Dependencies, Missing};
pub use plugin::PluginReport;
pub use text::terminal;

use crate::plugins::{BUILT_BY_DEFAULT, FindError, PluginFile, PluginFolders};
use crate::run::Starter;
use crate::worker::{WorkerScratch, temporary_folder};
use conversation::Speaker;
use inferhost_plugin_api::INTERFACE_VERSION;
use library::Resolver;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// The version of [`Report`]: raised where a field is taken away or comes to mean something else.
pub const SCHEMA: u32 = 1;

/// What is to be looked at.
#[derive(Debug)]
pub struct Subject<'a> {
    /// A plugin's name or path; none: all of them.
    pub plugin: Option<&'a str>,
    /// Where they are, and which may be loaded.
    pub folders: &'a PluginFolders,
    /// Folders that the user named and that are none.
    pub absent_folders: Vec<PathBuf>,
    /// Longest time for one step of one plugin.
    pub deadline: Duration,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// This host's version.
    pub host_version: &'static str,
    /// The plugin interface that it speaks; it loads plugins of the same major version.
    pub interface: &'static str,
    /// The worst of all checks.
    pub level: Level,
    /// The machine and the host on it.
    pub checks: Vec<Check>,
    /// Every plugin found, and those of inferhost's own that were not.
    pub plugins: Vec<PluginReport>,
}

impl Report {
    /// How many plugins do not work.
    pub fn failed_plugins(&self) -> usize {
        self.plugins.iter().filter(|plugin| plugin.level == Level::Fail).count()
    }
}

/// Looks at everything.
///
/// # Errors
/// Ctrl-C; all else is in the report.
pub fn examine(subject: &Subject<'_>) -> Result<Report, Interrupted> {
    let resolver = Resolver::new();
    let mut checks = vec![plugin_folders(subject)];
    checks.extend(machine::checks(&resolver));
    let scratch = temporary_folder();
    let folder =
        scratch.as_ref().map(WorkerScratch::path).map_err(|error| format!("no folder for its log: {error}"));
    let starter = folder.clone().and_then(|folder| Starter::new(folder).map_err(|error| error.to_string()));
    let speaker = match (&starter, folder) {
        (Ok(starter), Ok(scratch)) => Ok(Speaker { starter, scratch, deadline: subject.deadline }),
        (Err(reason), _) => Err(reason.clone()),
        (_, Err(reason)) => Err(reason),
    };
    let (worker, speaker) = worker(speaker)?;
    checks.push(worker);
    let mut plugins = Vec::new();
    for file in found(subject) {
        plugins.push(match file {
            Ok(file) => {
                let admitted =
                    subject.folders.admit(file.clone()).map_err(|_| "its file is refused".to_string());
                // One that waits for a pipe's other end would wait for the whole deadline.
                let opens = file.path.is_file() || file.path.is_dir();
                let admitted = if opens { admitted } else { Err("it is no regular file".into()) };
                let speaker = admitted.and_then(|_| speaker.as_ref().map_err(Clone::clone));
                plugin::examine(&file, speaker.as_ref().map(|s| *s).map_err(String::as_str), &resolver)?
            }
            Err((name, check)) => PluginReport::absent(&name, check),
        });
    }
    let level = plugins.iter().map(|plugin| plugin.level).fold(check::worst(&checks), Ord::max);
    let host_version = env!("CARGO_PKG_VERSION");
    Ok(Report { schema: SCHEMA, host_version, interface: INTERFACE_VERSION, level, checks, plugins })
}

/// Whether workers can be started here, and the speaker where they can.
fn worker(speaker: Result<Speaker<'_>, String>) -> Result<(Check, Result<Speaker<'_>, String>), Interrupted> {
    const NAME: &str = "worker";
    let failed = |reason: &str| {
        Check::fail(NAME, format!("no worker process can be started: {reason}"))
            .fix("free memory, processes or file descriptors (ulimit -a shows the limits)")
    };
    let speaker = match speaker {
        Ok(speaker) => speaker,
        Err(reason) => return Ok((failed(&reason), Err(reason))),
    };
    Ok(match speaker.try_worker()? {
        Ok(took) => {
            let ms = took.as_secs_f64() * 1e3;
            (Check::ok(NAME, format!("a worker process is up in {ms:.0} ms")), Ok(speaker))
        }
        Err(reason) => (failed(&reason), Err("no worker process can be started".into())),
    })
}

fn plugin_folders(subject: &Subject<'_>) -> Check {
    const NAME: &str = "plugin folders";
    if let Some(absent) = subject.absent_folders.first() {
        let absent = absent.display();
        return Check::warn(NAME, format!("--plugin-dir {absent} is no folder"))
            .fix("name the folder that holds the plugins' libraries");
    }
    let searched = subject.folders.searched();
    let unreadable = searched.iter().filter(|folder| folder.exists());
    let unreadable = unreadable.filter_map(|folder| Some((folder, std::fs::read_dir(folder).err()?)));
    if let Some((folder, error)) = unreadable.into_iter().next() {
        let folder = folder.display();
        return Check::warn(NAME, format!("{folder} cannot be read: {error}"))
            .fix(format!("chmod u+rx {folder}, or leave it out"));
    }
    let shown = |folder: &PathBuf| {
        let absent = if folder.is_dir() { "" } else { " (not there)" };
        format!("{}{absent}", folder.display())
    };
    Check::ok(NAME, searched.iter().map(shown).collect::<Vec<_>>().join(", "))
}

/// The plugins to look at, and those that are not there with what to say of them.
fn found(subject: &Subject<'_>) -> Vec<Result<PluginFile, (String, Check)>> {
    let not_built = |name: &str, level| {
        let check = Check::ok("file", "not built, or in another folder than those searched");
        (name.to_string(), Check { level, ..check }.fix(advice::build(name)))
    };
    let Some(asked) = subject.plugin else {
        let listed = subject.folders.list();
        let absent = BUILT_BY_DEFAULT.iter().filter(|own| listed.iter().all(|file| file.name != **own));
        let absent: Vec<_> = absent.map(|own| Err(not_built(own, Level::Warn))).collect();
        return listed.into_iter().map(Ok).chain(absent).collect();
    };
    vec![subject.folders.locate(asked).map_err(|error| match error {
        FindError::NotBuilt { name, .. } => not_built(&name, Level::Fail),
        other => {
            let check = Check::fail("file", other.to_string());
            (asked.to_string(), check.fix("give a name that inferhost backends lists, or a library's path"))
        }
    })]
}
