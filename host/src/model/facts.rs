//! What can be told of a model without making, fetching or hashing it.

use super::{ModelConfig, ModelError, ModelSource, engine, genai, program};
use inferhost_plugin_api::program::{find_program, is_program_name};
use inferhost_plugin_api::shapes::Profile;
use inferhost_plugin_api::{config_beside, find_graph};

/// The most positions of one row of the model that `spec` names, where that can be told cheaply.
///
/// # Errors
/// As [`known_config`].
pub fn context_length(spec: &str) -> Result<Option<u32>, ModelError> {
    known_config(spec).map(|config| config.context_length)
}

/// What can be told cheaply of the config of the model that `spec` names.
///
/// # Errors
/// A spec that means nothing, or a folder whose `config.json` is malformed.
pub fn known_config(spec: &str) -> Result<ModelConfig, ModelError> {
    match spec.parse()? {
        ModelSource::Synthetic(size) => {
            let (context_length, vocab_size) = (Some(size.context_length()), Some(size.vocab_size()));
            Ok(ModelConfig { context_length, vocab_size, ..ModelConfig::unknown() })
        }
        ModelSource::Hub { .. } => Ok(ModelConfig::unknown()),
        ModelSource::Path(path) => {
            let inside = path.join("config.json");
            let config =
                if path.is_file() { config_beside(&path) } else { inside.is_file().then_some(inside) };
            // What only weights need is told when the model is resolved: there may be a graph instead.
            let mut config = config
                .map_or_else(|| Ok(ModelConfig::unknown()), |file| ModelConfig::read_beside_graph(&file))?;
            let own =
                if is_program_name(&path) { Some(path.clone()) } else { find_program(&path).ok().flatten() };
            let graph = if path.is_file() { Some(path) } else { find_graph(&path).ok().flatten() };
            let genai = graph.map_or(Ok(None), |graph| genai::beside(&graph))?;
            genai::complete(&mut config, genai.as_ref());
            let own = own.and_then(|file| program::context_length(&file));
            config.context_length = own.or(config.context_length);
            Ok(config)
        }
    }
}

/// What the engine plan that `spec` names runs; none where it names no engine.
///
/// # Errors
/// A spec that means nothing, or an engine without a sound report.
pub fn engine_profiles(spec: &str) -> Result<Option<Vec<Profile>>, ModelError> {
    match spec.parse()? {
        ModelSource::Path(path) if engine::is_in(&path) => engine::profiles(&path).map(Some),
        _ => Ok(None),
    }
}
