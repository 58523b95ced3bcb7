//! The engine inside the host's own process, for a debugger: no deadline, no protection.

use super::engine::Engine;
use super::protocol::{FromWorker, Reply, Request};
use super::{Lost, StepListener, Worker};
use crate::interrupt;
use std::time::Duration;

/// A worker that is no process.
#[derive(Default)]
pub struct InlineWorker {
    engine: Engine,
}

impl Worker for InlineWorker {
    fn call_streamed(
        &mut self,
        request: Request,
        _deadline: Duration,
        step: &mut StepListener<'_>,
    ) -> Result<Reply, Lost> {
        if interrupt::requested() {
            return Err(Lost::Interrupted);
        }
        Ok(self.engine.handle(request, &mut |message| {
            if let FromWorker::Step(tokens) = message {
                step(&tokens);
            }
        }))
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }
}
