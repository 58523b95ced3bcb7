//! The engine inside the host's own process, for a debugger: no deadline, no protection.

use super::engine::Engine;
use super::protocol::{FromWorker, Reply, Request};
use super::{Listener, Lost, Told, Worker};
use crate::interrupt;
use std::time::Duration;

/// A worker that is no process.
#[derive(Default)]
pub struct InlineWorker {
    engine: Engine,
}

impl Worker for InlineWorker {
    fn call_heard(
        &mut self,
        request: Request,
        _deadline: Duration,
        listener: &mut Listener<'_>,
    ) -> Result<Reply, Lost> {
        if interrupt::requested() {
            return Err(Lost::Interrupted);
        }
        Ok(self.engine.handle(request, &mut |message| match message {
            FromWorker::Step(tokens) => listener(Told::Step(&tokens)),
            FromWorker::Building { phase, done, total } => listener(Told::Building(&phase, done, total)),
            _ => {}
        }))
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }
}
