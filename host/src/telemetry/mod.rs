//! What a run used. [`Usage`] counts in the worker, around the timed call: CPU time, page faults, switches and the largest
//! resident set so far, as the operating system keeps them. [`Sampler`] looks at the worker from the host's process: how
//! memory, CPU and GPUs were used over the call, and over the worker's life for the run folder's series. [`Instruments`]
//! are what it reads beside the worker: what else went on on the machine, and energy.
//!
//! Counters are read as near to a run as is possible without taking part in it. What has no counter is null.

mod gpu;
mod history;
mod instruments;
mod machine;
mod package;
mod platform;
mod sampler;
mod track;
mod usage;
mod window;

pub use instruments::Instruments;
pub(crate) use machine::counter;
#[cfg(target_os = "linux")]
pub(crate) use platform::children;
pub use sampler::Sampler;
pub use track::Series;
pub use usage::Usage;
