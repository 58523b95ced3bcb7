//! Where a model comes from: a spec string becomes a folder on disk whose weights, config and parameter count
//! have been checked.
//!
//! [`resolve`] is the way in. A [`ModelSource`] says what the spec means; `hub` and [`synthetic`] bring a folder
//! into being where there is none yet; [`Weights`] and [`onnx`] read what lies there; [`ResolvedModel`] is what
//! the next stage, [`prepare`](crate::prepare), takes.

pub mod cache;
mod config;
mod engine;
mod error;
mod facts;
pub(crate) mod file_digest;
mod genai;
mod hub;
pub mod onnx;
mod program;
mod resolve;
mod source;
pub mod synthetic;
mod tensors;
mod tokenizer;
mod weights;

pub use config::{Activation, Architecture, Gpt2Config, LlamaConfig, ModelConfig, Rope};
pub use error::ModelError;
pub use facts::{context_length, engine_profiles, known_config};
pub use hub::Hub;
pub use resolve::{ModelKind, ResolvedModel, check_claim, resolve};
pub use source::ModelSource;
pub use tensors::TensorSpec;
#[cfg(test)]
pub(crate) use tensors::parameters;
pub use tokenizer::{Tokenizer, TokenizerFiles};
pub use weights::Weights;

/// Whether `text` names a file or folder in the folder at hand, on every system, and not another place.
pub(crate) fn is_file_name(text: &str) -> bool {
    let same = std::path::Path::new(text).file_name().is_some_and(|name| name == text);
    same && !text.contains(['/', '\\', ':', '\0'])
}

/// Reference models and texts lie beside the checkout, on some machines.
#[cfg(test)]
pub(crate) fn shared(path: &str) -> Option<std::path::PathBuf> {
    use std::io::Write;
    let checkout = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let found =
        checkout.ancestors().map(|folder| folder.join("shared").join(path)).find(|path| path.exists());
    if found.is_none() {
        // On the terminal itself: the test harness swallows what a passing test prints.
        let _ = std::io::stderr()
            .write_all(format!("skipped: no shared/{path} beside the checkout\n").as_bytes());
    }
    found
}
