//! The extension `build/1`: a plugin that turns a model into what its runtime loads, an engine plan.
//!
//! A plugin implements [`Build`] beside [`Backend`] and hands out the [`header`] from
//! [`Backend::extension`] under [`NAME`]. The host asks for the [`BuildIdentity`] first: with the graph, the precision
//! and the profiles it is the key of the artifact cache. Building runs in a worker, as everything else of a plugin. What it
//! is built from is a folder of the form `onnx`: a graph of ai.onnx's own operators alone, with the ports that exporters give
//! a decoder with past, and `config.json`. The folder that comes out is opened under the form
//! [`plan`](crate::ModelForm::EnginePlan): the host adds the [`REPORT`], the graph's `config.json` and a description of
//! its own.
//!
//! ```ignore
//! fn extension(name: &str) -> Option<&'static LibHeader> {
//!     static BUILD: LazyLock<LibHeader> = LazyLock::new(build::header::<MyBackend>);
//!     (name == build::NAME).then(|| &*BUILD)
//! }
//! ```

pub mod module;

pub use module::header;

use crate::abi::RawResult;
use crate::export::from_json;
use crate::shapes::Profile;
use crate::{Backend, Error, ModelForm, Plugin};
use abi_stable::erased_types::TD_Opaque;
use module::{BuildModule_Ref, BuildProgressRef, RawBuildRequest, RawProgress, RawProgress_TO};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The extension's name.
pub const NAME: &str = "build/1";
/// The engine in its folder, by which a folder is known to hold one.
pub const ENGINE: &str = "engine.plan";
/// The [`BuildReport`] beside it.
pub const REPORT: &str = "engine.json";

/// A backend that builds what it opens.
pub trait Build: Backend {
    /// What, beside the model, the precision and the profiles, decides what comes out.
    ///
    /// # Errors
    /// [`RuntimeMissing`](crate::ErrorKind::RuntimeMissing) where it cannot build here.
    fn identity(options: &Value) -> Result<BuildIdentity, Error>;

    /// Builds from the graph at `request.source` into the empty folder `request.folder`: [`ENGINE`], and files that belong
    /// to it, but no folders. A runtime that runs any shape gives the profiles back that it was asked for.
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind).
    fn build(request: &BuildRequest<'_>, progress: &mut dyn Progress) -> Result<BuildReport, Error>;
}

/// Is told how far a build is.
pub trait Progress {
    /// `done` of `total` steps of `phase`; false asks the plugin to give up.
    fn report(&mut self, phase: &str, done: u32, total: u32) -> bool;
}

/// What to build.
#[derive(Debug, Clone, Copy)]
pub struct BuildRequest<'a> {
    /// A file or folder.
    pub source: &'a Path,
    /// What lies there.
    pub form: ModelForm,
    /// Where the artifact goes.
    pub folder: &'a Path,
    /// What it is to be.
    pub spec: &'a BuildSpec,
    /// A JSON object, as for [`Backend::open`].
    pub options: &'a Value,
}

/// What an artifact is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSpec {
    /// What the graph's weights and products are said to be in: `fp32`, `fp16`, `bf16`, `int8-qdq`, `fp8-qdq`.
    pub precision: String,
    /// The shapes that it must run.
    pub profiles: Vec<Profile>,
}

/// What of the machine, the libraries, the plugin and the options decides the content of an artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildIdentity {
    /// The runtime with its version: `TensorRT 11.4.0`. Not empty.
    pub runtime: String,
    /// The device with what kernels depend on: `NVIDIA H200, sm_90`. Not empty.
    pub device: String,
    /// The options that matter, as `builder_level = 3`, and the revision of the plugin's own way to build.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// What came out of a build.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildReport {
    /// As asked.
    pub precision: String,
    /// The profiles of the engine, in its own order.
    pub profiles: Vec<Profile>,
    /// See [`BuildIdentity`].
    pub identity: BuildIdentity,
    /// Layers by what they compute in: `fp32`, `fp16`, `bf16`, `int8`, `fp8`, `int4`, `fp4`; under `other` those that compute
    /// nothing of the kind. Empty where the runtime does not tell. Where it does, an engine that claims a precision in which
    /// no layer computes is refused.
    pub layers: BTreeMap<String, u32>,
    /// Wall time of the build.
    pub build_seconds: f64,
    /// Whatever else a reader should know.
    pub details: BTreeMap<String, String>,
}

/// The builder of a loaded plugin.
#[derive(Clone, Copy)]
pub struct Builder(BuildModule_Ref);

impl Plugin {
    /// The plugin's builder; none where it builds nothing.
    ///
    /// # Errors
    /// Where it has an extension of that name with other types.
    pub fn builder(&self) -> Result<Option<Builder>, Error> {
        self.extension::<BuildModule_Ref>(NAME).map(|module| module.map(Builder))
    }
}

impl Builder {
    /// See [`Build::identity`].
    ///
    /// # Errors
    /// The plugin's own.
    pub fn identity(&self, options: &Value) -> Result<BuildIdentity, Error> {
        let text = checked((self.0.identity())(options.to_string().as_str().into()))?;
        from_json("what decides its artifacts", &text)
    }

