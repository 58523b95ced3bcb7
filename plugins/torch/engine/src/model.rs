//! A causal language model: token embedding, decoder, head.

use crate::attention::{Attention, KvCache, Span};
use crate::embedding::Embedding;
use crate::error::Outcome;
use crate::gpt2::Gpt2;
use crate::linear::Linear;
use crate::llama::Llama;
use crate::storage::{Coverage, Storage};
use crate::weights::Weights;
use inferhost_plugin_api::hf::{Config, Heads};
use tch::{Device, Kind, Tensor};

/// What an architecture does between the token embedding and the head.
pub(crate) trait Decoder {
    /// Token embeddings, `[rows, tokens, width]`, to the states after the last layer, `[rows * tokens, width]`.
    fn forward(&self, embedded: Tensor, attention: &mut Attention<'_>) -> Outcome<Tensor>;

    /// The last norm: what the head sees of states.
    fn norm(&self, states: &Tensor) -> Outcome<Tensor>;

    /// Number of layers, and the heads of each.
    fn shape(&self) -> (usize, Heads);

    /// Bytes of its weights, as they are kept.
    fn bytes(&self) -> usize;

    /// A table beside the weights that grows with the positions asked for, as it is now.
    fn table(&self) -> Option<Tensor> {
        None
    }
}

/// Where weights come from, and the form they take.
pub(crate) struct Loader {
    pub(crate) weights: Weights,
    storage: Storage,
    coverage: Coverage,
}

impl Loader {
    pub(crate) fn new(weights: Weights, storage: Storage) -> Self {
        Self { weights, storage, coverage: Coverage::default() }
    }

    /// A layer from `weight` `[outputs, inputs]`.
    pub(crate) fn linear(&mut self, weight: &Tensor, bias: Option<Tensor>) -> Outcome<Linear> {
        let linear = Linear::new(weight, bias, self.storage, self.weights.kind(), self.weights.device())?;
        self.coverage.add(linear.precision(), weight.numel());
        Ok(linear)
    }
}

/// The weights, as the forward pass uses them.
pub(crate) struct Model {
    config: Config,
    embedding: Embedding,
    decoder: Box<dyn Decoder>,
    head: Linear,
    kind: Kind,
    device: Device,
    coverage: Coverage,
}

impl Model {
    /// Reads every tensor, one at a time.
    ///
    /// # Errors
    /// `InvalidInput` for a tensor that is missing or has the wrong shape, `OutOfMemory`.
    pub(crate) fn load(config: Config, mut from: Loader) -> Outcome<Self> {
        let shape = [config.vocab_size(), config.width()];
        let name = match &config {
            Config::Gpt2(_) => "wte.weight",
            Config::Llama(_) => "embed_tokens.weight",
        };
        // The largest goes first, while nothing else takes memory.
        let head = match config.is_tied() {
            true => from.weights.matrix(name, &shape)?,
            false => from.weights.head("lm_head.weight", &shape)?,
        };
        let head = from.linear(&head, None)?;
        let embedding = match head.plain().filter(|_| config.is_tied()) {
            Some(matrix) => Embedding::Loaded(matrix.shallow_clone()),
            None if from.weights.device() == Device::Cpu => Embedding::map(name, &shape, &from.weights)?,
            None => Embedding::Loaded(from.weights.decoder(name, &shape)?),
        };
        let decoder: Box<dyn Decoder> = match &config {
            Config::Gpt2(config) => Box::new(Gpt2::load(config, &mut from)?),
            Config::Llama(config) => Box::new(Llama::load(config, &mut from)?),
        };
        let (kind, device) = (from.weights.kind(), from.weights.device());
        Ok(Self { config, embedding, decoder, head, kind, device, coverage: from.coverage })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// What the matrices are stored in.
    pub(crate) fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// Bytes of all weights in memory: an embedding that the head shares counts once, one left in its file not at all.
    pub(crate) fn bytes(&self) -> usize {
        let shared = self.config.is_tied() && self.head.plain().is_some();
        let embedding = if shared { 0 } else { self.embedding.bytes() };
        embedding + self.decoder.bytes() + self.head.bytes()
    }

    /// The decoder's table beside its weights, where it has one.
    pub(crate) fn table(&self) -> Option<Tensor> {
        self.decoder.table()
    }

    /// An empty cache.
    pub(crate) fn cache(&self, rows: i64, capacity: i64) -> Outcome<KvCache> {
        let (layers, heads) = self.decoder.shape();
        KvCache::new(layers, heads, rows, capacity, (self.kind, self.device))
    }

    /// Runs token ids `[rows * tokens]` that stand at `span`, and returns the states after the last layer,
    /// `[rows * tokens, width]`. Keys and values go into `cache` where there is one.
    pub(crate) fn forward(&self, ids: &Tensor, span: &Span, cache: Option<&KvCache>) -> Outcome<Tensor> {
        let embedded = self.embedding.rows(ids)?.f_reshape([span.rows(), span.tokens(), -1])?;
        let mut attention = Attention::new(span, cache, self.decoder.shape().1);
        self.decoder.forward(embedded, &mut attention)
    }

    /// The logits of states, `[states, vocab_size]`, in f32 or f64.
    pub(crate) fn logits(&self, states: &Tensor) -> Outcome<Tensor> {
        let logits = self.head.forward(&self.decoder.norm(states)?)?;
        let wide = if self.kind == Kind::Double { Kind::Double } else { Kind::Float };
        Ok(logits.f_to_kind(wide)?)
    }
}
