//! A causal language model: token embedding, decoder, head. The tokens of all rows lie packed one after another, so a
//! batch is never padded: the layers see `[tokens, width]`, and attention alone works row by row.

use crate::attention::{PackedRows, RowCache};
use crate::gpt2::Gpt2;
use crate::internal;
use crate::linear::{Linear, bytes};
use crate::llama::Llama;
use crate::weights::Weights;
use candle_core::{Device, Result, Tensor};
use inferhost_plugin_api::Error;
use inferhost_plugin_api::hf::{Config, Heads};

pub(crate) type Loaded<T> = std::result::Result<T, Error>;

/// What an architecture does between the token embedding and the head.
pub(crate) trait Decoder: Send + Sync {
    /// Token embeddings, `[tokens, width]`, to the states after the last layer.
    fn forward(&self, embedded: Tensor, rows: &mut PackedRows<'_>) -> Result<Tensor>;

    /// The last norm: what the head sees of states.
    fn norm(&self, states: &Tensor) -> Result<Tensor>;

    /// Number of layers, and the heads of each.
    fn shape(&self) -> (usize, Heads);

    /// Bytes of its weights.
    fn bytes(&self) -> usize;
}

/// The weights, as the forward pass uses them.
pub(crate) struct Model {
    config: Config,
    embedding: Tensor,
    decoder: Box<dyn Decoder>,
    head: Linear,
}

impl Model {
    /// Reads every tensor.
    ///
    /// # Errors
    /// `InvalidInput` for a tensor that is missing or has the wrong shape.
    pub(crate) fn load(config: Config, weights: &mut Weights, threads: usize) -> Loaded<Self> {
        let shape = [config.vocab_size(), config.width()];
        let (embedding, decoder): (Tensor, Box<dyn Decoder>) = match &config {
            Config::Gpt2(config) => {
                let embedding = weights.decoder("wte.weight", &shape)?;
                (embedding, Box::new(Gpt2::load(config, weights, threads)?))
            }
            Config::Llama(config) => {
                let embedding = weights.decoder("embed_tokens.weight", &shape)?;
                (embedding, Box::new(Llama::load(config, weights, threads)?))
            }
        };
        let head = match config.is_tied() {
            true => embedding.clone(),
            false => weights.tensor("lm_head.weight", &shape)?,
        };
        let head = Linear::new(&head, None, threads).map_err(internal)?;
        Ok(Self { config, embedding, decoder, head })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes of all weights, a tied head counted once.
    pub(crate) fn bytes(&self) -> usize {
        let head = if self.config.is_tied() { 0 } else { self.head.bytes() };
        bytes(&self.embedding) + self.decoder.bytes() + head
    }

    /// An empty cache for a row that will use `capacity` positions.
    pub(crate) fn row_cache(&self, capacity: usize) -> Result<RowCache> {
        let (layers, heads) = self.decoder.shape();
        RowCache::new(layers, heads, capacity, self.embedding.dtype())
    }

    /// Runs the tokens of rows of `lengths` and returns the states after the last layer, `[tokens, width]`. With
    /// `caches`, one per row, the rows go on where the caches end; without, they begin, and nothing is kept.
    pub(crate) fn forward(
        &self,
        tokens: &[u32],
        lengths: &[u32],
        caches: Option<&mut [RowCache]>,
    ) -> Result<Tensor> {
        let mut rows = PackedRows::new(lengths, caches);
        let embedded = self.embedding.index_select(&Tensor::new(tokens, &Device::Cpu)?, 0)?;
        let states = self.decoder.forward(embedded, &mut rows)?;
        rows.keep();
        Ok(states)
    }

    /// Logits of states, `[positions, width]` to `[positions, vocab]`.
    pub(crate) fn logits(&self, states: &Tensor) -> Result<Tensor> {
        self.head.apply(&self.decoder.norm(states)?, None)
    }
}
