//! One backend's part in the evaluation of a model: its worker and its sums.

use super::Tally;
use crate::record::{Degraded, Stage};
use crate::run::{Opened, RunError, misplaced_reply};
use crate::worker::Lost;
use crate::worker::protocol::{EvaluateRequest, EvaluateResult, Reply, Request};
use inferhost_plugin_api::SessionInfo;
use std::time::Duration;

/// A backend with the model open.
pub(super) struct Participant {
    /// Which of the config's backends.
    pub(super) backend: usize,
    pub(super) session: SessionInfo,
    pub(super) pid: u32,
    pub(super) tally: Tally,
    opened: Opened,
}

impl Participant {
    pub(super) fn new(backend: usize, opened: Opened) -> Self {
        let (session, pid) = (opened.session.clone(), opened.worker.pid());
        Self { backend, session, pid, tally: Tally::default(), opened }
    }

    /// Scores a batch; the inner error is how the backend was lost.
    pub(super) fn score(
        &mut self,
        request: EvaluateRequest,
        deadline: Duration,
    ) -> Result<Result<EvaluateResult, Degraded>, RunError> {
        match self.opened.worker.call(Request::Evaluate(Box::new(request)), deadline) {
            Ok(Reply::Evaluated(result)) => Ok(Ok(result)),
            Ok(Reply::Failed(failure)) => Ok(Err(failure.into())),
            Ok(_) => Ok(Err(misplaced_reply(Stage::Run))),
            Err(Lost::Degraded(degraded)) => Ok(Err(degraded)),
            Err(Lost::Interrupted) => Err(RunError::Interrupted),
        }
    }
}
