//! The GPT-2 forward pass. The tokens of all rows lie packed one after another, so a batch is never padded: the
//! layers see `[tokens, width]`, and attention alone works row by row.

use crate::config::Config;
use crate::internal;
use crate::linear::{Linear, bytes, split};
use crate::ops::{CausalSoftmax, LayerNorm};
use crate::product::product;
use crate::weights::Weights;
use candle_core::{D, Device, Result, Tensor};
use inferhost_plugin_api::Error;
use rayon::prelude::*;

/// Fewer multiplications than this are not worth waking another thread for.
const SERIAL_BELOW: usize = 64 * 1024;

type Loaded<T> = std::result::Result<T, Error>;

/// The weights, as the forward pass uses them.
pub(crate) struct Model {
    config: Config,
    wte: Tensor,
    wpe: Tensor,
    blocks: Vec<Block>,
    ln_f: Norm,
    head: Linear,
}

struct Block {
    ln_1: Norm,
    c_attn: Linear,
    attn_proj: Linear,
    ln_2: Norm,
    c_fc: Linear,
    mlp_proj: Linear,
    attention_scale: f64,
}

struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

/// The keys and values of one row, in buffers of the row's full capacity: `[heads, capacity, head width]` each.
pub(crate) struct RowCache {
    used: usize,
    layers: Vec<(Tensor, Tensor)>,
}

/// One row's part of a forward pass.
struct Part {
    start: usize,
    length: usize,
    /// Positions in the cache before it.
    past: usize,
}

impl Model {
    /// Reads every tensor.
    ///
    /// # Errors
    /// `InvalidInput` for a tensor that is missing or has the wrong shape.
    pub(crate) fn load(config: Config, weights: &mut Weights, threads: usize) -> Loaded<Self> {
        let (vocab, width) = (config.vocab_size, config.n_embd);
        let wte = weights.decoder("wte.weight", &[vocab, width])?;
        let wpe = weights.decoder("wpe.weight", &[config.n_positions, width])?;
        let eps = config.layer_norm_epsilon;
        let blocks = (0..config.n_layer).map(|layer| Block::load(&config, weights, layer, threads));
        let blocks = blocks.collect::<Loaded<_>>()?;
        let ln_f = Norm::load(weights, "ln_f", width, eps)?;
        let head = match config.tie_word_embeddings {
            true => wte.clone(),
            false => weights.tensor("lm_head.weight", &[vocab, width])?,
        };
        let head = Linear::new(&head, None, threads).map_err(internal)?;
        Ok(Self { config, wte, wpe, blocks, ln_f, head })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes of all weights, a tied head counted once.
    pub(crate) fn bytes(&self) -> usize {
        let norm = |norm: &Norm| bytes(&norm.weight) + bytes(&norm.bias);
        let block = |block: &Block| {
            let linears = [&block.c_attn, &block.attn_proj, &block.c_fc, &block.mlp_proj];
            linears.into_iter().map(Linear::bytes).sum::<usize>() + norm(&block.ln_1) + norm(&block.ln_2)
        };
        let head = if self.config.tie_word_embeddings { 0 } else { self.head.bytes() };
        let embeddings = bytes(&self.wte) + bytes(&self.wpe);
        embeddings + self.blocks.iter().map(block).sum::<usize>() + norm(&self.ln_f) + head
    }

    /// An empty cache for a row that will use `capacity` positions.
    pub(crate) fn row_cache(&self, capacity: usize) -> Result<RowCache> {
        let shape = (self.config.n_head, capacity, self.config.head_dim());
        let empty = || Tensor::zeros(shape, self.wte.dtype(), &Device::Cpu);
        let layers = self.blocks.iter().map(|_| Ok((empty()?, empty()?))).collect::<Result<_>>()?;
        Ok(RowCache { used: 0, layers })
    }

    /// Runs the tokens of rows of `lengths` and returns the states after the last block, `[tokens, width]`. With
    /// `caches`, one per row, the rows go on where the caches end; without, they begin, and nothing is kept.
    pub(crate) fn forward(
        &self,
        tokens: &[u32],
        lengths: &[u32],
        mut caches: Option<&mut [RowCache]>,
    ) -> Result<Tensor> {
        let mut parts = Vec::with_capacity(lengths.len());
        let mut positions = Vec::with_capacity(tokens.len());
        let mut start = 0;
        for (row, &length) in lengths.iter().enumerate() {
            let past = caches.as_ref().map_or(0, |caches| caches[row].used);
            positions.extend((past as u32)..(past as u32 + length));
            parts.push(Part { start, length: length as usize, past });
            start += length as usize;
        }
        let states = self.wte.index_select(&Tensor::new(tokens, &Device::Cpu)?, 0)?;
        let states = (states + self.wpe.index_select(&Tensor::new(positions, &Device::Cpu)?, 0)?)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let normed = block.ln_1.apply(&states)?;
            let qkv = block.c_attn.apply(&normed, None)?;
            let mixed = self.attention(layer, &qkv, &parts, caches.as_deref_mut())?;
            block.attn_proj.add_to(&states, &mixed)?;
            let normed = block.ln_2.apply(&states)?;
            let inner = block.c_fc.apply(&normed, Some(self.config.activation))?;
            block.mlp_proj.add_to(&states, &inner)?;
        }
        for (cache, part) in caches.into_iter().flatten().zip(&parts) {
            cache.used += part.length;
        }
        Ok(states)
    }

