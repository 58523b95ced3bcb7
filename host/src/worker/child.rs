//! The worker process: takes requests from the host and hands them to the engine, one at a time. A thread of its
//! own watches the connection, so that a worker whose host has died exits even from inside a plugin's call.

use super::descendants;
use super::engine::Engine;
use super::protocol::{FromWorker, Request, Sent};
use crate::platform;
use ipc_channel::IpcError;
use ipc_channel::ipc::{self, IpcReceiver, IpcSender};
use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Serves the host that listens at `server` until it hangs up.
///
/// # Errors
/// Where the host cannot be reached, or the memory limit cannot be set.
pub fn serve(server: &str, memory_limit_mb: Option<u64>) -> std::io::Result<()> {
    platform::quiet_panics_of_worker();
    descendants::adopt_orphans();
    if let Some(limit) = memory_limit_mb {
        platform::limit_memory(limit.saturating_mul(1 << 20))?;
    }
    let to_host = IpcSender::<Sent>::connect(server.to_string())?;
    let (requests, incoming) = ipc::channel::<Request>()?;
    let gone = |_| std::io::Error::other("the host is gone");
    to_host.send(Sent::new(FromWorker::Ready(requests))).map_err(gone)?;
    let requests = watch(incoming);
    let mut engine = Engine::default();
    for request in requests {
        let reply = engine.handle(request, &mut |message| {
            let _ = to_host.send(Sent::new(message));
        });
        to_host.send(Sent::new(FromWorker::Reply(Box::new(reply)))).map_err(gone)?;
    }
    Ok(())
}

fn watch(incoming: IpcReceiver<Request>) -> Receiver<Request> {
    let (forward, requests) = channel();
    std::thread::spawn(move || {
        loop {
            match incoming.recv() {
                Ok(request) => {
                    if forward.send(request).is_err() {
                        return;
                    }
                }
                // A plugin has changed the channel's mode: the host is still there.
                Err(IpcError::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(_) => break,
            }
        }
        descendants::end_below(std::process::id());
        platform::exit_now();
    });
    requests
}
