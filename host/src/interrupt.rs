//! Ctrl-C: the first asks the host to stop after cleaning up, the second ends it at once. A worker whose host
//! has ended ends by itself.

use crate::error::exit_code;
use std::sync::atomic::{AtomicU32, Ordering};

static REQUESTS: AtomicU32 = AtomicU32::new(0);

/// Takes over Ctrl-C and the system's request to terminate.
///
/// # Errors
/// Where the system refuses.
pub fn install() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        if REQUESTS.fetch_add(1, Ordering::SeqCst) > 0 {
            std::process::exit(exit_code::INTERRUPTED);
        }
    })
}

/// Whether the user has asked the host to stop.
pub fn requested() -> bool {
    REQUESTS.load(Ordering::SeqCst) > 0
}
