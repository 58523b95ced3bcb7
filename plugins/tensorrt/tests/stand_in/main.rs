//! Sessions on a stand-in driver and a stand-in TensorRT, which the tests compile: what they compute is held against an
//! oracle that knows the tokens alone, and what they count against what a decode step may cost.
//!
//! `libraries` compiles the stand-ins and runs each test in a process of its own, since a process has one driver and one
//! TensorRT; `plan` writes engines; `oracle` says what they must give.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod generation;
mod libraries;
mod memory;
mod mistakes;
mod oracle;
mod plan;
mod results;
