//! One worker process per (model, backend): it loads one plugin, opens one model, runs what it is asked and
//! exits. [`protocol`] is what the two sides say to each other, `engine` does the work and times it, [`child`] is
//! the process around the engine, [`ProcessWorker`] the host's side of it; [`InlineWorker`] runs the engine in the
//! host for debugging. [`guard`] is the process that cleans up after a host, `descendants` what a plugin may have
//! started, `scratch` where it may have written.

mod apart;
pub mod child;
mod collected;
mod computed;
mod connection;
mod descendants;
mod engine;
mod evaluate;
pub mod guard;
mod inline;
mod lost;
mod observations;
mod output_log;
mod process;
pub mod protocol;
mod scratch;
mod settings;

pub use apart::{Ended, run_apart, temporary_folder};
pub use evaluate::SharedLogits;
pub use inline::InlineWorker;
pub use lost::Lost;
pub use process::ProcessWorker;
pub use scratch::WorkerScratch;
pub use settings::WorkerSettings;

use protocol::{Reply, Request};
use std::time::Duration;

/// Takes the tokens of each step of a streamed run, each with its row.
pub type StepListener<'a> = dyn FnMut(&[(u32, u32)]) + 'a;

/// Something that answers requests.
pub trait Worker {
    /// Sends `request` and waits for its reply, `deadline` at most.
    ///
    /// # Errors
    /// [`Lost`] where there is no worker any more, and why.
    fn call(&mut self, request: Request, deadline: Duration) -> Result<Reply, Lost> {
        self.call_streamed(request, deadline, &mut |_| {})
    }

    /// As [`call`](Self::call); `step` is told the tokens of each step of a streamed run as they come, each with its
    /// row.
    ///
    /// # Errors
    /// [`Lost`] where there is no worker any more, and why.
    fn call_streamed(
        &mut self,
        request: Request,
        deadline: Duration,
        step: &mut StepListener<'_>,
    ) -> Result<Reply, Lost>;

    /// The worker's process id.
    fn pid(&self) -> u32;
}
