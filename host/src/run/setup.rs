//! The stage before the first run: every plugin found and asked what it is, every model resolved and checked,
//! every (model, backend) pair given the form of the model that its plugin opens. A mistake of the user's stops
//! here; a backend that cannot run a model is a fact about that backend, and its runs are recorded as degraded.

use super::backend::{locate, ready_backend};
use super::{Event, PluginBuilder, PluginObserver, Starter};
use crate::config::{self, Config};
use crate::input;
use crate::interrupt;
use crate::model::{self, ModelError, ModelKind, ResolvedModel};
use crate::plan::{Coverage, evaluated, plan};
use crate::plugins::{FindError, HashedFile, PluginFile, PluginFolders};
use crate::prepare::{Artifact, EngineBuilder, PrepareError, Prepared, Tools, prepare};
use crate::prompts::PromptSource;
use crate::record::{Degraded, DegradedKind, Stage};
use crate::worker::protocol::{Failure, Request};
use inferhost_plugin_api::Description;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything the runs need.
#[derive(Debug)]
pub struct Setup {
    /// In the config's order.
    pub models: Vec<ReadyModel>,
    /// In the config's order.
    pub backends: Vec<ReadyBackend>,
    /// By model and backend: what to open, or why nothing can be.
    pub pairs: BTreeMap<(usize, usize), Result<Prepared, Degraded>>,
    /// Which profile of which engine runs what.
    pub coverage: Coverage,
}

/// A model with its prompts.
#[derive(Debug)]
pub struct ReadyModel {
    /// Where it lies, what it is.
    pub resolved: ResolvedModel,
    /// Where prompts come from.
    pub prompts: PromptSource,
}

/// A backend with its plugin.
#[derive(Debug)]
pub struct ReadyBackend {
    /// The plugin's file; none where one of inferhost's own was not built.
    pub file: Option<PluginFile>,
    /// That file as it was when the run began.
    pub hashed: Option<HashedFile>,
    /// What the plugin says of itself, or why it does not.
    pub description: Result<Description, Degraded>,
}

