//! The plugin that a command line names, with its options and the form of model it is to load.

use super::options;
use crate::cli::BackendArgs;
use crate::error::AppError;
use crate::interrupt;
use crate::model::ResolvedModel;
use crate::output;
use crate::plugins::{PluginFile, PluginFolders};
use crate::prepare::artifact::Target;
use crate::prepare::{Artifact, EngineBuilder, PrepareError, Prepared, Tools, prepare};
use crate::run::{PluginBuilder, PluginObserver, Starter};
use crate::text;
use inferhost_plugin_api::ModelForm;
use inferhost_plugin_api::shapes::{Shapes, profiles_for};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// As typed, found and checked.
pub(super) struct Chosen {
    pub(super) file: PluginFile,
    pub(super) options: Map<String, Value>,
    artifact: Option<Artifact>,
    folders: PluginFolders,
}

impl Chosen {
    pub(super) fn new(args: &BackendArgs) -> Result<Self, AppError> {
        let options = options::parse(&args.options)?;
        let artifact = args.artifact.as_deref().map(str::parse).transpose().map_err(AppError::bad_input)?;
        let folders = args.plugins.open().map_err(AppError::bad_input)?;
        let file = folders.find(&args.plugin).map_err(AppError::bad_input)?;
        Ok(Self { file, options, artifact, folders })
    }

    /// The options as JSON text.
    pub(super) fn options_text(&self) -> String {
        Value::Object(self.options.clone()).to_string()
    }

    /// `model` in a form that the plugin opens.
    pub(super) fn prepare(
        &self,
        model: &ResolvedModel,
        forms: &[ModelForm],
        cache: &Path,
        starter: &Starter,
    ) -> Result<Prepared, AppError> {
        let env = BTreeMap::new();
        let mut observer = PluginObserver::new(&self.folders, starter);
        // A calibration runs on ONNX Runtime; an engine is for a plugin with another runtime's options.
        if self.artifact.as_ref().is_none_or(|artifact| artifact.target == Target::Onnx) {
            observer = observer.like(&self.options, &env);
        }
        let mut told = Building::default();
        let mut progress = |step: String| told.show(&step);
        let mut builder = PluginBuilder::new(starter, &self.file.path, "build".into(), &mut progress)
            .like(&self.options, &env);
        let profiles = profiles_for(&Shapes::whole(MOST_ROWS, context_of(model)));
        let engines: Option<(&mut dyn EngineBuilder, _)> = Some((&mut builder, &profiles[..]));
        let tools = Tools { cache, observer: Some(&mut observer), engines };
        let prepared = prepare(model, forms, self.artifact.as_ref(), tools);
        let prepared = prepared.map_err(not_prepared)?;
        if let Some(note) = &prepared.note {
            output::note(note);
        }
        Ok(prepared)
    }
}

/// Most positions of an engine for a model that does not say its own.
const USUAL_CONTEXT: u32 = 1024;
/// Most rows of an engine that no matrix asks for.
pub(super) const MOST_ROWS: u32 = 8;

/// The positions that an engine which no matrix asks for is built for: all that the model has.
pub(super) fn context_of(model: &ResolvedModel) -> u32 {
    model.config.context_length.unwrap_or(USUAL_CONTEXT)
}

/// Tells how far a build is, once a second at most.
#[derive(Default)]
pub(super) struct Building(Option<Instant>);

impl Building {
    pub(super) fn show(&mut self, step: &str) {
        if self.0.is_none_or(|last| last.elapsed() >= Duration::from_secs(1)) {
            self.0 = Some(Instant::now());
            output::say(&text::one_line(&format!("building: {step}")));
        }
    }
}

/// Whose fault it is.
pub(super) fn not_prepared(error: PrepareError) -> AppError {
    match &error {
        _ if interrupt::requested() => AppError::interrupted("interrupted"),
        PrepareError::NotBuilt { degraded, .. } => {
            AppError::backend(format!("{}: {error}", degraded.kind.name()))
        }
        _ if error.degraded_kind().is_some() => AppError::bad_input(error),
        _ => AppError::failed(error),
    }
}
