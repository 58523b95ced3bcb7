//! ONNX files: the messages of the format, and what can be read off a graph without a runtime.

mod inspect;
pub mod proto;
mod summary;

pub use inspect::{Coverage, Inspection, inspect};
pub use summary::{Summary, summarise};
