//! What TensorRT logs: its calls tell by null or false that they failed, and here why. One log for the process, since one
//! library is loaded in it; errors are kept for [`error::from_tensorrt`](crate::error::from_tensorrt), errors and warnings
//! go to stderr, which is the worker's log, and the rest nowhere.

use std::collections::VecDeque;
use std::ffi::{CStr, c_char, c_void};
use std::io::Write as _;
use std::sync::{LazyLock, Mutex, PoisonError};
use trtx::trtx_sys;

/// Errors kept: the first say what went wrong, what follows are its consequences.
const KEPT: usize = 3;
/// TensorRT's `ILogger::Severity`: 0 internal error, 1 error, 2 warning, 3 info, 4 verbose.
const ERROR: i32 = 1;
const WARNING: i32 = 2;

static ERRORS: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// An `ILogger`, alive for as long as the process.
struct Logger(*mut c_void);

// SAFETY: the logger has no state of its own; its callback may be called from any thread.
unsafe impl Send for Logger {}
// SAFETY: as above.
unsafe impl Sync for Logger {}

/// The `ILogger*` that TensorRT is given; null where memory ran out.
pub(crate) fn logger() -> *mut c_void {
    static LOGGER: LazyLock<Logger> = LazyLock::new(|| {
        // SAFETY: the callback takes no user data, and the bridge is never destroyed.
        let bridge = unsafe { trtx_sys::create_rust_logger_bridge(on_message, std::ptr::null_mut()) };
        match bridge.is_null() {
            true => Logger(std::ptr::null_mut()),
            // SAFETY: the bridge has just been made.
            false => Logger(unsafe { trtx_sys::get_logger_interface(bridge) }),
        }
    });
    LOGGER.0
}

/// The first errors since the last call of this.
pub(crate) fn take_errors() -> Vec<String> {
    ERRORS.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
}

unsafe extern "C" fn on_message(_: *mut c_void, severity: i32, message: *const c_char) {
    if severity > WARNING || message.is_null() {
        return;
    }
    // SAFETY: TensorRT gives a C string that lives as long as the call.
    let message = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    // Not `eprintln`, which panics where stderr is closed; nothing may unwind into TensorRT.
    drop(writeln!(std::io::stderr(), "TensorRT: {message}"));
    if severity <= ERROR {
        let mut errors = ERRORS.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() < KEPT {
            errors.push_back(message.into_owned());
        }
    }
}