/// What stops a run before it starts.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A plugin is not there.
    #[error("backend `{backend}`: {source}")]
    Plugin {
        /// Whose.
        backend: String,
        /// Which and where it was looked for.
        source: FindError,
    },
    /// A plugin is not the one that the config pins.
    #[error(
        "backend `{backend}`: the plugin at {plugin} has sha256 {found}, but the config pins {expected}; put that file back, or pin this one"
    )]
    Pin {
        /// Whose.
        backend: String,
        /// The file.
        plugin: PathBuf,
        /// What the config says.
        expected: String,
        /// Of the file.
        found: String,
    },
    /// A model is not there, or not what it claims.
    #[error("model `{model}`: {source}")]
    Model {
        /// Which.
        model: String,
        /// Why.
        source: ModelError,
    },
    /// A graph that does not say how many token ids it knows.
    #[error(
        "model `{model}`: neither its graph nor a config.json beside it gives the vocabulary's size; add a config.json with vocab_size"
    )]
    Vocabulary {
        /// Which.
        model: String,
    },
    /// A form of a model that could not be built or kept.
    #[error("model `{model}`: {source}")]
    Prepare {
        /// Of which.
        model: String,
        /// Why.
        source: PrepareError,
    },
    /// An artifact no version of this host knows.
    #[error("backend `{backend}`: {reason}")]
    Artifact {
        /// Whose.
        backend: String,
        /// What was given and what is known.
        reason: String,
    },
    /// Options that the plugin refuses.
    #[error("backend `{backend}`: {reason}")]
    Options {
        /// Whose.
        backend: String,
        /// What the plugin said.
        reason: String,
    },
    /// The text for prompts does not serve.
    #[error("run.prompt_text: {0}")]
    PromptText(String),
    /// The host's own trouble.
    #[error("failed to {0}")]
    Io(#[from] std::io::Error),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

/// Readies everything `config` names.
///
/// # Errors
/// [`SetupError`], before anything has run.
pub fn setup(
    config: &Config,
    folders: &PluginFolders,
    starter: &Starter,
    cache: &Path,
    events: &mut dyn FnMut(Event<'_>),
) -> Result<Setup, SetupError> {
    let artifacts = artifacts(config)?;
    // All of them before the first is run: a refused plugin stops a run before anything else.
    let located: Vec<_> =
        config.backends.iter().map(|backend| locate(backend, folders, events)).collect::<Result<_, _>>()?;
    let mut backends = Vec::new();
    for (backend, located) in config.backends.iter().zip(located) {
        preparing(events, format!("backend {}", backend.name))?;
        backends.push(ready_backend(backend, located, starter, config, events)?);
    }
    let mut models = Vec::new();
    for model in &config.models {
        preparing(events, format!("model {}", model.name))?;
        models.push(ready_model(model, config, cache)?);
    }
    let coverage = coverage(config, &models);
    let mut pairs = BTreeMap::new();
    for (m, model) in models.iter().enumerate() {
        for (b, backend) in backends.iter().enumerate() {
            let model_name = &config.models[m].name;
            preparing(events, format!("{model_name} for {}", config.backends[b].name))?;
            let readying = Readying { config, folders, starter, cache, coverage: &coverage, at: (m, b) };
            let pair = readying
                .pair(model, backend, artifacts[b].as_ref(), events)
                .map_err(|source| SetupError::Prepare { model: model_name.clone(), source })?;
            if let Some(note) = pair.as_ref().ok().and_then(|prepared| prepared.note.clone()) {
                events(Event::Note(note));
            }
            pairs.insert((m, b), pair);
        }
    }
    Ok(Setup { models, backends, pairs, coverage })
}

/// Of the whole plan, and of the evaluation that may follow it.
fn coverage(config: &Config, models: &[ReadyModel]) -> Coverage {
    let cells = plan(config, &contexts(config, models)).cells;
    let (mut built, mut scored) = (BTreeMap::new(), BTreeMap::new());
    for (index, ReadyModel { resolved, .. }) in models.iter().enumerate() {
        if let ModelKind::Engine { profiles } = &resolved.kind {
            built.insert(index, profiles.clone());
        }
        if let (Some(settings), Some(vocab_size)) = (&config.accuracy, resolved.config.vocab_size) {
            let shapes = evaluated(settings, resolved.config.context_length, vocab_size);
            scored.extend(shapes.map(|shapes| (index, shapes)));
        }
    }
    Coverage::new(config, &cells, &built, &scored)
}

/// The most positions of a row of each model, by name, where it is known.
fn contexts(config: &Config, models: &[ReadyModel]) -> BTreeMap<String, u32> {
    let known = config.models.iter().zip(models);
    known
        .filter_map(|(model, ready)| Some((model.name.clone(), ready.resolved.config.context_length?)))
        .collect()
}

/// Tells of the next step, unless the user has asked to stop.
fn preparing(events: &mut dyn FnMut(Event<'_>), what: String) -> Result<(), SetupError> {
    events(Event::Preparing(what));
    if interrupt::requested() { Err(SetupError::Interrupted) } else { Ok(()) }
}

fn artifacts(config: &Config) -> Result<Vec<Option<Artifact>>, SetupError> {
    let parse = |backend: &config::Backend| match &backend.artifact {
        None => Ok(None),
        Some(name) => name.parse().map(Some).map_err(|e: <Artifact as std::str::FromStr>::Err| {
            SetupError::Artifact { backend: backend.name.clone(), reason: e.to_string() }
        }),
    };
    config.backends.iter().map(parse).collect()
}

fn ready_model(model: &config::Model, config: &Config, cache: &Path) -> Result<ReadyModel, SetupError> {
    let wrong = |source| SetupError::Model { model: model.name.clone(), source };
    let resolved = model::resolve(&model.source, cache).map_err(wrong)?;
    if let Some(claimed) = model.claimed_params {
        model::check_claim(&resolved, claimed).map_err(wrong)?;
    }
    let prompts = match &config.run.prompt_text {
        None => {
            let vocab_size = resolved.config.vocab_size.filter(|&n| n > 0);
            PromptSource::random(
                vocab_size.ok_or_else(|| SetupError::Vocabulary { model: model.name.clone() })?,
            )
        }
        Some(path) => {
            let text = input::text(path, input::CORPUS)
                .map_err(|e| SetupError::PromptText(format!("cannot read {}: {e}", path.display())))?;
            let tokens = resolved.load_tokenizer().and_then(|t| t.encode(&text)).map_err(wrong)?;
            let longest = config.scenarios.iter().map(|s| s.prompt_tokens).max().unwrap_or(0);
            PromptSource::text(tokens, longest)
                .map_err(|reason| SetupError::PromptText(format!("{}: {reason}", path.display())))?
        }
    };
    Ok(ReadyModel { resolved, prompts })
}

/// What it takes to ready one model for one backend.
struct Readying<'a> {
    config: &'a Config,
    folders: &'a PluginFolders,
    starter: &'a Starter,
    cache: &'a Path,
    coverage: &'a Coverage,
    /// Which model, which backend.
    at: (usize, usize),
}

impl Readying<'_> {
    /// What a backend cannot be given is a fact about the backend; what the disk refuses stops the run.
    fn pair(
        &self,
        model: &ReadyModel,
        backend: &ReadyBackend,
        artifact: Option<&Artifact>,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<Result<Prepared, Degraded>, PrepareError> {
        let (description, file) = match (&backend.description, &backend.file) {
            (Ok(description), Some(file)) => (description, file),
            (Err(degraded), _) => return Ok(Err(degraded.clone())),
            (Ok(_), None) => {
                return Ok(Err(Degraded::new(DegradedKind::RuntimeMissing, Stage::Load, "no plugin")));
            }
        };
        let (settings, model_name) = (&self.config.backends[self.at.1], &self.config.models[self.at.0].name);
        let mut observer = PluginObserver::new(self.folders, self.starter);
        // A calibration runs on ONNX Runtime; an engine's backend has another runtime's options.
        if !settings.loads_engine() {
            observer = observer.like(&settings.options, &settings.env);
        }
        let what = format!("{model_name} for {}", settings.name);
        let mut progress = |step| events(Event::Building { what: what.clone(), step });
        let log = format!("build-{model_name}-{}", settings.name);
        let seconds = Duration::from_secs_f64;
        let mut builder = PluginBuilder::new(self.starter, &file.path, log, &mut progress)
            .like(&settings.options, &settings.env)
            .within(seconds(self.config.run.open_deadline_s), seconds(self.config.run.build_deadline_s));
        let engine = self.coverage.engine(self.at.0, self.at.1);
        let profiles = engine.map_or(&[][..], |engine| &engine.profiles);
        let engines: Option<(&mut dyn EngineBuilder, _)> = Some((&mut builder, profiles));
        let tools = Tools { cache: self.cache, observer: Some(&mut observer), engines };
        match prepare(&model.resolved, &description.forms, artifact, tools) {
            Ok(prepared) => Ok(Ok(prepared)),
            Err(error) => match error.degraded_kind() {
                Some(kind) => Ok(Err(Degraded::new(kind, Stage::Open, error.to_string()))),
                None => Err(error),
            },
        }
    }
}

/// The request that opens what was prepared, with a backend's options as JSON text.
pub fn open_request(prepared: &Prepared, options: &serde_json::Map<String, serde_json::Value>) -> Request {
    let options = serde_json::Value::Object(options.clone()).to_string();
    Request::Open { path: prepared.path.clone(), form: prepared.form, options }
}

impl From<Failure> for Degraded {
    fn from(failure: Failure) -> Self {
        let Failure { stage, kind, message, .. } = failure;
        Self::new(kind, stage, message)
    }
}

impl Setup {
    /// The most positions of a row of each model, by name, where it is known.
    pub fn contexts(&self, config: &Config) -> BTreeMap<String, u32> {
        contexts(config, &self.models)
    }
}
