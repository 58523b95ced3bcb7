//! The inferhost plugin for ONNX Runtime: any causal-LM graph, on the CPU or on CUDA.
//!
//! The runtime's library is found and loaded at run time ([`library`]), so one build of this plugin drives many
//! versions of ONNX Runtime. A graph is understood by the names that exporters use for its inputs and outputs, and by
//! what its metadata says; its `past_key_values` stay in buffers of this plugin's, and logits go straight into the
//! host's memory where the shapes allow it.

mod binding;
mod buffers;
mod cache;
mod config;
mod conventions;
mod cudart;
mod element;
mod error;
mod fixed;
mod lane;
pub mod library;
mod logprob;
mod missing;
mod open;
pub mod options;
mod placement;
mod providers;
mod runner;
mod session;
mod signature;

pub use session::OrtSession;

use inferhost_plugin_api::{
    Backend, Description, Error, ModelForm, OpenRequest, Runtime, export_backend, parse_options,
};
use options::Options;
use serde_json::Value;
use std::path::Path;

/// ONNX Runtime as an inferhost backend.
pub struct Ort;

impl Backend for Ort {
    type Session = OrtSession;

    fn describe(options: &Value) -> Result<Description, Error> {
        let options = parse_options::<Options>(options)?.checked()?;
        let found = library::probe(&options);
        let cuda = found.as_ref().is_ok_and(|library| has_cuda(&library.path));
        let devices: &[&str] = if cuda { &["cpu", "cuda:0"] } else { &["cpu"] };
        let runtime = match found {
            Ok(library) => Runtime {
                name: "ONNX Runtime".into(),
                version: Some(library.version),
                library: Some(library.path.display().to_string()),
                problem: None,
            },
            Err(problem) => Runtime {
                name: "ONNX Runtime".into(),
                version: None,
                library: library::chosen(&options).map(|path| path.display().to_string()),
                problem: Some(problem.message),
            },
        };
        Ok(Description {
            name: "ort".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            runtime,
            devices: devices.iter().map(ToString::to_string).collect(),
            precisions: ["f32", "f16", "bf16", "int8", "int4"].map(String::from).to_vec(),
            forms: vec![ModelForm::Onnx],
            options: Options::descriptions(),
        })
    }

    fn open(request: &OpenRequest<'_>) -> Result<OrtSession, Error> {
        open::open(request)
    }
}

/// Whether the library has its CUDA provider beside it.
fn has_cuda(library: &Path) -> bool {
    let provider =
        format!("{}onnxruntime_providers_cuda{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    library.with_file_name(provider).is_file()
}

export_backend!(Ort);
