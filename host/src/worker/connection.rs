//! The two ends of the channel to a worker, each served by a thread of its own, so that the host waits for nothing
//! that a worker does: a worker that is stopped, or that writes nonsense to the channel, costs its run the deadline
//! and the host nothing.

use super::protocol::{FromWorker, Request, Sent};
use ipc_channel::ipc::{IpcReceiver, IpcSender};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread::Builder;
use std::time::Duration;

/// Messages that wait to be heard; a worker that sends more waits.
const MOST_WAITING: usize = 64;

/// What was heard of a worker.
pub(super) enum Heard {
    Message(FromWorker),
    /// In the time given.
    Nothing,
    /// Its end of the channel is closed, or what came is no message.
    Closed,
}

/// The channel to one worker.
pub(super) struct Connection {
    requests: Sender<Request>,
    messages: Receiver<FromWorker>,
}

impl Connection {
    /// Serves both ends until they are closed; only the process `worker` is heard.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub(super) fn new(to: IpcSender<Request>, from: IpcReceiver<Sent>, worker: u32) -> io::Result<Self> {
        let (requests, waiting) = channel();
        let (heard, messages) = sync_channel(MOST_WAITING);
        Builder::new().spawn(move || {
            while let Ok(request) = waiting.recv() {
                if to.send(request).is_err() {
                    return;
                }
            }
        })?;
        Builder::new().spawn(move || {
            while let Some(sent) = Sent::receive(&from) {
                if sent.by == worker && heard.send(sent.message).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { requests, messages })
    }

    /// Sends a request; that it cannot arrive shows in what is heard.
    pub(super) fn send(&self, request: Request) {
        let _ = self.requests.send(request);
    }

    /// Waits for a message.
    pub(super) fn hear(&self, wait: Duration) -> Heard {
        match self.messages.recv_timeout(wait) {
            Ok(message) => Heard::Message(message),
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => Heard::Closed,
        }
    }
}
