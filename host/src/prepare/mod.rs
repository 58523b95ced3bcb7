//! From a model to what a backend loads.
//!
//! A plugin says which [`ModelForm`]s it opens. A model that comes in one of them is passed on as it is; a Hugging
//! Face model for a plugin that wants ONNX becomes an [`Artifact`], built once and kept in the cache under
//! everything that decides its content.

pub mod artifact;
pub mod calibrate;
mod error;
mod onnx;

pub use artifact::{Artifact, ArtifactFile, ArtifactInfo, EngineBuilder};
pub use calibrate::{Histogram, Observer};
pub use error::PrepareError;

use crate::model::{ModelKind, ResolvedModel};
use artifact::{Ensured, Target};
use inferhost_plugin_api::ModelForm;
use inferhost_plugin_api::shapes::Profile;
use std::path::{Path, PathBuf};

/// What a backend is to open.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// A file or folder, absolute.
    pub path: PathBuf,
    /// What lies there.
    pub form: ModelForm,
    /// How it was built; none where the model is opened as it came.
    pub artifact: Option<ArtifactInfo>,
    /// Whether the artifact was built now; else it was found in the cache.
    pub built: bool,
    /// What the user should know of how it came about.
    pub note: Option<String>,
}

impl Prepared {
    /// What lies at `path` is opened as it came.
    pub const fn as_it_is(path: PathBuf, form: ModelForm) -> Self {
        Self { path, form, artifact: None, built: false, note: None }
    }
}

/// What preparing takes beside the model.
pub struct Tools<'a> {
    /// Where artifacts are kept.
    pub cache: &'a Path,
    /// Runs what a calibration needs.
    pub observer: Option<&'a mut dyn Observer>,
    /// Builds engines that run these profiles.
    pub engines: Option<(&'a mut dyn EngineBuilder, &'a [Profile])>,
}

