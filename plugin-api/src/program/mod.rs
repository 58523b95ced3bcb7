//! Programs that PyTorch exported, of the forms [`TorchScript`](crate::ModelForm::TorchScript) and
//! [`AotInductor`](crate::ModelForm::AotInductor): which file of a folder is one, and what can be read off it without
//! PyTorch. One rule for the host and for every plugin that runs them.
//!
//! Both forms are ZIP files that hold what is read here uncompressed. What tells them apart is what is inside, not how
//! the file is called.

mod archive;
mod contract;
mod file;

pub use contract::{Contract, Port, Size};
pub use file::{ProgramFile, find_program, is_program_name};

/// What to do with a file that is no program.
const REMEDY: &str = "export the model with scripts/export/torch_export.py";
