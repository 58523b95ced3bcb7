//! One request and its reply, where a failure is no more than a line of text.

use crate::worker::protocol::{Reply, Request};
use crate::worker::{Lost, Worker};
use std::time::Duration;

/// Longest time for one request.
const DEADLINE: Duration = Duration::from_secs(600);

pub(super) fn ask(worker: &mut dyn Worker, request: Request) -> Result<Reply, String> {
    match worker.call(request, DEADLINE).map_err(text)? {
        Reply::Failed(failure) => Err(failure.message),
        reply => Ok(reply),
    }
}

/// Why a worker was lost.
pub(super) fn text(lost: Lost) -> String {
    match lost {
        Lost::Degraded(degraded) => degraded.message,
        Lost::Interrupted => "interrupted".into(),
    }
}
