//! A backend's own plugin as the builder of its engines: each request in a worker of its own, as any other.

use super::Starter;
use crate::prepare::EngineBuilder;
use crate::record::{Degraded, DegradedKind, Stage};
use crate::worker::protocol::{BuildOrder, Reply, Request};
use crate::worker::{Lost, Told};
use inferhost_plugin_api::ModelForm;
use inferhost_plugin_api::build::{BuildIdentity, BuildReport, BuildSpec};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Longest time to load the plugin, and to say what decides a build, where nothing else is asked for: a device may have to
/// be woken.
const OPEN_DEADLINE: Duration = Duration::from_secs(120);

/// Longest time for a build where nothing else is asked for.
const BUILD_DEADLINE: Duration = Duration::from_secs(3600);

/// A plugin that builds.
pub struct PluginBuilder<'a> {
    starter: &'a Starter,
    plugin: &'a Path,
    log: String,
    options: Map<String, Value>,
    env: BTreeMap<String, String>,
    open_deadline: Duration,
    build_deadline: Duration,
    progress: &'a mut dyn FnMut(String),
}

impl<'a> PluginBuilder<'a> {
    /// The plugin in the library `plugin`, whose workers write to a log of that name; `progress` is told how far a build
    /// is, in words.
    pub fn new(
        starter: &'a Starter,
        plugin: &'a Path,
        log: String,
        progress: &'a mut dyn FnMut(String),
    ) -> Self {
        let (options, env) = (Map::new(), BTreeMap::new());
        let (open_deadline, build_deadline) = (OPEN_DEADLINE, BUILD_DEADLINE);
        Self { starter, plugin, log, options, env, open_deadline, build_deadline, progress }
    }

    /// With the options and the environment of the backend that is to open the result.
    #[must_use]
    pub fn like(mut self, options: &Map<String, Value>, env: &BTreeMap<String, String>) -> Self {
        (self.options, self.env) = (options.clone(), env.clone());
        self
    }

    /// With other longest times, to load the plugin and ask it, and for a build.
    #[must_use]
    pub const fn within(mut self, open: Duration, build: Duration) -> Self {
        (self.open_deadline, self.build_deadline) = (open, build);
        self
    }

    /// `request` to the loaded plugin; what it tells on the way goes to `progress`.
    fn ask(&mut self, request: Request, deadline: Duration) -> Result<Reply, Degraded> {
        let host =
            |error: std::io::Error| Degraded::new(DegradedKind::Exception, Stage::Load, error.to_string());
        let mut worker = self.starter.start(&self.log, &self.env).map_err(host)?.map_err(degraded)?;
        let mut listener = |told: Told<'_>| {
            if let Told::Building(phase, done, total) = told {
                (self.progress)(format!("{phase}, {done} of {total}"));
            }
        };
        let load = Request::Load { plugin: self.plugin.into() };
        for (request, deadline) in [(load, self.open_deadline), (request, deadline)] {
            match worker.call_heard(request, deadline, &mut listener).map_err(degraded)? {
                Reply::Failed(failure) => return Err(failure.into()),
                Reply::Loaded { .. } => {}
                reply => return Ok(reply),
            }
        }
        Err(super::misplaced_reply(Stage::Open))
    }

    fn options(&self) -> String {
        Value::Object(self.options.clone()).to_string()
    }
}

impl EngineBuilder for PluginBuilder<'_> {
    fn identity(&mut self) -> Result<BuildIdentity, Degraded> {
        let request = Request::Identify { options: self.options() };
        match self.ask(request, self.open_deadline)? {
            Reply::Identified(json) => serde_json::from_str(&json).map_err(|e| malformed(&e)),
            _ => Err(super::misplaced_reply(Stage::Open)),
        }
    }

    fn build(&mut self, graph: &Path, folder: &Path, spec: &BuildSpec) -> Result<BuildReport, Degraded> {
        let order = BuildOrder {
            source: graph.into(),
            form: ModelForm::Onnx,
            folder: folder.into(),
            spec: spec.clone(),
            options: self.options(),
        };
        match self.ask(Request::Build(order), self.build_deadline).map_err(with_remedy)? {
            Reply::Built(json) => serde_json::from_str(&json).map_err(|e| malformed(&e)),
            _ => Err(super::misplaced_reply(Stage::Open)),
        }
    }
}

/// What to do where time ran out.
fn with_remedy(mut degraded: Degraded) -> Degraded {
    if degraded.kind == DegradedKind::Timeout {
        degraded.message.push_str("; raise run.build_deadline_s, or have the builder do less");
    }
    degraded
}

fn malformed(error: &serde_json::Error) -> Degraded {
    let message = format!("what the plugin says of its build is malformed: {error}");
    Degraded::new(DegradedKind::Incompatible, Stage::Open, message)
}

fn degraded(lost: Lost) -> Degraded {
    match lost {
        Lost::Degraded(degraded) => degraded,
        Lost::Interrupted => Degraded::new(DegradedKind::Exception, Stage::Open, "interrupted"),
    }
}
