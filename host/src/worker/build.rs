//! A plugin's builder inside the worker: what it says decides an artifact, and the build itself.

use super::engine::{Say, misuse, parse, said};
use super::protocol::{BuildOrder, Failure, FromWorker, Reply};
use crate::record::{DegradedKind, Stage};
use crate::text;
use inferhost_plugin_api::build::{self, BuildRequest, Builder, Progress};
use inferhost_plugin_api::{Error, Plugin};

/// Most characters of a phase's name that are handed on.
const PHASE_LIMIT: usize = 80;

pub(super) fn identify(plugin: Option<Plugin>, options: &str) -> Result<Reply, Failure> {
    let identity = builder(plugin)?.identity(&parse(options)?).map_err(failed)?;
    said(Stage::Open, "what decides its artifacts", &identity).map(Reply::Identified)
}

pub(super) fn build(plugin: Option<Plugin>, order: &BuildOrder, say: Say<'_>) -> Result<Reply, Failure> {
    let options = parse(&order.options)?;
    let BuildOrder { source, form, folder, spec, .. } = order;
    let request = BuildRequest { source, form: *form, folder, spec, options: &options };
    let report = builder(plugin)?.build(&request, &mut Told { say, last: None }).map_err(failed)?;
    said(Stage::Open, "its build's report", &report).map(Reply::Built)
}

fn builder(plugin: Option<Plugin>) -> Result<Builder, Failure> {
    let plugin = plugin.ok_or_else(|| misuse(Stage::Load, "no plugin is loaded"))?;
    plugin.builder().map_err(failed)?.ok_or_else(|| Failure {
        stage: Stage::Open,
        kind: DegradedKind::Unsupported,
        message: format!("the plugin builds no engines (it has no extension {}); ask for an artifact onnx-…, or take a plugin that does", build::NAME),
        bad_input: true,
    })
}

fn failed(error: Error) -> Failure {
    Failure::from_plugin(Stage::Open, &error)
}

/// Hands on what is new: a builder may report the same step a thousand times.
struct Told<'a> {
    say: Say<'a>,
    last: Option<(String, u32, u32)>,
}

impl Progress for Told<'_> {
    fn report(&mut self, phase: &str, done: u32, total: u32) -> bool {
        let phase = text::clipped(phase, PHASE_LIMIT);
        let now = (phase, done, total);
        if self.last.as_ref() != Some(&now) {
            let (phase, done, total) = now.clone();
            (self.say)(FromWorker::Building { phase, done, total });
            self.last = Some(now);
        }
        true
    }
}
