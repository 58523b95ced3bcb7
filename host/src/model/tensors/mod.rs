//! The tensors of every known architecture: names and shapes as transformers stores them, without the prefix of the
//! decoder (`transformer.`, `model.`).
//!
//! One list serves the synthetic writer, the check of a folder's weights and the parameter count, so they cannot
//! disagree.

mod gpt2;
mod llama;

use super::{Architecture, ModelError, Weights};

/// A tensor that a model must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Without the prefix of the decoder, `transformer.` or `model.`.
    pub name: String,
    /// Outermost dimension first.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    fn new(name: impl Into<String>, shape: &[u32]) -> Self {
        Self { name: name.into(), shape: shape.iter().map(|&n| n as usize).collect() }
    }

    /// Number of values.
    pub fn len(&self) -> u64 {
        self.shape.iter().map(|&n| n as u64).product()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Every parameter of the model, a tied head once; none for an unknown architecture.
pub(crate) fn tensors(architecture: &Architecture) -> Vec<TensorSpec> {
    match architecture {
        Architecture::Gpt2(config) => gpt2::tensors(config, config.n_layer),
        Architecture::Llama(config) => llama::tensors(config, config.num_hidden_layers),
        Architecture::Unknown => Vec::new(),
    }
}

/// The number of parameters, without making the list: a synthetic spec may ask for absurd sizes.
pub(crate) fn parameters(architecture: &Architecture) -> u128 {
    match architecture {
        Architecture::Gpt2(config) => gpt2::parameters(config),
        Architecture::Llama(config) => llama::parameters(config),
        Architecture::Unknown => 0,
    }
}

/// Checks that `weights` has every tensor in its shape, and counts parameters. Buffers such as `attn.bias` (the causal
/// mask) and `rotary_emb.inv_freq` of old checkpoints and a stored copy of a tied head count for nothing.
///
/// # Errors
/// The first tensor that is missing, misshapen or beyond the config's last layer.
pub(crate) fn check(architecture: &Architecture, weights: &Weights) -> Result<u64, ModelError> {
    // A config that claims an absurd depth must not fill memory with names.
    let most = u32::try_from(weights.names().count() + 1).unwrap_or(u32::MAX);
    let (list, layers, prefix) = match architecture {
        Architecture::Gpt2(config) => (gpt2::tensors(config, config.n_layer.min(most)), config.n_layer, "h."),
        Architecture::Llama(config) => {
            let layers = config.num_hidden_layers;
            (llama::tensors(config, layers.min(most)), layers, "layers.")
        }
        Architecture::Unknown => return Ok(0),
    };
    let mut parameters = 0;
    for TensorSpec { name, shape } in list {
        let found = weights.shape(&name).ok_or_else(|| {
            ModelError::tensor(weights.path(), &name, format!("is missing; expected shape {shape:?}"))
        })?;
        if found != shape {
            let problem = format!("has shape {found:?}; config.json makes it {shape:?}");
            return Err(ModelError::tensor(weights.path(), &name, problem));
        }
        parameters += shape.iter().map(|&n| n as u64).product::<u64>();
    }
    let beyond = |name: &&str| {
        let layer = name.strip_prefix(prefix).and_then(|rest| rest.split('.').next());
        layer.and_then(|layer| layer.parse().ok()).is_some_and(|layer: u32| layer >= layers)
    };
    match weights.names().find(beyond) {
        None => Ok(parameters),
        Some(name) => {
            let problem = format!("lies beyond the {layers} layers of config.json");
            Err(ModelError::tensor(weights.path(), name, problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ModelError, ResolvedModel, check_claim, resolve};
    use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
    use std::fs;
    use std::path::Path;

    const CONFIG: &str = r#"{"model_type":"gpt2","n_embd":4,"n_layer":1,"n_head":2,"n_positions":3,"vocab_size":5,
        "tie_word_embeddings":TIED}"#;

    const LLAMA: &str = r#"{"model_type":"MODEL","hidden_size":4,"num_hidden_layers":1,"num_attention_heads":4,
        "num_key_value_heads":2,"head_dim":2,"intermediate_size":6,"vocab_size":5,"tie_word_embeddings":TIED}"#;

    /// Writes a model whose tensors `change` has altered, and resolves it.
    fn resolved(tied: bool, change: impl FnOnce(&mut Vec<TensorSpec>)) -> Result<ResolvedModel, ModelError> {
        resolved_as(CONFIG, tied, change)
    }

    fn resolved_as(
        config: &str,
        tied: bool,
        change: impl FnOnce(&mut Vec<TensorSpec>),
    ) -> Result<ResolvedModel, ModelError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), config.replace("TIED", &tied.to_string())).unwrap();
        let config = crate::model::ModelConfig::read(&folder.path().join("config.json")).unwrap();
        let mut list = tensors(&config.architecture);
        change(&mut list);
        write(&folder.path().join("model.safetensors"), &list);
        resolve(folder.path().to_str().unwrap(), &folder.path().join("cache"))
    }

    fn write(path: &Path, list: &[TensorSpec]) {
        let zeros = vec![0; 4096];
        let views = list.iter().map(|tensor| {
            let data = &zeros[..4 * tensor.len() as usize];
            (&tensor.name, TensorView::new(Dtype::F32, tensor.shape.clone(), data).unwrap())
        });
        serialize_to_file(views, None, path).unwrap();
    }

    #[test]
    fn parameters_are_counted_without_buffers_and_copies() {
        // 5x4 + 3x4 + (12 x 4^2 + 13 x 4) + 2x4.
        assert_eq!(resolved(true, |_| ()).unwrap().parameters, Some(284));
        assert_eq!(resolved(false, |_| ()).unwrap().parameters, Some(304));
        let with_extras = resolved(true, |list| {
            list.push(TensorSpec::new("lm_head.weight", &[5, 4]));
            list.push(TensorSpec::new("transformer.h.0.attn.bias", &[1, 1, 3, 3]));
            list.push(TensorSpec::new("h.0.attn.masked_bias", &[]));
        });
        assert_eq!(with_extras.unwrap().parameters, Some(284));
    }

    #[test]
    fn the_llama_family_is_counted_by_its_biases_and_head() {
        let count = |model_type: &str, tied, change: fn(&mut Vec<TensorSpec>)| {
            resolved_as(&LLAMA.replace("MODEL", model_type), tied, change).unwrap().parameters
        };
        // 5x4 + (8x4 + 2 x 4x4 + 4x8 + 3 x 6x4 + 2x4) + 4, and 8 + 4 + 4 biases in Qwen2.
        assert_eq!(count("llama", true, |_| ()), Some(200));
        assert_eq!(count("mistral", false, |_| ()), Some(220));
        assert_eq!(count("qwen2", true, |_| ()), Some(216));
        let prefixed_with_extras = |list: &mut Vec<TensorSpec>| {
            list.iter_mut().for_each(|tensor| tensor.name.insert_str(0, "model."));
            list.push(TensorSpec::new("lm_head.weight", &[5, 4]));
            list.push(TensorSpec::new("model.layers.0.self_attn.rotary_emb.inv_freq", &[1]));
        };
        assert_eq!(count("llama", true, prefixed_with_extras), Some(200));
        let beyond =
            |list: &mut Vec<TensorSpec>| list.push(TensorSpec::new("layers.1.mlp.up_proj.weight", &[1]));
        let message = resolved_as(&LLAMA.replace("MODEL", "llama"), true, beyond).unwrap_err().to_string();
        assert!(message.contains("tensor layers.1.mlp.up_proj.weight lies beyond the 1 layers"), "{message}");
    }

    #[test]
    fn a_wrong_tensor_is_named() {
        let remove =
            |name: &'static str| move |list: &mut Vec<TensorSpec>| list.retain(|tensor| tensor.name != name);
        for (found, expected) in [
            (
                resolved(true, remove("h.0.mlp.c_fc.bias")),
                "tensor h.0.mlp.c_fc.bias is missing; expected shape [16]",
            ),
            (resolved(false, remove("lm_head.weight")), "tensor lm_head.weight is missing"),
            (
                resolved(true, |list| list[1].shape = vec![4, 3]),
                "tensor wpe.weight has shape [4, 3]; config.json makes it [3, 4]",
            ),
            (
                resolved(true, |list| list.push(TensorSpec::new("h.1.ln_1.weight", &[4]))),
                "tensor h.1.ln_1.weight lies beyond the 1 layers of config.json",
            ),
        ] {
            let message = found.unwrap_err().to_string();
            assert!(message.contains("model.safetensors") && message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_claim_may_be_one_percent_off() {
        let model = resolved(true, |_| ()).unwrap();
        for (claimed, holds) in
            [(284, true), (286, true), (282, true), (288, false), (0, false), (u64::MAX, false)]
        {
            assert_eq!(check_claim(&model, claimed).is_ok(), holds, "{claimed}");
        }
        let message = check_claim(&model, 124_439_808).unwrap_err().to_string();
        assert!(message.contains("has 284 parameters, but claimed_params says 124439808"), "{message}");
    }
}
