//! Exported programs: TorchScript files of `tests/torch`, AOTInductor packages made on the spot, and files that are
//! neither.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test's helpers may do what a test may")]

mod mistakes;
mod packages;
mod scripts;
mod support;
