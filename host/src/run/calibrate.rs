//! Runs a calibration's graph through the plugin for ONNX Runtime, in a worker as any other.

use super::Starter;
use super::exchange::{Errand, RUNTIME, ask, opened};
use crate::plugins::PluginFolders;
use crate::prepare::{Histogram, Observer, Prepared};
use crate::worker::Worker;
use crate::worker::protocol::{Reply, Request};
use inferhost_plugin_api::{ModelForm, Rows};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

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
        let prepared = Prepared::as_it_is(folder.into(), ModelForm::Onnx);
        let errand = Errand {
            plugin: RUNTIME,
            log: "calibrate",
            env: &self.env,
            prepared: &prepared,
            options: &self.options,
        };
        opened(self.folders, self.starter, &errand)
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
