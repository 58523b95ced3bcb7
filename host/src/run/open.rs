//! A worker with a model open in it: started, its plugin loaded, the prepared form of the model opened.

use super::{Serves, Setup, Starter, open_request};
use crate::config::Config;
use crate::plugins::HashedFile;
use crate::plugins::hashed::Changed;
use crate::record::{Degraded, DegradedKind, Stage};
use crate::worker::protocol::{Reply, Request};
use crate::worker::{Lost, Worker};
use inferhost_plugin_api::SessionInfo;
use std::time::Duration;

/// A worker that takes runs.
pub struct Opened {
    /// The worker.
    pub worker: Box<dyn Worker>,
    /// What its session really uses.
    pub session: SessionInfo,
}

/// Why there is no worker with an open model.
pub enum NotOpen {
    /// The plugin said why; it would say so again.
    Reported(Degraded),
    /// The worker is no more.
    Lost(Lost),
    /// The host's own trouble.
    Host(std::io::Error),
}

impl From<Lost> for NotOpen {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

/// Opens the `pair` of model and backend in a new worker whose output goes to the log of that name; `pid` is the
/// worker's as soon as there is one.
///
/// # Errors
/// [`NotOpen`].
pub fn open_worker(
    config: &Config,
    setup: &Setup,
    starter: &Starter,
    pair: (usize, usize),
    log: &str,
    pid: &mut Option<u32>,
) -> Result<Opened, NotOpen> {
    let prepared = setup.pairs[&pair].as_ref().map_err(|e| NotOpen::Reported(e.clone()))?;
    let backend = &config.backends[pair.1];
    let no_plugin =
        || NotOpen::Reported(Degraded::new(DegradedKind::RuntimeMissing, Stage::Load, "no plugin"));
    let plugin = setup.backends[pair.1].file.as_ref().ok_or_else(no_plugin)?.path.clone();
    let changed = |error: Changed| {
        NotOpen::Reported(Degraded::new(DegradedKind::Incompatible, Stage::Load, error.to_string()))
    };
    setup.backends[pair.1].hashed.as_ref().map_or(Ok(()), HashedFile::unchanged).map_err(changed)?;
    let serves = Serves { model: &config.models[pair.0].name, backend: &backend.name };
    let mut worker = starter.start_for(log, &backend.env, Some(serves)).map_err(NotOpen::Host)??;
    *pid = Some(worker.pid());
    let deadline = Duration::from_secs_f64(config.run.open_deadline_s);
    let mut session = None;
    for request in [Request::Load { plugin }, open_request(prepared, &backend.options)] {
        match worker.call(request, deadline)? {
            Reply::Failed(failure) => return Err(NotOpen::Reported(failure.into())),
            Reply::Opened(info) => session = serde_json::from_str(&info).ok(),
            _ => {}
        }
    }
    let unheard = || NotOpen::Reported(misplaced_reply(Stage::Open));
    Ok(Opened { worker, session: session.ok_or_else(unheard)? })
}

pub(crate) fn misplaced_reply(stage: Stage) -> Degraded {
    Degraded::new(DegradedKind::Incompatible, stage, "the worker gave a reply of another kind")
}
