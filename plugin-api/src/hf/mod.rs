//! Hugging Face model folders, for plugins that compute the layers themselves: `config.json` as a [`Config`] with
//! transformers' defaults, and the tensors of the safetensors files, as stored, from [`TensorFiles`].
//!
//! Nothing here knows a runtime. A plugin turns the config into its layers, names each tensor and the shape that the
//! config gives it, and reads the bytes into memory of its own.

mod config;
mod gpt2;
mod keys;
mod llama;
mod rope;
mod tensors;

pub use config::{Activation, Config, Heads};
pub use gpt2::Gpt2Config;
pub use llama::LlamaConfig;
pub use rope::Rope;
pub use tensors::{Stored, StoredType, TensorFiles};
