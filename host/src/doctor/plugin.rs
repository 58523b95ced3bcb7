//! One plugin: what can be told of its file without running it, and then what it says and computes.

use super::advice;
use super::check::{Check, Level, first_fix, worst};
use super::conversation::{Answer, Heard, Interrupted, Speaker, Step};
use super::library::{Dependencies, Missing, Resolver};
use super::origin::origin;
use crate::digest;
use crate::plugins::PluginFile;
use crate::plugins::trust::world_writable;
use inferhost_plugin_api::{Description, INTERFACE_VERSION};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What was found out about a plugin.
#[derive(Debug, Clone, Serialize)]
pub struct PluginReport {
    /// From the file's name, or as asked for.
    pub name: String,
    /// The worst of its checks.
    pub level: Level,
    /// What mends the worst; none where there is nothing to do.
    pub fix: Option<String>,
    /// Its file; none where there is none.
    pub path: Option<PathBuf>,
    /// Others of its name, not used.
    pub shadowed: Vec<PathBuf>,
    /// Of its file, as `sha256` of a config's `[[backends]]` takes it.
    pub sha256: Option<String>,
    /// The version of the interface that it was built against; none where it could not be loaded.
    pub interface: Option<String>,
    /// What it says of itself, its runtime and its options; none where it does not.
    pub description: Option<Description>,
    /// How its runtime's library was found: by a variable (`ORT_DYLIB_PATH`), in a folder of runtimes (its path), in `the
    /// plugin's own folder`, in `the system's search path`, else by `the plugin's own choice`.
    pub library_from: Option<String>,
    /// What its file needs, and what its runtime's library needs.
    pub dependencies: Vec<Dependencies>,
    /// Its answer to the known question; none where it gave none or a wrong one.
    pub answer: Option<Answer>,
    /// Line by line.
    pub checks: Vec<Check>,
}

impl PluginReport {
    /// A plugin of which there is only this to say.
    pub(super) fn absent(name: &str, check: Check) -> Self {
        Self { checks: vec![check], ..Self::new(name) }.judged()
    }

    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            level: Level::Ok,
            fix: None,
            path: None,
            shadowed: Vec::new(),
            sha256: None,
            interface: None,
            description: None,
            library_from: None,
            dependencies: Vec::new(),
            answer: None,
            checks: Vec::new(),
        }
    }

    fn judged(mut self) -> Self {
        self.level = worst(&self.checks);
        self.fix = first_fix(&self.checks);
        self
    }
}

/// Looks at `file`; without a `speaker` nothing of it runs.
pub(super) fn examine(
    file: &PluginFile,
    speaker: Result<&Speaker<'_>, &str>,
    resolver: &Resolver,
) -> Result<PluginReport, Interrupted> {
    let mut report = PluginReport { path: Some(file.path.clone()), ..PluginReport::new(&file.name) };
    report.shadowed.clone_from(&file.shadowed);
    report.checks.extend(found(file));
    match hash(&file.path) {
        Ok(sha256) => {
            report.checks.push(Check::ok("sha256", sha256.clone()));
            report.sha256 = Some(sha256);
        }
        Err(error) => {
            let (path, what) = (file.path.display(), "its file cannot be read");
            report.checks.push(
                Check::fail("file", format!("{what}: {error}"))
                    .fix(format!("put the plugin's library at {path}, readable")),
            );
        }
    }
    let own = resolver.dependencies(&file.path);
    let heard = match speaker {
        Ok(speaker) => speaker.talk(&file.name, &file.path)?,
        Err(reason) => Heard { trouble: Some((Step::Worker, reason.into())), ..Heard::default() },
    };
    let loaded = heard.interface.is_some();
    let needs = libraries("libraries", &own, if loaded { Level::Warn } else { Level::Fail });
    report.checks.extend(interface(file, &heard, !own.missing.is_empty()));
    report.checks.push(needs);
    report.dependencies.push(own);
    if let Some(description) = &heard.description {
        runtime(file, description, &heard, resolver, &mut report);
        report.checks.push(Check::ok("offers", offers(description)));
    }
    report.checks.extend(answer(file, &heard));
    let Heard { interface, description, answer, .. } = heard;
    Ok(PluginReport { interface, description, answer, ..report }.judged())
}

/// A pipe would be waited for without end.
fn hash(path: &Path) -> std::io::Result<String> {
    match path.metadata()?.is_file() {
        true => digest::of_file(path),
        false => Err(std::io::Error::other("it is no regular file")),
    }
}

/// Where it lies, what it hides, and who may change it.
fn found(file: &PluginFile) -> Vec<Check> {
    let mut checks = vec![Check::ok("file", file.path.display().to_string())];
    checks.extend(file.shadowed.iter().map(|other| {
        Check::warn("shadowed", format!("it is also at {}, which is not used", other.display())).fix(format!(
            "remove the one of {} and {} that is not meant",
            file.path.display(),
            other.display()
        ))
    }));
    checks.extend(world_writable(&file.path).map(|found| {
        let path = found.path.display();
        let message = format!("{path} is world-writable (mode {:04o}); runs refuse it", found.mode);
        Check::fail("permissions", message).fix(format!("chmod o-w {path}"))
    }));
    checks
}

