//! From a request to a session: the runtime's settings, the graph's ports, what the session will say of itself.

use crate::binding::{Memories, Runner};
use crate::config::{ModelConfig, graph_bytes, graph_file, has_operator};
use crate::conventions::{Conventions, Growth, Padding, precision_of};
use crate::element::Element;
use crate::error::from_ort;
use crate::library::{self, Library};
use crate::options::{Device, Optimization, Options};
use crate::session::OrtSession;
use crate::signature::{Port, Signature};
use inferhost_plugin_api::{Error, ErrorKind, GenaiConfig, ModelForm, OpenRequest, SessionInfo};
use ort::environment::Environment;
use ort::ep;
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
    let options: Options = request.parse_options()?;
    let graph = graph_file(request.path)?;
    let genai = GenaiConfig::beside(&graph).map_err(|e| Error::invalid(e.to_string()))?;
    let config = ModelConfig::beside(&graph)?.or_of(genai.as_ref());
    let (library, environment) = library::load(&options)?;
    let session = load_graph(&environment, &graph, &options)?;
    let names = genai.as_ref().map(|genai| genai.names.clone()).unwrap_or_default();
    let signature = Signature::read(&ports(session.inputs()), &ports(session.outputs()), &config, &names)?;
    let (said, artifact) = metadata(&session)?;
    let conventions = said.unwrap_or_else(|| {
        Conventions::of_other(genai.as_ref(), || has_operator(&graph, "GroupQueryAttention"))
    });
    let mut info = of_runtime(&options, library);
    info.vocab_size = narrow(signature.vocab_size);
    info.context_length = config.context_length.map(narrow);
    info.model_bytes = graph_bytes(&graph);
    info.precision = artifact.as_deref().and_then(precision_of).unwrap_or(signature.precision()).to_string();
    let artifact = artifact.map(|artifact| ("artifact_precision".to_string(), artifact));
    info.details.extend(details(&signature, conventions, &graph).into_iter().chain(artifact));
    let runner = Runner::new(session, signature.inputs(), signature.outputs())?;
    let memories = Memories::new(&runner, options.device)?;
    Ok(OrtSession::new(runner, memories, signature, conventions, info))
}

/// What the graph's writer said of its layout and of the precision of its weights.
fn metadata(session: &Session) -> Result<(Option<Conventions>, Option<String>), Error> {
    let metadata = session.metadata().map_err(|e| from_ort("read the graph's metadata", &e))?;
    let lookup = |key: &str| metadata.custom(key);
    Ok((Conventions::read(lookup)?, lookup("inferhost.precision")))
}

fn load_graph(environment: &Environment, graph: &Path, options: &Options) -> Result<Session, Error> {
    settings(environment, options)
        .map_err(|e| from_ort(&format!("set up {}", options.device), &e))
        .map_err(|e| name_remedy(e, options.device))?
        .commit_from_file(graph)
        .map_err(|e| from_ort(&format!("load {}", graph.display()), &e))
        .map_err(|e| name_remedy(e, options.device))
}

fn settings(environment: &Environment, options: &Options) -> ort::Result<SessionBuilder> {
    let cpu = ep::CPU::default().with_arena_allocator(options.arena).build();
    let providers = match options.device {
        Device::Cpu => vec![cpu],
        Device::Cuda(number) => {
            let cuda = ep::CUDA::default().with_device_id(i32::from(number)).with_tf32(options.tf32);
            vec![cuda.build().error_on_failure(), cpu]
        }
    };
    let builder = match options.device {
        Device::Cpu => Session::builder(environment)?.with_config_entry(DISABLED.0, DISABLED.1)?,
        Device::Cuda(_) => Session::builder(environment)?,
    };
    Ok(builder
        .with_intra_threads(options.threads())?
        .with_intra_op_spinning(options.spinning)?
        .with_optimization_level(level(options.optimization))?
        .with_execution_providers(providers)?)
}

fn name_remedy(error: Error, device: Device) -> Error {
    if device == Device::Cpu || error.kind != ErrorKind::RuntimeMissing {
        return error;
    }
    let message =
        format!("{}; set library=… to that of onnxruntime-gpu, its CUDA libraries in reach", error.message);
    Error::new(error.kind, message)
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
    let provider = match options.device {
        Device::Cpu => "CPUExecutionProvider",
        Device::Cuda(_) => "CUDAExecutionProvider",
    };
    let details = [
        ("provider", provider.to_string()),
        ("library", library.path.display().to_string()),
        ("optimization", options.optimization.to_string()),
        ("spinning", options.spinning.to_string()),
        ("arena", options.arena.to_string()),
    ];
    SessionInfo {
        device: options.device.to_string(),
        threads: Some(narrow(options.threads())),
        runtime_version: Some(library.version),
        details: details.into_iter().map(|(key, value)| (key.to_string(), value)).collect(),
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
