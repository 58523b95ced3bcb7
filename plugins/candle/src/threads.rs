//! The threads a session computes on: a pool of its own.

use inferhost_plugin_api::Error;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::num::NonZero;
use std::thread::available_parallelism;

/// More is a mistake of the caller's.
const MOST_THREADS: u32 = 1024;

/// Refuses a count that is 0 or absurd.
///
/// # Errors
/// `InvalidInput` naming it.
pub(crate) fn check(asked: Option<u32>) -> Result<(), Error> {
    match asked.filter(|count| !(1..=MOST_THREADS).contains(count)) {
        None => Ok(()),
        Some(count) => {
            Err(Error::invalid(format!("bad options: threads is {count}, expected 1 to {MOST_THREADS}")))
        }
    }
}

/// `asked` threads; where none are asked for, as many as this process may use, after affinity and quotas.
///
/// # Errors
/// As [`check`], and what the system refused.
pub(crate) fn pool(asked: Option<u32>) -> Result<ThreadPool, Error> {
    check(asked)?;
    let available = || available_parallelism().map_or(1, NonZero::get);
    let count = asked.map_or_else(available, |count| count as usize);
    ThreadPoolBuilder::new()
        .num_threads(count)
        .thread_name(|index| format!("candle-{index}"))
        .build()
        .map_err(|e| Error::internal(format!("no pool of {count} threads: {e}")))
}
