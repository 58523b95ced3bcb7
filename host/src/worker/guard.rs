//! What outlives the host: a process of its own that waits for the host to end, however it ends, and then ends what
//! the host left behind, its workers with everything they started and its temporary folder. It sleeps until then.
//! The host tells it of workers through its standard input, whose end is the host's end.

use super::descendants;
use super::scratch::{HostScratch, WorkerScratch};
use process_wrap::std::{ChildWrapper, CommandWrap};
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest time for the guard to clean up after a host that has nothing more to do.
const FAREWELL: Duration = Duration::from_secs(2);

static GUARD: Mutex<Option<Guard>> = Mutex::new(None);

/// The host's side of it, and the folder it guards.
struct Guard {
    child: Box<dyn ChildWrapper>,
    tell: Option<ChildStdin>,
    scratch: HostScratch,
}

fn guard() -> MutexGuard<'static, Option<Guard>> {
    GUARD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A worker's temporary folder, and the mark by which its descendants are known; the guard, which is `program`, is
/// started if there is none.
///
/// # Errors
/// What the system refused.
pub(super) fn scratch(program: &Path) -> io::Result<(WorkerScratch, String)> {
    let mut guard = guard();
    let ended = guard.as_mut().is_some_and(|guard| !matches!(guard.child.try_wait(), Ok(None)));
    if let (true, Some(ended)) = (ended, guard.take_if(|_| ended)) {
        descendants::forget(ended.child.id());
        *guard = Some(Guard::start(program, ended.scratch)?);
    }
    let guard = match guard.as_mut() {
        Some(guard) => guard,
        None => {
            descendants::adopt_orphans();
            guard.insert(Guard::start(program, HostScratch::new()?)?)
        }
    };
    let mark = guard.scratch.path().display().to_string();
    Ok((guard.scratch.of_worker()?, mark))
}

/// The worker `pid` was started.
pub(super) fn watch(pid: u32) {
    tell(&format!("+{pid}\n"));
}

/// The worker `pid` and all it had started are gone.
pub(super) fn release(pid: u32) {
    tell(&format!("-{pid}\n"));
}

fn tell(line: &str) {
    if let Some(tell) = guard().as_mut().and_then(|guard| guard.tell.as_mut()) {
        // One that was killed is started again with the next worker.
        let _ = tell.write_all(line.as_bytes());
    }
}

/// Ends the guard, and with it the temporary folder: called when the host has nothing more to do.
pub fn dismiss() {
    let Some(mut guard) = guard().take() else { return };
    drop(guard.tell.take());
    let start = Instant::now();
    while matches!(guard.child.try_wait(), Ok(None)) && start.elapsed() < FAREWELL {
        std::thread::sleep(Duration::from_millis(1));
    }
    // One that someone has stopped would be waited for in vain.
    let _ = guard.child.start_kill();
    let _ = guard.child.wait();
}

impl Guard {
    fn start(program: &Path, scratch: HostScratch) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg("guard").arg(scratch.path()).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null()).env_remove(descendants::MARK);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = descendants::spawn(&mut CommandWrap::from(command))
            .map_err(|e| io::Error::new(e.kind(), format!("start the guard of its workers: {e}")))?;
        let tell = child.stdin().take();
        // A guard that someone has stopped is not waited for; what it does not hear, it finds by the mark.
        #[cfg(unix)]
        if let Some(tell) = &tell {
            use nix::fcntl::{FcntlArg, OFlag, fcntl};
            fcntl(tell, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Self { child, tell, scratch })
    }
}

/// The guard's own part: waits for the host to end, and cleans up after it.
pub fn serve(scratch: &Path) {
    let mut workers = Workers::default();
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        workers.hear(&line);
    }
    workers.end();
    if scratch.exists() {
        descendants::end_marked(scratch);
        // What ends may still be writing.
        let _ = fs::remove_dir_all(scratch).or_else(|_| fs::remove_dir_all(scratch));
    }
}

#[cfg(target_os = "linux")]
use watched::Workers;

#[cfg(target_os = "linux")]
mod watched {
    use super::super::descendants::{end_all_of, start_time};
    use std::collections::BTreeMap;

    /// The living workers, with the time at which each began: its id alone may by now be another's.
    #[derive(Default)]
    pub(super) struct Workers(BTreeMap<u32, u64>);

    impl Workers {
        pub(super) fn hear(&mut self, line: &str) {
            let of = |pid: &str| pid.parse::<u32>().ok();
            if let Some(pid) = line.strip_prefix('+').and_then(of) {
                self.0.extend(start_time(pid).map(|time| (pid, time)));
            } else if let Some(pid) = line.strip_prefix('-').and_then(of) {
                self.0.remove(&pid);
            }
        }

        pub(super) fn end(self) {
            for (pid, began) in self.0 {
                if start_time(pid) == Some(began) {
                    end_all_of(pid);
                }
            }
        }
    }
}

/// Elsewhere a worker whose host has ended ends by itself.
#[cfg(not(target_os = "linux"))]
#[derive(Default)]
struct Workers;

#[cfg(not(target_os = "linux"))]
impl Workers {
    fn hear(&mut self, _: &str) {}

    fn end(self) {}
}
