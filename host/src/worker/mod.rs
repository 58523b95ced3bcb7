//! One worker process per (model, backend): it loads one plugin, opens one model, runs what it is asked and
//! exits. [`protocol`] is what the two sides say to each other, `engine` does the work and times it, [`child`] is
//! the process around the engine, [`ProcessWorker`] the host's side of it; [`InlineWorker`] runs the engine in the
//! host for debugging. [`guard`] is the process that cleans up after a host, `descendants` what a plugin may have
//! started, `scratch` where it may have written.

mod apart;
mod build;
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

/// What a worker tells on the way to its reply.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    /// The tokens of a step of a streamed run, each with its row.
    Step(&'a [(u32, u32)]),
    /// How far a build is: steps done of so many.
    Building(&'a str, u32, u32),
}

/// Takes what a worker tells on the way.
pub type Listener<'a> = dyn FnMut(Told<'_>) + 'a;

/// Something that answers requests.
pub trait Worker {
    /// Sends `request` and waits for its reply, `deadline` at most.
    ///
    /// # Errors
    /// [`Lost`] where there is no worker any more, and why.
    fn call(&mut self, request: Request, deadline: Duration) -> Result<Reply, Lost> {
        self.call_heard(request, deadline, &mut |_| {})
    }

    /// As [`call`](Self::call); `listener` is told what comes before the reply.
    ///
    /// # Errors
    /// [`Lost`] where there is no worker any more, and why.
    fn call_heard(
        &mut self,
        request: Request,
        deadline: Duration,
        listener: &mut Listener<'_>,
    ) -> Result<Reply, Lost>;

    /// The worker's process id.
    fn pid(&self) -> u32;
}
