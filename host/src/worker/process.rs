//! The host's side of a worker process: start it, talk to it, watch it, end it with everything it started.

use super::connection::{Connection, Heard};
use super::output_log::{self, OutputLog};
use super::protocol::{FromWorker, Reply, Request, Sent};
use super::scratch::WorkerScratch;
use super::settings::WorkerSettings;
use super::{Listener, Lost, Told, Worker, descendants, guard, lost};
use crate::interrupt;
use crate::platform::caught;
use crate::record::Stage;
use crate::telemetry::Sampler;
use ipc_channel::ipc::{IpcOneShotServer, IpcReceiver, IpcSender};
use process_wrap::std::{ChildWrapper, CommandWrap};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How often a silent worker is looked at.
pub(super) const WATCH: Duration = Duration::from_millis(50);
/// Longest time for a message of a worker that has ended to be heard: children of its may hold the channel open.
const LAST_REPLY: Duration = Duration::from_millis(20);
/// Longest time for the bare process to come up, before any plugin is loaded.
const CONNECT_DEADLINE: Duration = Duration::from_secs(60);
/// Longest time for a process whose connection closed to end by itself; how one ended that was ending is known anyway.
const END_GRACE: Duration = Duration::from_millis(10);
/// Longest time for a process that was killed to be gone: one that waits in the kernel may take for ever.
const KILL_GRACE: Duration = Duration::from_secs(5);
/// Longest time between a request to terminate that reaches the worker and the one that reaches the host.
const INTERRUPT_GRACE: Duration = Duration::from_millis(50);

