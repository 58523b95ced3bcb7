//! Runs a calibration's graph through the plugin for ONNX Runtime, in a worker as any other.

use super::exchange::{ask, text};
use super::{Starter, open_request};
use crate::plugins::PluginFolders;
use crate::prepare::{Histogram, Observer, Prepared};
use crate::worker::Worker;
use crate::worker::protocol::{Reply, Request};
use inferhost_plugin_api::{ModelForm, Rows};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// The plugin that runs what inferhost itself writes.
const PLUGIN: &str = "ort";

/// A calibration's way to a worker.
#[derive(Debug)]
pub struct PluginObserver<'a> {
    folders: &'a PluginFolders,
    starter: &'a Starter,
    options: Map<String, Value>,
    env: BTreeMap<String, String>,
}

impl<'a> PluginObserver<'a> {
    /// Finds the plugin in `folders` and starts workers with `starter`, once there is something to run.
    pub fn new(folders: &'a PluginFolders, starter: &'a Starter) -> Self {
        Self { folders, starter, options: Map::new(), env: BTreeMap::new() }
    }

    /// With the runtime's library, threads and environment of a backend that is to open the result.
    #[must_use]
    pub fn like(mut self, options: &Map<String, Value>, env: &BTreeMap<String, String>) -> Self {
        let shared = ["library", "threads"].iter().filter_map(|&key| options.get_key_value(key));
        self.options = shared.map(|(key, value)| (key.clone(), value.clone())).collect();
        self.env.clone_from(env);
        self
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn Worker>, String> {
        let file = self.folders.find(PLUGIN).map_err(|e| e.to_string())?;
        let started = self.starter.start("calibrate", &self.env).map_err(|e| e.to_string())?;
        let mut worker = started.map_err(text)?;
        let prepared = Prepared::as_it_is(folder.into(), ModelForm::Onnx);
        for request in [Request::Load { plugin: file.path }, open_request(&prepared, &self.options)] {
            ask(worker.as_mut(), request)?;
        }
        Ok(worker)
    }
}

impl Observer for PluginObserver<'_> {
    fn observe(
        &mut self,
        folder: &Path,
        widths: &[u32],
        batches: &[Vec<Vec<u32>>],
    ) -> Result<Vec<Histogram>, String> {
        let mut worker = self.open(folder)?;
        let mut found = Vec::new();
        for (index, batch) in batches.iter().enumerate() {
            let finish = index + 1 == batches.len();
            let request = Request::Observe { rows: Rows::new(batch), widths: widths.to_vec(), finish };
            if let Reply::Observed(histograms) = ask(worker.as_mut(), request)? {
                found = histograms;
            }
        }
        Ok(found)
    }
}
