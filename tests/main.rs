//! The real program, driven from outside. One binary, by what is shown:
//!
//! - `pipeline`: a mixed-backend matrix from config to report; one-off calls against known answers
//! - `accuracy`: backends held against a baseline on the same tokens, and what fails the gate
//! - `faults`: every way a plugin can misbehave, and what its runs are recorded as
//! - `prepare`: artifacts of every precision against their models; the artifact cache
//! - `resume`: workers and hosts killed at random moments, Ctrl-C, two hosts on one folder
//! - `merge`: a plan run in shards and put together; run folders that do not belong together
//! - `import`: results of other programs as records beside ours
//! - `mistakes`: what a user can get wrong, and the one line that says so
//! - `compare`: planted regressions found in run folders, and noise not taken for one
//! - `configs`: every config in the repository
//! - `engines`: engines that a plugin builds for a matrix, and shapes that none of their profiles runs
//! - `gpu_scripts`: what carries a benchmark to a machine with a GPU and brings its results back
//! - `runtimes`: wheels that are not what they should be, and what scripts/runtimes.sh makes of them
//! - `versions`: two versions of ONNX Runtime in one matrix, and what `compare` says of them
//! - `cuda`: ONNX Runtime asked for a GPU where something of it is missing; its real CUDA provider over a stand-in for CUDA
//! - `dependencies`: every crate's licence and source against `deny.toml`
//! - `tensorrt`: two versions of TensorRT in a matrix, and what is said where no GPU is
//! - `torch`: libtorch beside other runtimes, and without the memory it needs
//! - `telemetry`: what runs used, seen from outside while they run
//! - `validity`: when runs are enough and figures count; a matrix run again from its folder
//! - `hostile`: files, folders, names and messages changed by chance; strings that would be markup or commands
//! - `page`: `report.html`, in a real browser where there is one (`browser`)
//! - `doctor`: what is wrong with a machine and its plugins, told where nothing works
//! - `trust`: plugins that anyone may change, that are not the pinned one, that are replaced while they run
//! - `growth`: the host's memory, which does not depend on the number of runs
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy exempts test functions only, not what they call"
)]

mod accuracy;
mod browser;
mod compare;
mod configs;
#[cfg(target_os = "linux")]
mod cuda;
mod dependencies;
mod doctor;
mod engines;
mod faults;
#[cfg(unix)]
mod gpu_scripts;
mod growth;
mod hostile;
mod import;
mod merge;
mod mistakes;
mod page;
mod pipeline;
mod prepare;
mod resume;
#[cfg(unix)]
mod runtimes;
mod support;
mod telemetry;
mod tensorrt;
mod torch;
mod trust;
mod validity;
mod versions;
