//! The Llama architecture in any size, and two models' sizes by name.

use super::spec::{divides, size};
use crate::model::{Activation, LlamaConfig, Rope};
use serde::Serialize;

/// A size of Llama. Where it is not said, the MLP is 8/3 as wide as the model, and the heads of keys are the largest
/// divisor of the heads that is at most a third of them: both as in SmolLM2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LlamaShape {
    layers: u32,
    embd: u32,
    heads: u32,
    kv_heads: Option<u32>,
    vocab: u32,
    ctx: u32,
    inner: Option<u32>,
    theta: u32,
    tied: bool,
}

impl LlamaShape {
    pub(super) const KEYS: [&str; 9] =
        ["layers", "embd", "heads", "kv_heads", "vocab", "ctx", "inner", "theta", "tied"];
    /// SmolLM2-135M's.
    pub(super) const DEFAULT: Self = Self {
        layers: 30,
        embd: 576,
        heads: 9,
        kv_heads: None,
        vocab: 49_152,
        ctx: 8192,
        inner: None,
        theta: 100_000,
        tied: true,
    };
    /// Of Llama-3.2-1B, without the scaling of its frequencies: random weights have no long context to keep.
    const LLAMA_1B: Self = Self {
        layers: 16,
        embd: 2048,
        heads: 32,
        kv_heads: Some(8),
        vocab: 128_256,
        ctx: 131_072,
        inner: Some(8192),
        theta: 500_000,
        tied: true,
    };
    pub(super) const NAMED: [(&str, Self); 2] =
        [("smollm2-135m", Self::DEFAULT), ("llama-1b", Self::LLAMA_1B)];

    /// Sets one of [`KEYS`](Self::KEYS).
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        if key == "tied" {
            let wrong = |_| format!("tied={value} is neither true nor false");
            self.tied = value.parse().map_err(wrong)?;
            return Ok(());
        }
        let size = size(key, value)?;
        match key {
            "layers" => self.layers = size,
            "embd" => self.embd = size,
            "heads" => self.heads = size,
            "kv_heads" => self.kv_heads = Some(size),
            "vocab" => self.vocab = size,
            "ctx" => self.ctx = size,
            "theta" => self.theta = size,
            _ => self.inner = Some(size),
        }
        Ok(())
    }

    pub(super) fn check(&self) -> Result<(), String> {
        divides(("heads", self.heads), ("embd", self.embd))?;
        divides(("kv_heads", self.kv_heads()), ("heads", self.heads))?;
        if !self.head_dim().is_multiple_of(2) {
            let dim = self.head_dim();
            return Err(format!("embd / heads is {dim}; halves of a head turn together, so it must be even"));
        }
        if self.layers > 100_000 {
            return Err(format!("layers={} is more than 100,000", self.layers));
        }
        if self.theta < 2 {
            return Err(format!("theta={} is not a whole number above 1", self.theta));
        }
        Ok(())
    }

    const fn head_dim(&self) -> u32 {
        self.embd / self.heads
    }

    fn kv_heads(&self) -> u32 {
        let divisor = |count: &u32| self.heads.is_multiple_of(*count);
        self.kv_heads.unwrap_or_else(|| (1..=self.heads / 3).rev().find(divisor).unwrap_or(1))
    }

    pub(super) fn config(&self) -> LlamaConfig {
        LlamaConfig {
            hidden_size: self.embd,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: self.kv_heads(),
            head_dim: self.head_dim(),
            intermediate_size: self.inner.unwrap_or((8 * self.embd).div_ceil(3)),
            max_position_embeddings: self.ctx,
            vocab_size: self.vocab,
            rms_norm_eps: 1e-5,
            activation: Activation::Silu,
            rope: Rope::plain(self.theta.into(), self.head_dim()),
            qkv_bias: false,
            output_bias: false,
            mlp_bias: false,
            tie_word_embeddings: self.tied,
            sliding_windows: vec![None; self.layers as usize],
        }
    }

    /// Unique per content, so that a name and its keys share one folder.
    pub(super) fn folder_name(&self) -> String {
        let Self { layers, embd, heads, vocab, ctx, theta, tied, .. } = self;
        let (kv_heads, inner) = (self.kv_heads(), self.config().intermediate_size);
        let head = if *tied { "tied" } else { "untied" };
        format!("llama-l{layers}-e{embd}-h{heads}-k{kv_heads}-v{vocab}-c{ctx}-i{inner}-t{theta}-{head}")
    }

    /// As `LlamaConfig.save_pretrained` would write it.
    pub(super) fn config_file(&self) -> impl Serialize + use<> {
        let config = self.config();
        ConfigFile {
            architectures: ["LlamaForCausalLM"],
            attention_bias: config.qkv_bias,
            attention_dropout: 0.0,
            bos_token_id: config.vocab_size - 1,
            dtype: "float32",
            eos_token_id: config.vocab_size - 1,
            head_dim: config.head_dim,
            hidden_act: "silu",
            hidden_size: config.hidden_size,
            initializer_range: 0.02,
            intermediate_size: config.intermediate_size,
            max_position_embeddings: config.max_position_embeddings,
            mlp_bias: config.mlp_bias,
            model_type: "llama",
            num_attention_heads: config.num_attention_heads,
            num_hidden_layers: config.num_hidden_layers,
            num_key_value_heads: config.num_key_value_heads,
            rms_norm_eps: config.rms_norm_eps,
            rope_scaling: None,
            rope_theta: self.theta.into(),
            tie_word_embeddings: config.tie_word_embeddings,
            vocab_size: config.vocab_size,
        }
    }
}