/// Brings `model` into one of `forms`, those that the plugin opens: as it is where that will do and no `artifact`
/// is asked for, else as an artifact, built first where the cache does not hold it.
///
/// # Errors
/// A model that cannot be brought into any of `forms`, or what failed in building.
pub fn prepare(
    model: &ResolvedModel,
    forms: &[ModelForm],
    artifact: Option<&Artifact>,
    tools: Tools<'_>,
) -> Result<Prepared, PrepareError> {
    match route(model, forms, artifact)? {
        Route::AsItIs(form, path) => Ok(Prepared::as_it_is(path, form)),
        Route::Build(artifact) => {
            let built = match artifact.target {
                Target::Onnx => artifact::ensure(&artifact, model, tools.cache, tools.observer)?,
                Target::Plan => artifact::ensure_engine(&artifact, model, tools)?,
            };
            let form = artifact.form();
            let Ensured { folder, info, built, note } = built;
            Ok(Prepared { path: folder, form, artifact: Some(info), built, note })
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Route {
    AsItIs(ModelForm, PathBuf),
    Build(Artifact),
}

fn route(
    model: &ResolvedModel,
    forms: &[ModelForm],
    asked: Option<&Artifact>,
) -> Result<Route, PrepareError> {
    let opens = |form: ModelForm| forms.contains(&form);
    let unsuited = |problem: String| PrepareError::Unsuited { spec: model.spec.clone(), problem };
    let known: Vec<&str> = forms.iter().map(|form| form.name()).collect();
    let only = format!("the plugin opens only {}", known.join(", "));
    match (&model.kind, asked) {
        (ModelKind::Onnx { .. }, Some(artifact)) => Err(unsuited(format!(
            "it is ONNX already, so no {artifact} is built from it; leave the artifact out"
        ))),
        (ModelKind::Onnx { graph }, None) if opens(ModelForm::Onnx) => {
            let is_whole_folder = *graph == model.folder.join(onnx::FILE);
            let path = if is_whole_folder { model.folder.clone() } else { graph.clone() };
            Ok(Route::AsItIs(ModelForm::Onnx, path))
        }
        (ModelKind::Onnx { .. }, None) => Err(unsuited(format!("it is ONNX, and {only}"))),
        (ModelKind::Program { form, .. }, Some(artifact)) => Err(unsuited(format!(
            "it is a compiled program ({}), so no {artifact} is built from it; leave the artifact out",
            form.name()
        ))),
        (ModelKind::Program { file, form }, None) if opens(*form) => Ok(Route::AsItIs(*form, file.clone())),
        (ModelKind::Program { form, .. }, None) => {
            Err(unsuited(format!("it is a program of the form {}, and {only}", form.name())))
        }
        (ModelKind::Engine { .. }, Some(artifact)) => Err(unsuited(format!(
            "it is an engine plan already, so no {artifact} is built from it; leave the artifact out"
        ))),
        (ModelKind::Engine { .. }, None) if opens(ModelForm::EnginePlan) => {
            Ok(Route::AsItIs(ModelForm::EnginePlan, model.folder.clone()))
        }
        (ModelKind::Engine { .. }, None) => Err(unsuited(format!("it is an engine plan, and {only}"))),
        (ModelKind::HuggingFace, Some(artifact)) if !opens(artifact.form()) => {
            Err(unsuited(format!("{artifact} was asked for, and {only}")))
        }
        (ModelKind::HuggingFace, Some(artifact)) => Ok(Route::Build(artifact.clone())),
        (ModelKind::HuggingFace, None) if opens(ModelForm::HuggingFace) => {
            Ok(Route::AsItIs(ModelForm::HuggingFace, model.folder.clone()))
        }
        (ModelKind::HuggingFace, None) if opens(ModelForm::Onnx) => Ok(Route::Build(Artifact::FP32)),
        (ModelKind::HuggingFace, None) if opens(ModelForm::EnginePlan) => Err(unsuited(format!(
            "{only}; say which engine to build from it, such as artifact = \"plan-fp32\""
        ))),
        (ModelKind::HuggingFace, None) => {
            Err(unsuited(format!("it can be brought into the forms hf and onnx, and {only}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelConfig;

    fn model(kind: ModelKind) -> ResolvedModel {
        ResolvedModel {
            spec: "m".into(),
            kind,
            folder: "/m".into(),
            config: ModelConfig::unknown(),
            parameters: Some(1),
            bytes: 4,
            sha256: String::new(),
            eos_token_ids: vec![],
            tokenizer: None,
        }
    }

    #[test]
    fn a_model_goes_as_it_is_where_it_can() {
        use ModelForm::{AotInductor, EnginePlan, HuggingFace, Onnx, TorchScript};
        let graph = |name: &str| ModelKind::Onnx { graph: Path::new("/m").join(name) };
        let fp32 = Some(&Artifact::FP32);
        let as_is = |form, path: &str| Ok(Route::AsItIs(form, path.into()));
        let build = || Ok(Route::Build(Artifact::FP32));
        let check = |kind: ModelKind, forms: &[ModelForm], asked, expected: Result<Route, &str>| {
            let found = route(&model(kind.clone()), forms, asked);
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.to_string().contains(expected), "{found}"),
                (found, expected) => panic!("{kind:?} {forms:?} {asked:?}: {found:?} is not {expected:?}"),
            }
        };
        let (hf, onnx) = (|| ModelKind::HuggingFace, || graph("model.onnx"));
        check(hf(), &[HuggingFace], None, as_is(HuggingFace, "/m"));
        check(hf(), &[Onnx, HuggingFace], None, as_is(HuggingFace, "/m"));
        check(hf(), &[Onnx], None, build());
        check(hf(), &[Onnx, HuggingFace], fp32, build());
        check(hf(), &[HuggingFace], fp32, Err("onnx-fp32 was asked for, and the plugin opens only hf"));
        check(hf(), &[EnginePlan], None, Err("opens only plan; say which engine to build from it"));
        check(hf(), &[AotInductor], None, Err("it can be brought into the forms hf and onnx"));
        let engine = || ModelKind::Engine { profiles: Vec::new() };
        check(engine(), &[EnginePlan], None, as_is(EnginePlan, "/m"));
        check(engine(), &[Onnx], None, Err("it is an engine plan, and the plugin opens only onnx"));
        check(engine(), &[EnginePlan], fp32, Err("it is an engine plan already"));
        let plan: Artifact = "plan-fp16".parse().unwrap();
        check(hf(), &[EnginePlan], Some(&plan), Ok(Route::Build(plan.clone())));
        check(hf(), &[Onnx], Some(&plan), Err("plan-fp16 was asked for, and the plugin opens only onnx"));
        check(onnx(), &[Onnx], None, as_is(Onnx, "/m"));
        check(graph("other.onnx"), &[Onnx], None, as_is(Onnx, "/m/other.onnx"));
        check(graph("onnx/model.onnx"), &[Onnx], None, as_is(Onnx, "/m/onnx/model.onnx"));
        check(onnx(), &[HuggingFace], None, Err("it is ONNX, and the plugin opens only hf"));
        check(onnx(), &[Onnx], fp32, Err("leave the artifact out"));
        let program = |form| ModelKind::Program { file: "/m/model.pt2".into(), form };
        check(program(AotInductor), &[HuggingFace, AotInductor], None, as_is(AotInductor, "/m/model.pt2"));
        check(
            program(AotInductor),
            &[TorchScript],
            None,
            Err("form aotinductor, and the plugin opens only torchscript"),
        );
        check(
            program(TorchScript),
            &[Onnx, HuggingFace],
            None,
            Err("form torchscript, and the plugin opens only onnx, hf"),
        );
        check(
            program(TorchScript),
            &[TorchScript],
            fp32,
            Err("no onnx-fp32 is built from it; leave the artifact out"),
        );
    }
}
