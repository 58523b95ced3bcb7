//! A backend before its first run: its plugin found, hashed, held against the config's pin, and then asked what it is,
//! in a worker of its own.

use super::setup::{ReadyBackend, SetupError};
use super::{Event, Starter};
use crate::config::{self, Config};
use crate::plugins::{FindError, HashedFile, PluginFile, PluginFolders};
use crate::record::{Degraded, DegradedKind, Stage};
use crate::worker::protocol::{Failure, Reply, Request};
use crate::worker::{Lost, Worker};
use inferhost_plugin_api::Description;
use std::time::Duration;

/// A worker that is lost while its plugin describes itself is given a second chance: every run of the backend hangs
/// on the answer.
const DESCRIBE_ATTEMPTS: u32 = 2;

/// A plugin's file and its hash, or which of inferhost's own plugins was not built.
pub(super) type Located = Result<(PluginFile, HashedFile), FindError>;

/// Finds and hashes the plugin; nothing of it runs.
///
/// # Errors
/// A plugin that is nowhere, is refused, or is not the one that the config pins.
pub(super) fn locate(
    backend: &config::Backend,
    folders: &PluginFolders,
    events: &mut dyn FnMut(Event<'_>),
) -> Result<Located, SetupError> {
    let named = |source| SetupError::Plugin { backend: backend.name.clone(), source };
    let file = match folders.find(&backend.plugin) {
        Err(missing @ FindError::NotBuilt { .. }) => return Ok(Err(missing)),
        found => found.map_err(named)?,
    };
    for other in &file.shadowed {
        let (other, used) = (other.display(), file.path.display());
        events(Event::Note(format!("plugin {} is also at {other}; using {used}", file.name)));
    }
    let hashed = HashedFile::new(&file.path)
        .map_err(|e| std::io::Error::new(e.kind(), format!("read {}: {e}", file.path.display())))?;
    match backend.sha256.as_ref().filter(|pin| **pin != hashed.sha256) {
        None => Ok(Ok((file, hashed))),
        Some(pin) => Err(SetupError::Pin {
            backend: backend.name.clone(),
            plugin: file.path,
            expected: pin.clone(),
            found: hashed.sha256,
        }),
    }
}

pub(super) fn ready_backend(
    backend: &config::Backend,
    located: Located,
    starter: &Starter,
    config: &Config,
    events: &mut dyn FnMut(Event<'_>),
) -> Result<ReadyBackend, SetupError> {
    let (file, hashed) = match located {
        Ok(located) => located,
        Err(missing) => return Ok(without_plugin(backend, &missing, events)),
    };
    let deadline = Duration::from_secs_f64(config.run.open_deadline_s);
    let mut attempt = 1;
    let description = loop {
        let described = ask(backend, &file, starter, deadline)?;
        match described {
            Err(Lost::Degraded(_)) if attempt < DESCRIBE_ATTEMPTS => attempt += 1,
            other => break other,
        }
    };
    let description: Result<Description, Degraded> = match description {
        Ok(Ok(description)) => Ok(description),
        Ok(Err(failure)) if failure.stage == Stage::Open => {
            return Err(SetupError::Options { backend: backend.name.clone(), reason: failure.message });
        }
        Ok(Err(failure)) => Err(failure.into()),
        Err(Lost::Degraded(degraded)) => Err(degraded),
        Err(Lost::Interrupted) => return Err(SetupError::Interrupted),
    };
    Ok(ReadyBackend { file: Some(file), hashed: Some(hashed), description })
}

/// The rest of the matrix has its worth without the backend, whose runs are recorded for what they lack.
fn without_plugin(
    backend: &config::Backend,
    missing: &FindError,
    events: &mut dyn FnMut(Event<'_>),
) -> ReadyBackend {
    let lost = Degraded::new(DegradedKind::RuntimeMissing, Stage::Load, missing.to_string());
    let (name, plugin, kind) = (&backend.name, &backend.plugin, lost.kind.name());
    events(Event::Note(format!("the plugin {plugin} is not there: runs of {name} are recorded as {kind}")));
    ReadyBackend { file: None, hashed: None, description: Err(lost) }
}

type Described = Result<Result<Description, Failure>, Lost>;

fn ask(
    backend: &config::Backend,
    file: &PluginFile,
    starter: &Starter,
    deadline: Duration,
) -> std::io::Result<Described> {
    let options = serde_json::Value::Object(backend.options.clone()).to_string();
    let worker = starter.start(&format!("describe-{}", backend.name), &backend.env)?;
    Ok(worker.and_then(|mut worker| describe(worker.as_mut(), file, &options, deadline)))
}

/// Loads the plugin in `worker` and asks what it is. A failure at [`Stage::Load`] is the plugin's or the library's;
/// one at [`Stage::Open`] is of the options.
///
/// # Errors
/// How the worker was lost.
pub fn describe(worker: &mut dyn Worker, file: &PluginFile, options: &str, deadline: Duration) -> Described {
    if let Reply::Failed(failure) = worker.call(Request::Load { plugin: file.path.clone() }, deadline)? {
        return Ok(Err(failure));
    }
    let malformed = |message: String| Failure {
        stage: Stage::Load,
        kind: DegradedKind::Incompatible,
        message,
        bad_input: false,
    };
    Ok(match worker.call(Request::Describe { options: options.into() }, deadline)? {
        Reply::Described(json) => {
            serde_json::from_str(&json).map_err(|e| malformed(format!("its description is malformed: {e}")))
        }
        Reply::Failed(failure) => Err(failure),
        _ => Err(malformed("the worker gave a reply of another kind".into())),
    })
}
