//! The plugin that a command line names, with its options and the form of model it is to load.

use super::options;
use crate::cli::BackendArgs;
use crate::error::AppError;
use crate::interrupt;
use crate::model::ResolvedModel;
use crate::output;
use crate::plugins::{PluginFile, PluginFolders};
use crate::prepare::{Artifact, PrepareError, Prepared, prepare};
use crate::run::{PluginObserver, Starter};
use inferhost_plugin_api::ModelForm;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

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
        let mut observer = PluginObserver::new(&self.folders, starter).like(&self.options, &BTreeMap::new());
        let prepared = prepare(model, forms, self.artifact.as_ref(), cache, Some(&mut observer));
        let prepared = prepared.map_err(not_prepared)?;
        if let Some(note) = &prepared.note {
            output::note(note);
        }
        Ok(prepared)
    }
}

/// Whose fault it is.
pub(super) fn not_prepared(error: PrepareError) -> AppError {
    if interrupt::requested() {
        AppError::interrupted("interrupted")
    } else if error.is_unsuited() {
        AppError::bad_input(error)
    } else {
        AppError::failed(error)
    }
}
