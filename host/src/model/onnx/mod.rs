//! ONNX files: the messages of the format, and what can be read off a graph without a runtime.

pub mod proto;
mod summary;

pub use summary::{Summary, summarise};
