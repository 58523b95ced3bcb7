//! GPT-2's tensors: names and shapes as transformers stores them, without the `transformer.` prefix.
//!
//! One list serves the synthetic writer, the check of a folder's weights and the parameter count, so they cannot
//! disagree.

use super::{Gpt2Config, ModelError, Weights};

/// A tensor that a model must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Without the `transformer.` prefix.
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

/// Every parameter of the model, a tied head once. Linear layers are `Conv1D`: `[inputs, outputs]`.
pub(crate) fn tensors(config: &Gpt2Config) -> Vec<TensorSpec> {
    let &Gpt2Config { n_embd: width, n_inner: inner, vocab_size: vocab, .. } = config;
    let mut list = vec![
        TensorSpec::new("wte.weight", &[vocab, width]),
        TensorSpec::new("wpe.weight", &[config.n_positions, width]),
    ];
    for layer in 0..config.n_layer {
        let block: [(&str, &[u32]); 12] = [
            ("ln_1.weight", &[width]),
            ("ln_1.bias", &[width]),
            ("attn.c_attn.weight", &[width, 3 * width]),
            ("attn.c_attn.bias", &[3 * width]),
            ("attn.c_proj.weight", &[width, width]),
            ("attn.c_proj.bias", &[width]),
            ("ln_2.weight", &[width]),
            ("ln_2.bias", &[width]),
            ("mlp.c_fc.weight", &[width, inner]),
            ("mlp.c_fc.bias", &[inner]),
            ("mlp.c_proj.weight", &[inner, width]),
            ("mlp.c_proj.bias", &[width]),
        ];
        list.extend(block.map(|(name, shape)| TensorSpec::new(format!("h.{layer}.{name}"), shape)));
    }
    list.push(TensorSpec::new("ln_f.weight", &[width]));
    list.push(TensorSpec::new("ln_f.bias", &[width]));
    if !config.tie_word_embeddings {
        list.push(TensorSpec::new("lm_head.weight", &[vocab, width]));
    }
    list
}

/// The number of parameters, without making the list: a synthetic spec may ask for absurd sizes.
pub(crate) fn parameters(config: &Gpt2Config) -> u128 {
    let [width, inner, vocab, context, layers] =
        [config.n_embd, config.n_inner, config.vocab_size, config.n_positions, config.n_layer]
            .map(u128::from);
    let block = 4 * width * width + 2 * width * inner + 9 * width + inner;
    let head = if config.tie_word_embeddings { 0 } else { vocab * width };
    vocab * width + context * width + layers * block + 2 * width + head
}

/// Checks that `weights` has every tensor in its shape, and counts parameters. Buffers such as `attn.bias` (the
/// causal mask in old checkpoints) and a stored copy of a tied head count for nothing.
///
/// # Errors
/// The first tensor that is missing, misshapen or beyond the config's last block.
pub(crate) fn check(config: &Gpt2Config, weights: &Weights) -> Result<u64, ModelError> {
    // A config that claims an absurd depth must not fill memory with names.
    let mut block = config.clone();
    block.n_layer = block.n_layer.min(u32::try_from(weights.names().count() + 1).unwrap_or(u32::MAX));
    let mut parameters = 0;
    for TensorSpec { name, shape } in tensors(&block) {
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
        let layer = name.strip_prefix("h.").and_then(|rest| rest.split('.').next());
        layer.and_then(|layer| layer.parse().ok()).is_some_and(|layer: u32| layer >= config.n_layer)
    };
    match weights.names().find(beyond) {
        None => Ok(parameters),
        Some(name) => {
            let problem = format!("lies beyond the {} layers of config.json", config.n_layer);
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

    /// Writes a model whose tensors `change` has altered, and resolves it.
    fn resolved(tied: bool, change: impl FnOnce(&mut Vec<TensorSpec>)) -> Result<ResolvedModel, ModelError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), CONFIG.replace("TIED", &tied.to_string())).unwrap();
        let config = crate::model::ModelConfig::read(&folder.path().join("config.json")).unwrap();
        let crate::model::Architecture::Gpt2(config) = config.architecture else { panic!("not GPT-2") };
        let mut list = tensors(&config);
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
        assert_eq!(resolved(true, |_| ()).unwrap().parameters, 284);
        assert_eq!(resolved(false, |_| ()).unwrap().parameters, 304);
        let with_extras = resolved(true, |list| {
            list.push(TensorSpec::new("lm_head.weight", &[5, 4]));
            list.push(TensorSpec::new("transformer.h.0.attn.bias", &[1, 1, 3, 3]));
            list.push(TensorSpec::new("h.0.attn.masked_bias", &[]));
        });
        assert_eq!(with_extras.unwrap().parameters, 284);
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
