//! Signals ignored, blocked or handled badly, and loops that no signal but one can end.

use inferhost_plugin_api::Error;

/// A busy loop in a thread that takes no signal.
pub(super) fn spin() -> ! {
    #[cfg(unix)]
    block_all();
    loop {
        std::hint::spin_loop();
    }
}

#[cfg(unix)]
fn block_all() {
    // SAFETY: the set is filled before it is read, and the old one is not asked for.
    unsafe {
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
    }
}

/// Every signal that can be ignored is.
#[cfg(unix)]
pub(super) fn ignore() -> Result<(), Error> {
    for signal in 1..32 {
        // SAFETY: no handler of this library's is installed; for the two that cannot be ignored the call fails.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    Ok(())
}

/// A handler after which the same instruction fails again, and again.
#[cfg(unix)]
pub(super) fn handle_segfault() -> Result<(), Error> {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler does nothing, which is async-signal-safe, and lives as long as the library.
    let before =
        unsafe { libc::signal(libc::SIGSEGV, nothing as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    if before == libc::SIG_ERR {
        return Err(super::refused("install a handler"));
    }
    super::memory::segfault()
}

/// The process stops until someone lets it go on.
#[cfg(unix)]
pub(super) fn stop() -> Result<(), Error> {
    // SAFETY: takes a value, and touches no memory.
    match unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) } {
        0 => Ok(()),
        _ => Err(super::refused("stop")),
    }
}

#[cfg(not(unix))]
pub(super) fn ignore() -> Result<(), Error> {
    super::not_here("ignore_signals")
}

#[cfg(not(unix))]
pub(super) fn handle_segfault() -> Result<(), Error> {
    super::not_here("segfault_handler")
}

#[cfg(not(unix))]
pub(super) fn stop() -> Result<(), Error> {
    super::not_here("stop")
}
