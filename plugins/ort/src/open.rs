//! From a request to a session: the runtime's settings, the graph's ports, what the session will say of itself.

use crate::binding::Memories;
use crate::config::{ModelConfig, graph_bytes, graph_file, has_operator};
use crate::conventions::{Conventions, Growth, Padding, precision_of};
use crate::element::Element;
use crate::error::from_ort;
use crate::fixed::FixedSteps;
use crate::library::{self, Library};
use crate::missing;
use crate::options::{Device, Optimization, Options};
use crate::placement::{Listener, Placement};
use crate::providers;
use crate::runner::Runner;
use crate::session::OrtSession;
use crate::signature::{Port, Signature};
use inferhost_plugin_api::{Error, GenaiConfig, ModelForm, OpenRequest, SessionInfo};
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, ValueType};
use std::path::Path;

/// On the CPU the fused operator takes 1.2 times as long as the addition and `LayerNormalization` that it replaces.
const DISABLED: (&str, &str) = ("optimization.disable_specified_optimizers", "SkipLayerNormFusion");

/// Opens the graph that `request` names.
///
/// # Errors
/// For a form that is not ONNX, unknown options, a missing runtime, and a graph that the runtime or this plugin does
/// not understand.
pub(crate) fn open(request: &OpenRequest<'_>) -> Result<OrtSession, Error> {
    if request.form != ModelForm::Onnx {
        let form = request.form.name();
        return Err(Error::unsupported(format!(
            "ort opens models of form onnx, not {form}; prepare it first"
        )));
    }
    open_graph(request.path, &request.parse_options::<Options>()?.checked()?)
}

/// Opens the graph at `path`, a file or a folder.
pub(crate) fn open_graph(path: &Path, options: &Options) -> Result<OrtSession, Error> {
    let graph = graph_file(path)?;
    let genai = GenaiConfig::beside(&graph).map_err(|e| Error::invalid(e.to_string()))?;
    let config = ModelConfig::beside(&graph)?.or_of(genai.as_ref());
    let (library, environment) = library::load(options)?;
    let (session, placement) = load_graph(&environment, &graph, options, &library.path)?;
    let names = genai.as_ref().map(|genai| genai.names.clone()).unwrap_or_default();
    let signature = Signature::read(&ports(session.inputs()), &ports(session.outputs()), &config, &names)?;
    let (said, artifact) = metadata(&session)?;
    providers::check(&placement, options, artifact.as_deref())?;
    let conventions = said.unwrap_or_else(|| {
        Conventions::of_other(genai.as_ref(), || has_operator(&graph, "GroupQueryAttention"))
    });
    let mut info = of_runtime(options, library);
    info.vocab_size = narrow(signature.vocab_size);
    info.context_length = config.context_length.map(narrow);
    info.model_bytes = graph_bytes(&graph);
    info.precision = artifact.as_deref().and_then(precision_of).unwrap_or(signature.precision()).to_string();
    let artifact = artifact.map(|artifact| ("artifact_precision".to_string(), artifact));
    info.details.extend(details(&signature, conventions, &graph).into_iter().chain(artifact));
    info.details.extend(providers::details(&placement));
    if options.cuda_graph {
        FixedSteps::check(&signature, conventions)?;
    }
    let runner = Runner::new(session, options.cuda_graph, signature.inputs(), signature.outputs())?;
    let memories = Memories::new(&runner, options.device)?;
    Ok(OrtSession::new(runner, memories, signature, conventions, info))
}

/// What the graph's writer said of its layout and of the precision of its weights.
fn metadata(session: &Session) -> Result<(Option<Conventions>, Option<String>), Error> {
    let metadata = session.metadata().map_err(|e| from_ort("read the graph's metadata", &e))?;
    let lookup = |key: &str| metadata.custom(key);
    Ok((Conventions::read(lookup)?, lookup("inferhost.precision")))
}

