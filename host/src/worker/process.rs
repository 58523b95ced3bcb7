//! The host's side of a worker process: start it, talk to it, watch it, end it with everything it started.

use super::output_log::OutputLog;
use super::protocol::{FromWorker, Reply, Request};
use super::{Lost, StepListener, Worker, lost};
use crate::interrupt;
use crate::platform::caught;
use crate::record::Stage;
use crate::telemetry::Sampler;
use ipc_channel::ipc::{IpcOneShotServer, IpcReceiver, IpcSender};
use ipc_channel::{IpcError, TryRecvError};
use process_wrap::std::{ChildWrapper, CommandWrap};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How often a silent worker is looked at.
const WATCH: Duration = Duration::from_millis(20);
/// Longest time for the bare process to come up, before any plugin is loaded.
const CONNECT_DEADLINE: Duration = Duration::from_secs(60);
/// Longest time for a process whose connection closed to be gone.
const END_GRACE: Duration = Duration::from_secs(2);

/// How to start a worker.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// The program; itself, as a rule.
    pub program: PathBuf,
    /// Environment variables on top of the host's.
    pub env: BTreeMap<String, String>,
    /// Where its output goes.
    pub log: PathBuf,
    /// Most memory it may allocate, MiB.
    pub memory_limit_mb: Option<u64>,
}

/// A worker in a process of its own.
pub struct ProcessWorker {
    process: Process,
    requests: IpcSender<Request>,
    replies: IpcReceiver<FromWorker>,
    stage: Stage,
    sampler: Sampler,
}

impl ProcessWorker {
    /// Starts a worker and waits until it takes requests.
    ///
    /// # Errors
    /// The outer error is the host's own trouble (no process can be started, no log written); the inner one is
    /// a worker that ended before it was ready.
    pub fn start(settings: &WorkerSettings) -> io::Result<Result<Self, Lost>> {
        let (server, name) = IpcOneShotServer::<FromWorker>::new()?;
        let mut process = Process::spawn(settings, &name)?;
        Ok(match process.connect(server, &name) {
            Ok((requests, replies)) => {
                let sampler = Sampler::new(process.child.id());
                Ok(Self { process, requests, replies, stage: Stage::Load, sampler })
            }
            Err(lost) => Err(lost),
        })
    }

    /// What `message` means for the call; none where it goes on.
    fn take(&mut self, message: FromWorker, step: &mut StepListener<'_>) -> Option<Reply> {
        match message {
            FromWorker::Reply(reply) => Some(self.completed(*reply)),
            FromWorker::Step(tokens) => {
                step(&tokens);
                None
            }
            FromWorker::Entered(stage) => {
                self.sampler.entered(stage);
                self.stage = stage;
                None
            }
            FromWorker::Ready(_) | FromWorker::NeverCame => None,
        }
    }

    /// With what was seen of a run from here.
    fn completed(&self, mut reply: Reply) -> Reply {
        if let Reply::Ran(result) = &mut reply {
            self.sampler.complete(&mut result.telemetry);
        }
        reply
    }

    /// The reply that a worker sent before it ended, if it did.
    fn last_reply(&mut self, step: &mut StepListener<'_>) -> Option<Reply> {
        while let Ok(message) = FromWorker::receive(&self.replies, Duration::ZERO) {
            if let Some(reply) = self.take(message, step) {
                return Some(reply);
            }
        }
        None
    }
}

impl Worker for ProcessWorker {
    fn call_streamed(
        &mut self,
        request: Request,
        deadline: Duration,
        step: &mut StepListener<'_>,
    ) -> Result<Reply, Lost> {
        let start = Instant::now();
        self.stage = request.first_stage();
        self.sampler.reset();
        if self.requests.send(request).is_err() {
            return Err(self.process.lost(self.stage));
        }
        loop {
            match FromWorker::receive(&self.replies, WATCH) {
                Ok(message) => match self.take(message, step) {
                    Some(reply) => return Ok(reply),
                    None => continue,
                },
                // A signal to the host, such as Ctrl-C, ends the wait early.
                Err(TryRecvError::IpcError(IpcError::Io(e))) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(TryRecvError::IpcError(_)) => return Err(self.process.lost(self.stage)),
                Err(TryRecvError::Empty) => {}
            }
            if interrupt::requested() {
                return Err(Lost::Interrupted);
            }
            if self.process.has_ended() {
                return self.last_reply(step).ok_or_else(|| self.process.lost(self.stage));
            }
            if start.elapsed() > deadline {
                return Err(self.process.timed_out(self.stage, deadline));
            }
            self.sampler.look();
        }
    }

