//! What onnxruntime-genai's `genai_config.json` adds to a ready graph: where there is no `config.json`, all that is
//! known of the model.

use super::{ModelConfig, ModelError};
use inferhost_plugin_api::GenaiConfig;
use std::path::Path;

/// The `genai_config.json` of this graph, if it lies beside it.
///
/// # Errors
/// The file and the key in it that is missing or malformed.
pub(super) fn beside(graph: &Path) -> Result<Option<GenaiConfig>, ModelError> {
    GenaiConfig::beside(graph).map_err(|e| ModelError::malformed(&e.file, e.problem))
}

/// Fills in what `config` leaves open.
pub(super) fn complete(config: &mut ModelConfig, genai: Option<&GenaiConfig>) {
    let Some(genai) = genai else { return };
    config.vocab_size = config.vocab_size.or(genai.vocab_size);
    config.context_length = config.context_length.or(genai.context_length);
}

#[cfg(test)]
mod tests {
    use crate::model::{ModelKind, context_length, resolve};
    use std::fs;
    use std::path::Path;

    #[test]
    fn a_folder_without_config_json_is_known_by_its_genai_config() {
        let cache = tempfile::tempdir().unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/ort/genai");
        let graph = folder.join("text.onnx");
        for spec in [&folder, &graph].map(|path| path.to_str().unwrap()) {
            let model = resolve(spec, cache.path()).unwrap();
            assert_eq!((model.config.vocab_size, model.config.context_length), (Some(97), Some(48)));
            assert_eq!(
                (model.eos_token_ids.as_slice(), context_length(spec).unwrap()),
                (&[0, 96][..], Some(48))
            );
            let ModelKind::Onnx { graph: found } = model.kind else { panic!("not a graph") };
            assert_eq!(found, graph);
        }
    }

    #[test]
    fn a_malformed_genai_config_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join("model.onnx"), "").unwrap();
        let config = r#"{"model": {"vocab_size": "many", "decoder": {"filename": "model.onnx"}}}"#;
        fs::write(path.join("genai_config.json"), config).unwrap();
        let message = resolve(path.to_str().unwrap(), path).unwrap_err().to_string();
        let expected =
            "holds a bad genai_config.json: model.vocab_size is \"many\", expected a number above 0";
        assert!(message.ends_with(expected), "{message}");
    }
}
