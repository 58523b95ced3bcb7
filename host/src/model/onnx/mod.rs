//! ONNX files: the messages of the format, and what can be read off a graph without a runtime.

pub mod proto;
mod inspect;
mod summary;

pub use inspect::{Coverage, Inspection, inspect};
pub use summary::{Summary, summarise};