    fn pid(&self) -> u32 {
        self.process.child.id()
    }
}

/// A child process and what it prints; dropped, it is ended with everything it started.
struct Process {
    child: Box<dyn ChildWrapper>,
    output: OutputLog,
    oom_kills: Option<u64>,
}

type Connection = (IpcSender<Request>, IpcReceiver<FromWorker>);

impl Process {
    fn spawn(settings: &WorkerSettings, server: &str) -> io::Result<Self> {
        let oom_kills = oom_kills();
        let log = File::create(&settings.log)?;
        let (output, input) = io::pipe()?;
        let mut command = Command::new(&settings.program);
        command.arg("worker").arg(server).envs(&settings.env);
        if let Some(limit) = settings.memory_limit_mb {
            command.arg("--memory-limit-mb").arg(limit.to_string());
        }
        command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
        let mut command = CommandWrap::from(command);
        #[cfg(unix)]
        command.wrap(process_wrap::std::ProcessGroup::leader());
        #[cfg(windows)]
        command.wrap(process_wrap::std::JobObject);
        let child = command.spawn()?;
        // The command holds the host's copy of the pipe's writing end.
        drop(command);
        Ok(Self { child, output: OutputLog::start(output, log), oom_kills })
    }

    /// Waits for the worker to introduce itself.
    fn connect(&mut self, server: IpcOneShotServer<FromWorker>, name: &str) -> Result<Connection, Lost> {
        let (done, accepted) = channel();
        std::thread::spawn(move || caught(|| server.accept()).map(|accepted| done.send(accepted)));
        let start = Instant::now();
        loop {
            match accepted.recv_timeout(WATCH) {
                Ok(Ok((replies, FromWorker::Ready(requests)))) => return Ok((requests, replies)),
                Ok(_) | Err(RecvTimeoutError::Disconnected) => return Err(self.lost(Stage::Load)),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let lost = if interrupt::requested() {
                Lost::Interrupted
            } else if self.has_ended() {
                self.lost(Stage::Load)
            } else if start.elapsed() > CONNECT_DEADLINE {
                self.timed_out(Stage::Load, CONNECT_DEADLINE)
            } else {
                continue;
            };
            // `accept` has no deadline: the host connects in the worker's place to end the wait.
            let _ = IpcSender::connect(name.to_string()).map(|sender| sender.send(FromWorker::NeverCame));
            return Err(lost);
        }
    }

    fn has_ended(&mut self) -> bool {
        self.status().is_some()
    }

    /// The exit status, once there is one. A child that was killed before it had joined its own group is waited
    /// for by itself: the wrapper around it asks for the group alone, and finds nobody.
    fn status(&mut self) -> Option<ExitStatus> {
        let of_group = self.child.try_wait().ok().flatten();
        of_group.or_else(|| self.child.inner_mut().try_wait().ok().flatten())
    }

    /// What the end of the process means for the run it held.
    fn lost(&mut self, stage: Stage) -> Lost {
        let status = self.wait_briefly();
        self.end();
        // A request to terminate may reach worker and host alike, the worker first.
        if lost::asked_to_end(status) {
            std::thread::sleep(Duration::from_millis(100));
        }
        if interrupt::requested() {
            return Lost::Interrupted;
        }
        let killed = matches!((self.oom_kills, oom_kills()), (Some(before), Some(now)) if now > before);
        Lost::Degraded(lost::degraded(stage, status, killed, &self.output.last_lines()))
    }

    fn timed_out(&mut self, stage: Stage, deadline: Duration) -> Lost {
        self.end();
        Lost::Degraded(lost::timeout(stage, deadline, &self.output.last_lines()))
    }

    /// Kills the process group and reaps it. Nothing to do for one that has ended is no error.
    fn end(&mut self) {
        let _ = self.child.start_kill();
        let _ = self.child.wait();
    }

    /// The exit status of a process whose connection has just closed.
    fn wait_briefly(&mut self) -> Option<ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < END_GRACE && !interrupt::requested() {
            if let Some(status) = self.status() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// How many processes the kernel has killed for want of memory since boot; none where it does not say.
fn oom_kills() -> Option<u64> {
    let counters = std::fs::read_to_string("/proc/vmstat").ok()?;
    counters.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}
