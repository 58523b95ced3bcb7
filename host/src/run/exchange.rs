//! A worker for the host's own errands, and one request and its reply, where a failure is no more than a line of text.

use super::{Starter, open_request};
use crate::plugins::PluginFolders;
use crate::prepare::Prepared;
use crate::worker::protocol::{Reply, Request};
use crate::worker::{Lost, Worker};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// The plugin that runs what inferhost itself writes.
pub(super) const RUNTIME: &str = "ort";

/// Longest time for one request.
const DEADLINE: Duration = Duration::from_secs(600);

/// What is opened, in which plugin.
pub(super) struct Errand<'a> {
    pub(super) plugin: &'a str,
    /// Names the worker's log.
    pub(super) log: &'a str,
    pub(super) env: &'a BTreeMap<String, String>,
    pub(super) prepared: &'a Prepared,
    pub(super) options: &'a Map<String, Value>,
}

/// A worker with the model open in it.
pub(super) fn opened(
    folders: &PluginFolders,
    starter: &Starter,
    errand: &Errand<'_>,
) -> Result<Box<dyn Worker>, String> {
    let file = folders.find(errand.plugin).map_err(|e| e.to_string())?;
    let started = starter.start(errand.log, errand.env).map_err(|e| e.to_string())?;
    let mut worker = started.map_err(text)?;
    for request in [Request::Load { plugin: file.path }, open_request(errand.prepared, errand.options)] {
        ask(worker.as_mut(), request)?;
    }
    Ok(worker)
}

pub(super) fn ask(worker: &mut dyn Worker, request: Request) -> Result<Reply, String> {
    match worker.call(request, DEADLINE).map_err(text)? {
        Reply::Failed(failure) => Err(failure.message),
        reply => Ok(reply),
    }
}

/// Why a worker was lost.
fn text(lost: Lost) -> String {
    match lost {
        Lost::Degraded(degraded) => degraded.message,
        Lost::Interrupted => "interrupted".into(),
    }
}