#[derive(Serialize)]
struct ConfigFile {
    architectures: [&'static str; 1],
    attention_bias: bool,
    attention_dropout: f32,
    bos_token_id: u32,
    dtype: &'static str,
    eos_token_id: u32,
    head_dim: u32,
    hidden_act: &'static str,
    hidden_size: u32,
    initializer_range: f64,
    intermediate_size: u32,
    max_position_embeddings: u32,
    mlp_bias: bool,
    model_type: &'static str,
    num_attention_heads: u32,
    num_hidden_layers: u32,
    num_key_value_heads: u32,
    rms_norm_eps: f64,
    rope_scaling: Option<()>,
    rope_theta: f64,
    tie_word_embeddings: bool,
    vocab_size: u32,
}

#[cfg(test)]
mod tests {
    use crate::model::synthetic::SyntheticSpec;
    use crate::model::tensors::{TensorSpec, parameters, tensors};
    use crate::model::{Architecture, ModelConfig};

    fn parse(spec: &str) -> SyntheticSpec {
        spec.parse().unwrap()
    }

    #[test]
    fn named_sizes_are_the_models() {
        let count = |spec: &str| parameters(&parse(spec).architecture());
        assert_eq!(count("smollm2-135m"), 134_515_008);
        assert_eq!(count("llama-1b"), 1_235_814_400);
        assert_eq!(parse("smollm2-135m"), parse("llama"));
        let smollm2 =
            "llama?layers=30&embd=576&heads=9&kv_heads=3&inner=1536&vocab=49152&ctx=8192&theta=100000";
        assert_eq!(parse(smollm2).folder_name(), parse("smollm2-135m").folder_name());
        assert_ne!(parse("llama?tied=false").folder_name(), parse("llama").folder_name());
    }

    #[test]
    fn the_count_is_that_of_the_tensors() {
        for spec in
            ["llama?layers=2&embd=12&heads=3&vocab=7&inner=5", "llama?layers=1&embd=16&heads=8&tied=false"]
        {
            let architecture = parse(spec).architecture();
            let sum: u64 = tensors(&architecture).iter().map(TensorSpec::len).sum();
            assert_eq!(parameters(&architecture), u128::from(sum), "{spec}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_what_was_meant() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for spec in
            ["smollm2-135m", "llama-1b", "llama?layers=2&embd=16&heads=2&kv_heads=2&theta=77&tied=false"]
        {
            std::fs::write(&path, parse(spec).config_json().unwrap()).unwrap();
            assert_eq!(ModelConfig::read(&path).unwrap().architecture, parse(spec).architecture());
        }
        let Architecture::Llama(config) = parse("llama?heads=8&embd=64").architecture() else {
            panic!("not Llama")
        };
        assert_eq!((config.num_key_value_heads, config.intermediate_size), (2, 171));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("llama?kv_head=2", "unknown key \"kv_head\"; did you mean kv_heads?"),
            ("llama?heads=9&kv_heads=2", "heads=9 is not divisible by kv_heads=2"),
            ("llama?embd=100", "embd=100 is not divisible by heads=9"),
            ("llama?embd=27", "embd / heads is 3; halves of a head turn together, so it must be even"),
            ("llama?tied=1", "tied=1 is neither true nor false"),
            ("llama?theta=1", "theta=1 is not a whole number above 1"),
            ("llama?layers=100001", "layers=100001 is more than 100,000"),
            ("llama-1b?ctx=4", "llama-1b has its sizes and takes only seed=; use llama?ctx=4 to choose"),
            ("llama-2b", "unknown size \"llama-2b\"; did you mean llama-1b?"),
            ("llama?embd=9000000", "parameters; at most 20000000000 are made"),
        ] {
            let message = text.parse::<SyntheticSpec>().unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