    /// See [`Build::build`].
    ///
    /// # Errors
    /// The plugin's own.
    pub fn build(
        &self,
        request: &BuildRequest<'_>,
        progress: &mut dyn Progress,
    ) -> Result<BuildReport, Error> {
        let text = |path: &'_ Path| {
            path.to_str()
                .map(str::to_string)
                .ok_or_else(|| Error::invalid(format!("the path {} is not UTF-8; rename it", path.display())))
        };
        let (source, folder) = (text(request.source)?, text(request.folder)?);
        let spec = serde_json::to_string(request.spec).map_err(|e| Error::internal(e.to_string()))?;
        let options = request.options.to_string();
        let raw = RawBuildRequest {
            source: source.as_str().into(),
            form: request.form.name().into(),
            folder: folder.as_str().into(),
            spec: spec.as_str().into(),
            options: options.as_str().into(),
        };
        let mut sink = Sink(progress);
        let built = (self.0.build())(&raw, RawProgress_TO::from_ptr(&mut sink, TD_Opaque));
        from_json("its build's report", &checked(built)?)
    }
}

struct Sink<'a>(&'a mut dyn Progress);

impl RawProgress for Sink<'_> {
    fn report(&mut self, phase: abi_stable::std_types::RStr<'_>, done: u32, total: u32) -> bool {
        self.0.report(phase.as_str(), done, total)
    }
}

impl Progress for BuildProgressRef<'_> {
    fn report(&mut self, phase: &str, done: u32, total: u32) -> bool {
        RawProgress_TO::report(self, phase.into(), done, total)
    }
}

fn checked<T>(result: RawResult<T>) -> Result<T, Error> {
    result.into_result().map_err(Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::{Shapes, profiles_for};
    use crate::{
        Batch, Description, ErrorKind, GenerateOptions, Logits, OpenRequest, Positions, RVec, Session,
        SessionInfo, TokenSink,
    };
    use abi_stable::library::LibHeader;
    use serde_json::json;
    use std::sync::LazyLock;

    struct Copier;
    struct Nothing;

    impl Backend for Copier {
        type Session = Nothing;

        fn describe(_: &Value) -> Result<Description, Error> {
            Err(Error::unsupported("not asked"))
        }

        fn open(_: &OpenRequest<'_>) -> Result<Nothing, Error> {
            Ok(Nothing)
        }

        fn extension(name: &str) -> Option<&'static LibHeader> {
            static BUILD: LazyLock<LibHeader> = LazyLock::new(header::<Copier>);
            (name == NAME).then(|| &*BUILD)
        }
    }

    impl Session for Nothing {
        fn info(&self) -> SessionInfo {
            SessionInfo::default()
        }

        fn prefill(&mut self, _: Batch<'_>, _: Positions, _: &mut Logits) -> Result<(), Error> {
            Ok(())
        }

        fn generate(
            &mut self,
            _: Batch<'_>,
            _: &GenerateOptions<'_>,
            _: &mut dyn TokenSink,
        ) -> Result<(), Error> {
            Ok(())
        }

        fn logprobs(&mut self, _: Batch<'_>, _: &mut RVec<f64>) -> Result<(), Error> {
            Ok(())
        }
    }

    impl Build for Copier {
        fn identity(options: &Value) -> Result<BuildIdentity, Error> {
            let settings = BTreeMap::from([("level".to_string(), options["level"].to_string())]);
            Ok(BuildIdentity { runtime: "copier 1".into(), settings, ..BuildIdentity::default() })
        }

        fn build(request: &BuildRequest<'_>, progress: &mut dyn Progress) -> Result<BuildReport, Error> {
            for step in 0..3 {
                if !progress.report("copying", step, 3) {
                    return Err(Error::internal("given up"));
                }
            }
            let BuildSpec { precision, profiles } = request.spec.clone();
            let details = BTreeMap::from([("from".into(), request.source.display().to_string())]);
            Ok(BuildReport { precision, profiles, details, ..BuildReport::default() })
        }
    }

    struct Steps(Vec<String>, usize);

    impl Progress for Steps {
        fn report(&mut self, phase: &str, done: u32, total: u32) -> bool {
            self.0.push(format!("{phase} {done}/{total}"));
            self.0.len() < self.1
        }
    }

    #[test]
    fn a_build_crosses_the_boundary() {
        let builder = Plugin::in_process::<Copier>().builder().unwrap().unwrap();
        assert_eq!(builder.identity(&json!({"level": 3})).unwrap().settings["level"], "3");
        let spec = BuildSpec { precision: "fp16".into(), profiles: profiles_for(&Shapes::whole(4, 64)) };
        let options = json!({});
        let request = BuildRequest {
            source: Path::new("/graph"),
            form: ModelForm::Onnx,
            folder: Path::new("/to"),
            spec: &spec,
            options: &options,
        };
        let mut steps = Steps(Vec::new(), usize::MAX);
        let report = builder.build(&request, &mut steps).unwrap();
        assert_eq!((report.profiles, report.details["from"].as_str()), (spec.profiles.clone(), "/graph"));
        assert_eq!(steps.0, ["copying 0/3", "copying 1/3", "copying 2/3"]);
        let error = builder.build(&request, &mut Steps(Vec::new(), 2)).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Internal, "given up"));
    }
}
