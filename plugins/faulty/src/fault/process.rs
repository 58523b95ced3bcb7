//! What is done to the process and left behind by it: children, threads, files, handlers.

use inferhost_plugin_api::Error;
use std::thread;

/// Busy threads that are left behind.
const THREADS: usize = 2;

pub(super) fn hang() -> ! {
    loop {
        thread::park();
    }
}

/// Closing the session ends the process.
pub(crate) fn exit_in_drop(code: Option<i32>) {
    if let Some(code) = code {
        std::process::exit(code);
    }
}

/// A thread whose last act fails.
pub(super) fn fail_at_thread_end() {
    struct Fails;
    impl Drop for Fails {
        fn drop(&mut self) {
            panic!("as fault = thread_destructor asks");
        }
    }
    thread_local!(static FAILS: Fails = const { Fails });
    let ended = thread::spawn(|| FAILS.with(|_| ())).join();
    // A thread that could be joined did not fail.
    drop(ended);
}

pub(super) fn leave_threads() {
    for _ in 0..THREADS {
        thread::spawn(super::signals::spin);
    }
}

/// Files in the temporary folder, which whoever made them should have removed.
pub(super) fn leave_files() -> Result<(), Error> {
    let folder = std::env::temp_dir().join(format!("faulty-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("deep/er"))
        .and_then(|()| std::fs::write(folder.join("deep/er/file"), [7; 100_000]))
        .map_err(|e| Error::internal(format!("cannot leave files in {}: {e}", folder.display())))
}

#[cfg(unix)]
pub(super) use on_unix::{change_surroundings, fork_twin, hang_at_exit, leave_child, leave_daemon};

#[cfg(unix)]
mod on_unix {
    use super::super::refused;
    use inferhost_plugin_api::Error;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Processes that one process makes at most, whatever its options: calls are repeated, by its copies as well.
    const MOST_PROCESSES: u32 = 16;

    /// Counted before a fork, so that the child goes on from its parent's count.
    static FORKS: AtomicU32 = AtomicU32::new(0);

    fn may_fork(most: u32) -> bool {
        FORKS.fetch_add(1, Ordering::Relaxed) < most
    }

    /// A child in this process's group that holds all it has open.
    pub(in crate::fault) fn leave_child() -> Result<(), Error> {
        if !may_fork(MOST_PROCESSES) {
            return Ok(());
        }
        // SAFETY: the child of a process with threads may make async-signal-safe calls alone, which `wait_for_ever`
        // does.
        match unsafe { libc::fork() } {
            -1 => Err(refused("fork")),
            0 => wait_for_ever(),
            _ => Ok(()),
        }
    }

    /// A child that goes on like its parent: both return from the call. Once in a worker: the copies of copies would
    /// soon be all there is room for.
    pub(in crate::fault) fn fork_twin() -> Result<(), Error> {
        if !may_fork(1) {
            return Ok(());
        }
        // SAFETY: what the child does next is not async-signal-safe, and that is the point. It has memory of its own.
        if unsafe { libc::fork() } < 0 { Err(refused("fork")) } else { Ok(()) }
    }

    /// A process in a session of its own, whose parent is gone.
    pub(in crate::fault) fn leave_daemon() -> Result<(), Error> {
        if !may_fork(MOST_PROCESSES) {
            return Ok(());
        }
        // SAFETY: as in `leave_child`; `setsid`, `fork` and `_exit` are async-signal-safe, too.
        let child = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::setsid();
                if libc::fork() == 0 {
                    wait_for_ever();
                }
                libc::_exit(0);
            }
            child
        };
        if child == -1 {
            return Err(refused("fork"));
        }
        // SAFETY: waits for the child made above, and wants no status.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        Ok(())
    }

    fn wait_for_ever() -> ! {
        loop {
            // SAFETY: touches no memory.
            unsafe { libc::pause() };
        }
    }

    extern "C" fn never_ends() {
        wait_for_ever();
    }

    /// Exits, and an exit handler does not return.
    pub(in crate::fault) fn hang_at_exit(code: i32) -> Result<(), Error> {
        // SAFETY: a function of the right type that lives as long as the library, which is never unloaded.
        if unsafe { libc::atexit(never_ends) } != 0 {
            return Err(refused("register an exit handler"));
        }
        std::process::exit(code)
    }

    /// The working folder, the file mask, the environment, what the system does when the parent dies, who takes in
    /// orphans, how many files may be open and how large they may be.
    pub(in crate::fault) fn change_surroundings() -> Result<(), Error> {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `environ` is emptied while other threads of a worker do not read it; the rest takes values and
        // pointers to what outlives the call.
        unsafe {
            libc::chdir(c"/".as_ptr());
            libc::umask(0o777);
            for name in [c"TMPDIR", c"HOME", c"PATH", c"INFERHOST_SCRATCH"] {
                libc::unsetenv(name.as_ptr());
            }
            libc::setrlimit(libc::RLIMIT_NOFILE, &none);
            libc::setrlimit(libc::RLIMIT_FSIZE, &none);
            #[cfg(target_os = "linux")]
            {
                libc::prctl(libc::PR_SET_PDEATHSIG, 0);
                libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 0);
            }
        }
        Ok(())
    }
}

#[cfg(not(unix))]
pub(super) use elsewhere::{change_surroundings, fork_twin, hang_at_exit, leave_child, leave_daemon};

#[cfg(not(unix))]
mod elsewhere {
    use super::super::not_here;
    use inferhost_plugin_api::Error;

    pub(in crate::fault) fn leave_child() -> Result<(), Error> {
        not_here("children")
    }

    pub(in crate::fault) fn leave_daemon() -> Result<(), Error> {
        not_here("daemons")
    }

    pub(in crate::fault) fn fork_twin() -> Result<(), Error> {
        not_here("twin")
    }

    pub(in crate::fault) fn hang_at_exit(_: i32) -> Result<(), Error> {
        not_here("exit_handler")
    }

    pub(in crate::fault) fn change_surroundings() -> Result<(), Error> {
        not_here("surroundings")
    }
}