    /// Logits of states, `[positions, width]` to `[positions, vocab]`.
    pub(crate) fn logits(&self, states: &Tensor) -> Result<Tensor> {
        self.head.apply(&self.ln_f.apply(states)?, None)
    }

    /// `[tokens, 3 width]` to `[tokens, width]`, row by row.
    fn attention(
        &self,
        layer: usize,
        qkv: &Tensor,
        parts: &[Part],
        caches: Option<&mut [RowCache]>,
    ) -> Result<Tensor> {
        let (heads, head_dim) = (self.config.n_head, self.config.head_dim());
        let qkv = qkv.reshape(((), 3, heads, head_dim))?;
        let mut caches = caches.map(<[RowCache]>::iter_mut);
        let mut rows = Vec::with_capacity(parts.len());
        for part in parts {
            // Views: [heads, length, head_dim].
            let slice = qkv.narrow(0, part.start, part.length)?;
            let view = |which| slice.narrow(1, which, 1)?.squeeze(1)?.transpose(0, 1);
            let (query, mut key, mut value) = (view(0)?, view(1)?, view(2)?);
            if let Some(cache) = caches.as_mut().and_then(Iterator::next) {
                let (keys, values) = &cache.layers[layer];
                keys.slice_set(&key.contiguous()?, 1, part.past)?;
                values.slice_set(&value.contiguous()?, 1, part.past)?;
                key = keys.narrow(1, 0, part.past + part.length)?;
                value = values.narrow(1, 0, part.past + part.length)?;
            }
            rows.push(Attended { query, key, value, scale: self.blocks[layer].attention_scale });
        }
        let work: usize = parts.iter().map(|p| p.length * (p.past + p.length) * self.config.n_embd).sum();
        let mixed: Vec<Tensor> = if work < SERIAL_BELOW {
            rows.iter().map(Attended::whole).collect::<Result<_>>()?
        } else if let [row] = rows.as_slice() {
            vec![row.by_heads()?]
        } else {
            rows.par_iter().map(Attended::whole).collect::<Result<_>>()?
        };
        match mixed.as_slice() {
            [one] => Ok(one.clone()),
            _ => Tensor::cat(&mixed, 0),
        }
    }
}

/// The query, keys and values of one row, each `[heads, positions, head width]`.
struct Attended {
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: f64,
}

impl Attended {
    fn whole(&self) -> Result<Tensor> {
        self.heads(0, self.query.dim(0)?)
    }

    /// The heads in as many groups as there are threads.
    fn by_heads(&self) -> Result<Tensor> {
        let groups = split(self.query.dim(0)?, rayon::current_num_threads());
        let mixed = groups.into_par_iter().map(|(first, count)| self.heads(first, count));
        Tensor::cat(&mixed.collect::<Result<Vec<_>>>()?, D::Minus1)
    }

    /// `[queries, count * head width]`.
    fn heads(&self, first: usize, count: usize) -> Result<Tensor> {
        let of = |tensor: &Tensor| tensor.narrow(0, first, count);
        let scores = product(&of(&self.query)?, &of(&self.key)?.transpose(1, 2)?)?;
        let (_, queries, keys) = scores.dims3()?;
        scores.inplace_op1(&CausalSoftmax { scale: self.scale, queries, keys })?;
        product(&scores, &of(&self.value)?)?.transpose(0, 1)?.reshape((queries, ()))
    }
}

impl Block {
    fn load(config: &Config, weights: &mut Weights, layer: usize, threads: usize) -> Loaded<Self> {
        let (width, inner, eps) = (config.n_embd, config.n_inner, config.layer_norm_epsilon);
        let at = |name: &str| format!("h.{layer}.{name}");
        let mut linear = |name: &str, from, to| Linear::load(weights, &at(name), from, to, threads);
        let c_attn = linear("attn.c_attn", width, 3 * width)?;
        let attn_proj = linear("attn.c_proj", width, width)?;
        let c_fc = linear("mlp.c_fc", width, inner)?;
        let mlp_proj = linear("mlp.c_proj", inner, width)?;
        let mut norm = |name: &str| Norm::load(weights, &at(name), width, eps);
        let (ln_1, ln_2) = (norm("ln_1")?, norm("ln_2")?);
        let attention_scale = config.attention_scale(layer);
        Ok(Self { ln_1, c_attn, attn_proj, ln_2, c_fc, mlp_proj, attention_scale })
    }
}

impl Norm {
    fn load(weights: &mut Weights, name: &str, width: usize, eps: f64) -> Loaded<Self> {
        let weight = weights.decoder(&format!("{name}.weight"), &[width])?;
        let bias = weights.decoder(&format!("{name}.bias"), &[width])?;
        Ok(Self { weight, bias, eps })
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op3_no_bwd(&self.weight, &self.bias, &LayerNorm { eps: self.eps })
    }
}
