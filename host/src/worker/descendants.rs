//! The processes that a plugin starts, and ending them: also those that left the worker's process group, or whose
//! parent is gone. On Linux a worker takes in the orphans among its descendants and the host those of workers that
//! have ended (`PR_SET_CHILD_SUBREAPER`), so that none is ever out of reach. Elsewhere a worker's own process group,
//! or on Windows its job object, is all that can be ended.

use process_wrap::std::{ChildWrapper, CommandWrap};
use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Says in the environment of a worker, and so of all it starts, which host's they are.
pub(super) const MARK: &str = "INFERHOST_SCRATCH";

/// Children of this process that it started itself; all others are orphans of its workers.
static KNOWN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn known() -> MutexGuard<'static, BTreeSet<u32>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a child that is not to be taken for an orphan.
///
/// # Errors
/// What the system refused.
pub(super) fn spawn(command: &mut CommandWrap) -> io::Result<Box<dyn ChildWrapper>> {
    // Held until the child is known: another thread may be looking for orphans.
    let mut known = known();
    let child = command.spawn()?;
    known.insert(child.id());
    Ok(child)
}

/// The child is no more.
pub(super) fn forget(pid: u32) {
    known().remove(&pid);
}

#[cfg(target_os = "linux")]
pub(super) use platform::start_time;
pub(super) use platform::{adopt_orphans, end_all_of, end_below, end_marked, end_orphans, is_gone};