/// A worker in a process of its own.
pub struct ProcessWorker {
    process: Process,
    connection: Connection,
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
        let (server, name) = IpcOneShotServer::<Sent>::new()?;
        let mut args: Vec<OsString> = vec!["worker".into(), name.clone().into()];
        if let Some(limit) = settings.memory_limit_mb {
            args.extend(["--memory-limit-mb".into(), limit.to_string().into()]);
        }
        let mut process = Process::spawn(&settings.program, &args, &settings.env, &settings.log)?;
        Ok(match process.connect(server, &name)? {
            Ok((requests, replies)) => {
                let pid = process.child.id();
                let connection = Connection::new(requests, replies, pid)?;
                let sampler = Sampler::new(pid, Arc::clone(&settings.instruments), settings.series.clone());
                Ok(Self { process, connection, stage: Stage::Load, sampler })
            }
            Err(lost) => Err(lost),
        })
    }

    /// What `message` means for the call; none where it goes on.
    fn take(&mut self, message: FromWorker, listener: &mut Listener<'_>) -> Option<Reply> {
        match message {
            FromWorker::Reply(reply) => Some(self.completed(*reply)),
            FromWorker::Step(tokens) => {
                listener(Told::Step(&tokens));
                None
            }
            FromWorker::Building { phase, done, total } => {
                listener(Told::Building(&phase, done, total));
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
    fn completed(&mut self, mut reply: Reply) -> Reply {
        self.sampler.answered();
        if let Reply::Ran(result) = &mut reply {
            self.sampler.complete(Duration::from_nanos(result.latency_ns), &mut result.telemetry);
        }
        reply
    }

    /// The reply that a worker sent before it ended, if it did.
    fn last_reply(&mut self, listener: &mut Listener<'_>) -> Option<Reply> {
        while let Heard::Message(message) = self.connection.hear(LAST_REPLY) {
            if let Some(reply) = self.take(message, listener) {
                return Some(reply);
            }
        }
        None
    }
}

impl Worker for ProcessWorker {
    fn call_heard(
        &mut self,
        request: Request,
        deadline: Duration,
        listener: &mut Listener<'_>,
    ) -> Result<Reply, Lost> {
        let start = Instant::now();
        self.stage = request.first_stage();
        self.sampler.begin(self.stage);
        self.connection.send(request);
        loop {
            match self.connection.hear(WATCH) {
                Heard::Message(message) => {
                    if let Some(reply) = self.take(message, listener) {
                        return Ok(reply);
                    }
                }
                Heard::Closed => return Err(self.process.lost(self.stage)),
                Heard::Nothing => {}
            }
            if interrupt::requested() {
                return Err(Lost::Interrupted);
            }
            if self.process.has_ended() {
                return self.last_reply(listener).ok_or_else(|| self.process.lost(self.stage));
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
pub(super) struct Process {
    child: Box<dyn ChildWrapper>,
    status: Option<ExitStatus>,
    output: OutputLog,
    oom_kills: Option<u64>,
    /// Removed after the process has ended.
    _scratch: WorkerScratch,
}

type Ends = (IpcSender<Request>, IpcReceiver<Sent>);

impl Process {
    pub(super) fn spawn(
        program: &Path,
        args: &[OsString],
        env: &BTreeMap<String, String>,
        log: &Path,
    ) -> io::Result<Self> {
        let oom_kills = lost::oom_kills();
        let log = output_log::create(log)?;
        let (scratch, mark) = guard::scratch(program)?;
        let (output, input) = io::pipe()?;
        let mut command = Command::new(program);
        command.args(args).envs(scratch.env()).envs(env);
        command.env(descendants::MARK, mark);
        command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut command = CommandWrap::from(command);
        #[cfg(windows)]
        command.wrap(process_wrap::std::JobObject);
        // Before there is a process, which nothing would end if there were no thread.
        let output = OutputLog::start(output, log)?;
        let child = descendants::spawn(&mut command)?;
        guard::watch(child.id());
        // The command holds the host's copy of the pipe's writing end.
        drop(command);
        Ok(Self { child, status: None, output, oom_kills, _scratch: scratch })
    }

    /// Waits for the worker to introduce itself.
    ///
    /// # Errors
    /// Where the system has no thread to wait in.
    fn connect(&mut self, server: IpcOneShotServer<Sent>, name: &str) -> io::Result<Result<Ends, Lost>> {
        let (done, accepted) = channel();
        let accept = move || caught(|| server.accept()).map(|accepted| done.send(accepted));
        std::thread::Builder::new().spawn(accept)?;
        let start = Instant::now();
        loop {
            match accepted.recv_timeout(WATCH) {
                Ok(Ok((replies, Sent { message: FromWorker::Ready(requests), .. }))) => {
                    return Ok(Ok((requests, replies)));
                }
                Ok(_) | Err(RecvTimeoutError::Disconnected) => return Ok(Err(self.lost(Stage::Load))),
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
            let _ = IpcSender::connect(name.to_string())
                .map(|sender| sender.send(Sent::new(FromWorker::NeverCame)));
            return Ok(Err(lost));
        }
    }

    fn has_ended(&mut self) -> bool {
        self.status().is_some()
    }

    /// The exit status, once there is one.
    fn status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// None where a signal ended it.
    pub(super) fn exit_code(&mut self) -> Option<i32> {
        self.status()?.code()
    }

    pub(super) fn last_lines(&self) -> String {
        self.output.last_lines()
    }

    /// What the end of the process means for the run it held.
    pub(super) fn lost(&mut self, stage: Stage) -> Lost {
        let by_itself = self.wait_for_end(END_GRACE).is_some();
        self.end();
        // One that was ending already is not the worse for having been killed.
        let status = self.status.filter(|&status| by_itself || !lost::was_killed(status));
        // A request to terminate may reach worker and host alike, the worker first.
        if lost::asked_to_end(status) {
            let start = Instant::now();
            while start.elapsed() < INTERRUPT_GRACE && !interrupt::requested() {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        if interrupt::requested() {
            return Lost::Interrupted;
        }
        let killed = matches!((self.oom_kills, lost::oom_kills()), (Some(before), Some(now)) if now > before);
        Lost::Degraded(lost::degraded(stage, status, killed, &self.output.last_lines()))
    }

    pub(super) fn timed_out(&mut self, stage: Stage, deadline: Duration) -> Lost {
        self.end();
        Lost::Degraded(lost::timeout(stage, deadline, &self.output.last_lines()))
    }

    /// Kills the process with all it started and reaps it. Nothing to do for one that has ended is no error.
    fn end(&mut self) {
        let pid = self.child.id();
        // Where nobody takes orphans in, the rest of its group outlives it.
        if self.status().is_none() || !cfg!(target_os = "linux") {
            descendants::end_all_of(pid);
            let _ = self.child.start_kill();
            self.wait_for_end(KILL_GRACE);
        }
        descendants::forget(pid);
        descendants::end_orphans();
        guard::release(pid);
    }

    /// The exit status, waited for `grace` at most.
    pub(super) fn wait_for_end(&mut self, grace: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            let status = self.status();
            if status.is_some() || start.elapsed() >= grace {
                return status;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
