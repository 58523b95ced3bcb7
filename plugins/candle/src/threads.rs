//! The threads a session computes on: a pool of its own.

use inferhost_plugin_api::Error;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::num::NonZero;
use std::thread::available_parallelism;

/// More is a mistake of the caller's.
const MOST_THREADS: u32 = 1024;

/// `asked` threads; where none are asked for, as many as this process may use, after affinity and quotas.
///
/// # Errors
/// `InvalidInput` for a count that is 0 or absurd.
pub(crate) fn pool(asked: Option<u32>) -> Result<ThreadPool, Error> {
    if let Some(count) = asked.filter(|count| !(1..=MOST_THREADS).contains(count)) {
        return Err(Error::invalid(format!("bad options: threads is {count}, expected 1 to {MOST_THREADS}")));
    }
    let available = || available_parallelism().map_or(1, NonZero::get);
    let count = asked.map_or_else(available, |count| count as usize);
    ThreadPoolBuilder::new()
        .num_threads(count)
        .thread_name(|index| format!("candle-{index}"))
        .build()
        .map_err(|e| Error::internal(format!("no pool of {count} threads: {e}")))
}