#[cfg(target_os = "linux")]
mod platform {
    use super::{MARK, known};
    use crate::telemetry::children;
    use nix::sys::signal::{Signal, kill, killpg};
    use nix::sys::wait::{WaitPidFlag, waitpid};
    use nix::unistd::Pid;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, Instant};

    /// A tree that still grows after so many looks at it is killed as far as it was seen.
    const MOST_LOOKS: usize = 100;
    /// Longest time for orphans that were killed to be gone.
    const GRACE: Duration = Duration::from_secs(1);

    /// Descendants whose parent ends become children of this process. Those it has by now are not a worker's: they came
    /// with it, as where a shell has become this program.
    pub(in crate::worker) fn adopt_orphans() {
        let own = std::process::id();
        known().extend(children(own));
        // Kernels since 3.4 know it; without it, descendants that left their group stay out of reach.
        let _ = nix::sys::prctl::set_child_subreaper(true);
    }

    /// Kills the process `pid`, which this process has not reaped, and its descendants.
    pub(in crate::worker) fn end_all_of(pid: u32) {
        kill_trees(&|| vec![pid]);
        // What a kernel that lists no children did not show.
        let _ = killpg(id(pid), Signal::SIGKILL);
    }

    /// Kills the descendants of the process `pid`, and leaves it alone.
    pub(in crate::worker) fn end_below(pid: u32) {
        kill_trees(&|| children(pid));
    }

    /// Kills and reaps the orphans of workers that have ended.
    pub(in crate::worker) fn end_orphans() {
        let start = Instant::now();
        loop {
            let known = known();
            let found = orphans(&known);
            kill_trees(&|| orphans(&known));
            drop(known);
            for &pid in &found {
                let _ = waitpid(id(pid), Some(WaitPidFlag::WNOHANG));
            }
            if found.is_empty() || start.elapsed() > GRACE {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills the processes that bear the mark of the host whose scratch folder is `scratch`.
    pub(in crate::worker) fn end_marked(scratch: &Path) {
        let own = std::process::id();
        let all = || fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = || all().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        kill_trees(&|| pids().filter(|&pid| pid != own && is_marked(pid, scratch)).collect());
    }

    /// Whether there is no such process.
    pub(in crate::worker) fn is_gone(pid: u32) -> bool {
        !Path::new(&format!("/proc/{pid}")).exists()
    }

    /// When the process began, in ticks since boot: with its id, this names it for good.
    pub(in crate::worker) fn start_time(pid: u32) -> Option<u64> {
        stat(pid, 19)?.parse().ok()
    }

    /// First stops them, again and again until no new one turns up, for a process that runs may start others.
    fn kill_trees(roots: &dyn Fn() -> Vec<u32>) {
        let mut stopped = BTreeSet::new();
        for _ in 0..MOST_LOOKS {
            let fresh: Vec<u32> = trees(roots()).into_iter().filter(|pid| !stopped.contains(pid)).collect();
            if fresh.is_empty() {
                break;
            }
            send(&fresh, Signal::SIGSTOP);
            stopped.extend(fresh);
        }
        send(&stopped, Signal::SIGKILL);
    }

    fn send<'a>(pids: impl IntoIterator<Item = &'a u32>, signal: Signal) {
        for &pid in pids {
            // One that has just ended is what is wanted.
            let _ = kill(id(pid), signal);
        }
    }

    fn trees(mut waiting: Vec<u32>) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        while let Some(pid) = waiting.pop() {
            if found.insert(pid) {
                waiting.extend(children(pid));
            }
        }
        found
    }

    fn orphans(known: &BTreeSet<u32>) -> Vec<u32> {
        let own = std::process::id();
        let foreign = |&pid: &u32| !known.contains(&pid) && is_foreign(pid, own);
        children(own).into_iter().filter(foreign).collect()
    }

    /// Whether a child of `host` came from a worker: those that the host starts stay in its own process group. The first
    /// process of a container is given everyone's orphans: there the mark alone tells.
    fn is_foreign(pid: u32, host: u32) -> bool {
        let marked = || fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| mark(&env).is_some());
        (host != 1 && stat(pid, 2) != stat(host, 2)) || marked()
    }

    fn is_marked(pid: u32, scratch: &Path) -> bool {
        use std::os::unix::ffi::OsStrExt;
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        mark(&environ) == Some(scratch.as_os_str().as_bytes())
    }

    fn mark(environ: &[u8]) -> Option<&[u8]> {
        environ
            .split(|&byte| byte == 0)
            .find_map(|entry| entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))
    }

    /// A field of the process's `stat`, counted from the one after its name.
    fn stat(pid: u32, field: usize) -> Option<String> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        fields.split(' ').nth(field).map(str::to_string)
    }

    fn id(pid: u32) -> Pid {
        // An id that is none is a process that is not there.
        Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX))
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::path::Path;

    pub(in crate::worker) fn adopt_orphans() {}

    #[cfg(unix)]
    pub(in crate::worker) fn end_all_of(pid: u32) {
        use nix::sys::signal::{Signal, killpg};
        let group = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX));
        let _ = killpg(group, Signal::SIGKILL);
    }

    /// The job object ends them.
    #[cfg(not(unix))]
    pub(in crate::worker) fn end_all_of(_: u32) {}

    pub(in crate::worker) fn end_below(_: u32) {}

    pub(in crate::worker) fn end_orphans() {}

    pub(in crate::worker) fn end_marked(_: &Path) {}

    /// Not known.
    pub(in crate::worker) fn is_gone(_: u32) -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_ended_with_all_below_it() {
        let mut command = Command::new("sh");
        // One in a session of its own, one in the shell's group; both are there once the line has been read.
        command.args(["-c", "setsid sleep 1000 & sleep 1000 & echo; wait"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = [0];
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let below = crate::telemetry::children(child.id());
        assert_eq!(below.len(), 2);
        end_all_of(child.id());
        assert!(!child.wait().unwrap().success());
        // Their standard output is at its end when all three are gone.
        io::copy(child.stdout.as_mut().unwrap(), &mut io::sink()).unwrap();
    }

    #[test]
    fn a_mark_is_that_of_one_host() {
        let folder = tempfile::tempdir().unwrap();
        let sleeping =
            |mark: &std::path::Path| Command::new("sleep").arg("1000").env(MARK, mark).spawn().unwrap();
        let (mut ours, mut other) = (sleeping(folder.path()), sleeping(&folder.path().join("other")));
        assert!(start_time(ours.id()).is_some());
        // A process that has only just begun to be `sleep` shows no environment yet.
        let begun = std::time::Instant::now();
        while ours.try_wait().unwrap().is_none() {
            assert!(begun.elapsed().as_secs() < 60, "still there");
            end_marked(folder.path());
            std::thread::yield_now();
        }
        assert!(!ours.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