fn interface(file: &PluginFile, heard: &Heard, lacks_libraries: bool) -> Option<Check> {
    let major = INTERFACE_VERSION.split('.').next().unwrap_or_default();
    if let Some(built) = &heard.interface {
        return Some(Check::ok(
            "interface",
            format!("built against {built}; this host, {INTERFACE_VERSION}, takes {major}.x"),
        ));
    }
    let (step, reason) = heard.trouble.as_ref()?;
    if *step == Step::Worker {
        return Some(Check::warn("interface", format!("not asked: {reason}")));
    }
    let check = Check::fail("interface", format!("this host takes {major}.x: {reason}"));
    // What is missing says better what to do.
    Some(if lacks_libraries { check } else { check.fix(advice::rebuild(file, reason)) })
}

/// The libraries that a file needs, in one line, the first that is missing with its search.
fn libraries(name: &'static str, found: &Dependencies, if_missing: Level) -> Check {
    if let Some(reason) = found.unreadable.as_ref().filter(|_| found.missing.is_empty()) {
        return Check::warn(name, format!("what {} needs cannot be told: {reason}", found.file.display()));
    }
    let Some(Missing { name: library, .. }) = found.missing.first() else {
        return Check::ok(
            name,
            match found.resolved {
                Some(count) => format!("{count} needed, all found"),
                None => format!(
                    "needs {} (not looked for: that is done for ELF alone, where it is the system's own format)",
                    found.needed.join(", ")
                ),
            },
        );
    };
    let told = |missing: &Missing| {
        let (by, tried) = (missing.needed_by.display(), missing.tried.join(", "));
        format!("{} is not found, needed by {by}; tried {tried}", missing.name)
    };
    let message = found.missing.iter().map(told).collect::<Vec<_>>().join(". ");
    let fix = format!("install what holds {library}, or add its folder to LD_LIBRARY_PATH");
    Check { level: if_missing, ..Check::ok(name, message) }.fix(fix)
}

/// The runtime behind the plugin, and its library.
fn runtime(
    file: &PluginFile,
    description: &Description,
    heard: &Heard,
    resolver: &Resolver,
    report: &mut PluginReport,
) {
    let runtime = &description.runtime;
    let version = runtime.version.as_deref().unwrap_or("of unknown version");
    let found = origin(runtime.library.as_deref(), file, resolver);
    let place = match (&found, &runtime.library) {
        (Some(found), _) => format!(", {} (by {})", found.path.display(), found.from),
        (None, Some(library)) => format!(", {library}"),
        (None, None) => ", compiled in".into(),
    };
    report.checks.push(match &runtime.problem {
        None => Check::ok("runtime", format!("{} {version}{place}", runtime.name)),
        Some(problem) => {
            let known = runtime.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
            // A library that tells its version is not what is wrong, however it was found.
            let by = found.as_ref().filter(|_| known.is_empty()).map(|found| found.from.as_str());
            Check::fail("runtime", format!("{}{known}: {problem}", runtime.name))
                .fix(advice::runtime(file, problem, by))
        }
    });
    let Some(found) = found else { return };
    report.checks.extend(world_writable(&found.path).map(|found| {
        let path = found.path.display();
        Check::warn(
            "permissions",
            format!("{path} is world-writable (mode {:04o}), and its code runs", found.mode),
        )
        .fix(format!("chmod o-w {path}"))
    }));
    let needs = resolver.dependencies(&found.path);
    let level = if heard.answer.is_some() { Level::Warn } else { Level::Fail };
    if !needs.missing.is_empty() || needs.unreadable.is_some() || needs.resolved.is_some() {
        report.checks.push(libraries("runtime libs", &needs, level));
    }
    report.dependencies.push(needs);
    report.library_from = Some(found.from);
}

fn offers(description: &Description) -> String {
    let forms: Vec<&str> = description.forms.iter().map(|form| form.name()).collect();
    format!(
        "{} {}; on {}; {}; opens {}; {} options",
        description.name,
        description.version,
        description.devices.join(", "),
        description.precisions.join(", "),
        forms.join(", "),
        description.options.len()
    )
}

fn answer(file: &PluginFile, heard: &Heard) -> Option<Check> {
    const NAME: &str = "known answer";
    if let Some(Answer { precision, largest_difference, ms }) = &heard.answer {
        let right = format!("right in {precision}: tokens equal, logits within {largest_difference:.1e}");
        return Some(Check::ok(NAME, format!("{right}, {ms:.0} ms with opening")));
    }
    match heard.trouble.as_ref()? {
        (Step::Answer, reason) => {
            Some(Check::fail(NAME, reason.clone()).fix(advice::wrong_answer(file, reason)))
        }
        (Step::Describe, reason) => Some(
            Check::fail("describe", format!("it does not say what it is: {reason}"))
                .fix(advice::rebuild(file, reason)),
        ),
        (Step::Prepare, reason) => {
            let what =
                format!("not asked: the known model cannot be given in a form that it opens: {reason}");
            Some(Check::warn(NAME, what).fix("inferhost conformance shows more, with models of that form"))
        }
        // Told with the interface.
        (Step::Worker | Step::Load, _) => None,
    }
}

/// The file that a plugin's library name stands for.
pub(super) fn library_file(library: &str, resolver: &Resolver) -> Option<PathBuf> {
    if library.contains(['/', '\\']) { Some(Path::new(library).into()) } else { resolver.find(library) }
}
