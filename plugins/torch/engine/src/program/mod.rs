//! Exported programs: what PyTorch traced (TorchScript) or compiled (AOTInductor), run by the names of their inputs and
//! outputs, which `scripts/export/torch_export.py` describes.
//!
//! [`open`] reads the file, holds it against the machine and the options, loads it and works out its [`Signature`];
//! [`ProgramSession`] lays batches out over [`lane`]s and runs them. A package does not look at what it is given: a token
//! id that it does not have ends the process, a tensor of another type is read as garbage. So [`runner`] checks all of it.

mod derive;
mod description;
mod float;
mod lane;
mod libtorch;
mod open;
mod processor;
mod runner;
mod session;
mod signature;
mod sizes;

pub(crate) use open::open;
pub(crate) use session::ProgramSession;
