//! What a run used. [`Usage`] counts in the worker, around the timed call: CPU time and the largest resident set so
//! far, as the operating system keeps them. [`Sampler`] looks at the worker from the host's process while that call
//! runs: how memory and CPU were spread over it.

mod platform;
mod sampler;
mod usage;

#[cfg(target_os = "linux")]
pub(crate) use platform::children;
pub use sampler::Sampler;
pub use usage::Usage;
