//! The engine inside the host's own process, for a debugger: no deadline, no protection.

use super::engine::Engine;
use super::protocol::{Reply, Request};
use super::{Lost, Worker};
use crate::interrupt;
use std::time::Duration;

/// A worker that is no process.
#[derive(Default)]
pub struct InlineWorker {
    engine: Engine,
}

impl Worker for InlineWorker {
    fn call(&mut self, request: Request, _deadline: Duration) -> Result<Reply, Lost> {
        if interrupt::requested() {
            return Err(Lost::Interrupted);
        }
        Ok(self.engine.handle(request, &mut |_| {}))
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }
}
