//! The inferhost plugin for PyTorch: GPT-2 and Llama-family models and exported programs on libtorch, on the CPU or on
//! CUDA.
//!
//! It comes in two libraries. This one is linked against nothing, so that it loads and answers everywhere; it finds
//! libtorch when it runs ([`library`]), checks that it is the version the other one was compiled for, loads it by
//! its path, and then the engine beside itself (`plugins/torch/engine`), which is a plugin of the same interface.

mod engine;
pub mod library;
pub mod options;
mod session;

pub use session::TorchSession;

use inferhost_plugin_api::{
    Backend, Description, Error, ModelForm, OpenRequest, Runtime, export_backend, parse_options,
};
use options::Options;
use serde_json::Value;

/// PyTorch as an inferhost backend.
pub struct Torch;

export_backend!(Torch);

impl Backend for Torch {
    type Session = TorchSession;

    fn describe(options: &Value) -> Result<Description, Error> {
        let options: Options = parse_options(options)?;
        options.check()?;
        let found = library::find(&options);
        let usable = found.as_ref().map_err(Clone::clone).and_then(|_| engine::find());
        let mut devices = vec!["cpu".into()];
        if found.as_ref().is_ok_and(library::Library::has_cuda) {
            devices.push("cuda:0".into());
        }
        Ok(Description {
            name: "torch".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            runtime: Runtime {
                name: "libtorch".into(),
                version: found.as_ref().ok().map(|library| library.version.clone()),
                library: found.as_ref().ok().map(|library| library.path.display().to_string()),
                problem: usable.err().map(|problem| problem.message),
            },
            devices,
            precisions: ["f64", "f32", "bf16", "f16", "int8", "int4"].map(String::from).to_vec(),
            forms: vec![ModelForm::HuggingFace, ModelForm::TorchScript, ModelForm::AotInductor],
            options: Options::descriptions(),
        })
    }

    fn open(request: &OpenRequest<'_>) -> Result<TorchSession, Error> {
        let options: Options = request.parse_options()?;
        options.check()?;
        let library = library::load(&options)?;
        let session = engine::load()?.open(request.path, request.form, request.options)?;
        TorchSession::new(session, &library)
    }
}