/// The session, with where its nodes are.
fn load_graph(
    environment: &Environment,
    graph: &Path,
    options: &Options,
    library: &Path,
) -> Result<(Session, Placement), Error> {
    let listener = Listener::new();
    let device = options.device.to_string();
    let explained = |what: &str, error: &ort::Error<_>| {
        let missing = missing::explain(error.message(), &device, options.provider(), library);
        missing.unwrap_or_else(|| from_ort(what, error))
    };
    let session = settings(environment, options, &listener)
        .map_err(|e| explained(&format!("set up {device}"), &e))?
        .commit_from_file(graph)
        .map_err(|e| match e.message().contains("cannot use the graph capture feature") {
            true => providers::cannot_capture(&listener.heard()),
            false => explained(&format!("load {}", graph.display()), &e),
        })?;
    Ok((session, listener.heard()))
}

fn settings(
    environment: &Environment,
    options: &Options,
    listener: &Listener,
) -> ort::Result<SessionBuilder> {
    let builder = match options.device {
        Device::Cpu => Session::builder(environment)?.with_config_entry(DISABLED.0, DISABLED.1)?,
        Device::Cuda(_) => Session::builder(environment)?,
    };
    Ok(builder
        .with_logger(listener.logger())?
        .with_log_level(LogLevel::Verbose)?
        .with_intra_threads(options.threads())?
        .with_intra_op_spinning(options.spinning)?
        .with_optimization_level(level(options.optimization))?
        .with_execution_providers(providers::wanted(options))?)
}

fn level(optimization: Optimization) -> GraphOptimizationLevel {
    match optimization {
        Optimization::All => GraphOptimizationLevel::All,
        Optimization::Extended => GraphOptimizationLevel::Level2,
        Optimization::Basic => GraphOptimizationLevel::Level1,
        Optimization::None => GraphOptimizationLevel::Disable,
    }
}

fn ports(outlets: &[Outlet]) -> Vec<Port> {
    let port = |outlet: &Outlet| {
        let (element, dims) = match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => (Element::of(*ty), shape.to_vec()),
            _ => (None, Vec::new()),
        };
        Port { name: outlet.name().to_string(), element, dims }
    };
    outlets.iter().map(port).collect()
}

fn of_runtime(options: &Options, library: Library) -> SessionInfo {
    let details = [
        ("provider", providers::first(options).to_string()),
        ("library", library.path.display().to_string()),
        ("optimization", options.optimization.to_string()),
        ("spinning", options.spinning.to_string()),
        ("arena", options.arena.to_string()),
    ];
    let of_cuda = match options.device {
        Device::Cpu => Vec::new(),
        Device::Cuda(_) => {
            vec![("tf32", options.tf32.to_string()), ("cuda_graph", options.cuda_graph.to_string())]
        }
    };
    SessionInfo {
        device: options.device.to_string(),
        threads: Some(narrow(options.threads())),
        runtime_version: Some(library.version),
        details: details.into_iter().chain(of_cuda).map(|(key, value)| (key.to_string(), value)).collect(),
        ..SessionInfo::default()
    }
}

fn details(signature: &Signature, conventions: Conventions, graph: &Path) -> [(String, String); 4] {
    let kv_cache = match conventions.growth {
        _ if signature.cache.is_empty() => "none",
        Growth::Concatenated => "past_key_values",
        Growth::InPlace => "past_key_values, in place",
    };
    let padding = match conventions.padding {
        side if !signature.takes_padding(side) => "none, rows of one length share a run",
        Padding::Right => "right",
        _ => "left",
    };
    let logits = if signature.keep.is_some() { "last" } else { "all positions" };
    [
        ("graph", graph.display().to_string()),
        ("logits", logits.to_string()),
        ("kv_cache", kv_cache.to_string()),
        ("padding", padding.to_string()),
    ]
    .map(|(key, value)| (key.to_string(), value))
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
