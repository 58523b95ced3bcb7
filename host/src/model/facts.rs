//! What can be told of a model without making, fetching or hashing it.

use super::{ModelConfig, ModelError, ModelSource, genai, program};
use inferhost_plugin_api::program::{find_program, is_program_name};
use inferhost_plugin_api::{config_beside, find_graph};

/// The most positions of one row of the model that `spec` names, where that can be told cheaply.
///
/// # Errors
/// A spec that means nothing, or a folder whose `config.json` is malformed.
pub fn context_length(spec: &str) -> Result<Option<u32>, ModelError> {
    match spec.parse()? {
        ModelSource::Synthetic(size) => Ok(Some(size.context_length())),
        ModelSource::Hub { .. } => Ok(None),
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
            Ok(own.and_then(|file| program::context_length(&file)).or(config.context_length))
        }
    }
}
