//! A backend that misbehaves on request, to try a host on: it crashes, hangs, floods its log, or gives wrong
//! output, in the call and as often as its options say. Without a fault it is a complete, small plugin around a
//! fake model, and a place to start reading before writing one.
//!
//! `model` computes logits, `engine` builds what refuses shapes that it was not built for, `options` says what may be asked for, `fault` does the harm, `session` ties them
//! together behind the plugin traits.

mod engine;
mod fault;
mod model;
mod options;
mod session;

pub use session::FaultySession;

use abi_stable::library::LibHeader;
use fault::Faults;
use inferhost_plugin_api::{
    Backend, Description, Error, ModelForm, OpenRequest, Runtime, build, export_backend, parse_options,
};
use model::FakeModel;
use options::{Fault, Options, Stage};
use serde_json::Value;
use std::sync::LazyLock;

/// The backend.
pub struct Faulty;

impl Backend for Faulty {
    type Session = FaultySession;

    fn describe(options: &Value) -> Result<Description, Error> {
        let options: Options = parse_options(options)?;
        let mut faults = Faults::new(options.clone())?;
        faults.before(Stage::Describe)?;
        let version = faults.version();
        let problem = matches!(options.fault, Fault::MissingRuntime).then(|| fault::MISSING_RUNTIME.into());
        Ok(Description {
            name: "faulty".into(),
            version,
            runtime: Runtime {
                name: "fake".into(),
                version: Some(env!("CARGO_PKG_VERSION").into()),
                library: None,
                problem,
            },
            devices: vec!["cpu".into()],
            precisions: vec!["f32".into()],
            forms: vec![ModelForm::HuggingFace, ModelForm::Onnx, ModelForm::EnginePlan],
            options: options::descriptions(),
        })
    }

    fn open(request: &OpenRequest<'_>) -> Result<FaultySession, Error> {
        let mut faults = Faults::new(request.parse_options()?)?;
        if !matches!(request.form, ModelForm::HuggingFace | ModelForm::Onnx | ModelForm::EnginePlan) {
            return Err(Error::unsupported(format!(
                "faulty opens the forms hf, onnx and plan, not {}; give it a model folder",
                request.form.name()
            )));
        }
        faults.before(Stage::Open)?;
        let mut model = FakeModel::open(request.path)?;
        if request.form == ModelForm::EnginePlan {
            model.profiles = Some(engine::profiles(request.path)?);
        }
        Ok(FaultySession::new(model, faults))
    }

    fn extension(name: &str) -> Option<&'static LibHeader> {
        static BUILD: LazyLock<LibHeader> = LazyLock::new(build::header::<Faulty>);
        (name == build::NAME).then(|| &*BUILD)
    }
}

export_backend!(Faulty);
