//! Causal attention over the rows of a batch that lie packed one after another, with keys and values of earlier calls.
//! What is here knows heads, groups and windows, and no architecture.

use crate::linear::split;
use crate::ops::CausalSoftmax;
use crate::product::product;
use candle_core::{D, DType, Device, Result, Tensor};
use inferhost_plugin_api::hf::Heads;
use rayon::prelude::*;

/// Fewer multiplications than this are not worth waking another thread for.
const SERIAL_BELOW: usize = 64 * 1024;

/// How one layer attends.
pub(crate) struct Attention {
    pub(crate) heads: Heads,
    pub(crate) scale: f64,
    /// How many positions up to its own a query sees; none where it sees all of them.
    pub(crate) window: Option<usize>,
}

/// The keys and values of one row, in buffers of the row's full capacity: `[heads, capacity, head width]` each.
pub(crate) struct RowCache {
    used: usize,
    layers: Vec<(Tensor, Tensor)>,
}

impl RowCache {
    /// An empty cache of `layers` layers for a row that will use `capacity` positions.
    pub(crate) fn new(layers: usize, heads: Heads, capacity: usize, dtype: DType) -> Result<Self> {
        let empty = || Tensor::zeros((heads.keys, capacity, heads.width), dtype, &Device::Cpu);
        let layers = (0..layers).map(|_| Ok((empty()?, empty()?))).collect::<Result<_>>()?;
        Ok(Self { used: 0, layers })
    }
}

/// The rows of a forward pass, and the caches that they go on from.
pub(crate) struct PackedRows<'a> {
    parts: Vec<Part>,
    positions: Vec<u32>,
    caches: Option<&'a mut [RowCache]>,
}

/// One row's part of a forward pass.
struct Part {
    start: usize,
    length: usize,
    /// Positions in the cache before it.
    past: usize,
}

impl<'a> PackedRows<'a> {
    /// With `caches`, one per row, the rows go on where the caches end; without, they begin, and nothing is kept.
    pub(crate) fn new(lengths: &[u32], caches: Option<&'a mut [RowCache]>) -> Self {
        let (mut parts, mut positions) = (Vec::with_capacity(lengths.len()), Vec::new());
        for (row, &length) in lengths.iter().enumerate() {
            let past = caches.as_ref().map_or(0, |caches| caches[row].used);
            parts.push(Part { start: positions.len(), length: length as usize, past });
            positions.extend((past as u32)..(past as u32 + length));
        }
        Self { parts, positions, caches }
    }

    /// Of every token in its row.
    pub(crate) fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// To be called after the last layer: the caches hold these rows now.
    pub(crate) fn keep(self) {
        for (cache, part) in self.caches.into_iter().flatten().zip(&self.parts) {
            cache.used += part.length;
        }
    }
}

impl Attention {
    /// `[tokens, (queries + 2 keys) * width]`, the heads of queries, keys and values in this order, to
    /// `[tokens, queries * width]`, row by row.
    pub(crate) fn apply(&self, layer: usize, qkv: &Tensor, packed: &mut PackedRows<'_>) -> Result<Tensor> {
        let Heads { queries, keys, width } = self.heads;
        let qkv = qkv.reshape(((), queries + 2 * keys, width))?;
        let mut caches = packed.caches.as_deref_mut().map(<[RowCache]>::iter_mut);
        let mut rows = Vec::with_capacity(packed.parts.len());
        for part in &packed.parts {
            // Views: [heads, length, width].
            let slice = qkv.narrow(0, part.start, part.length)?;
            let view = |first, count| slice.narrow(1, first, count)?.transpose(0, 1);
            let query = view(0, queries)?;
            let (mut key, mut value) = (view(queries, keys)?, view(queries + keys, keys)?);
            if let Some(cache) = caches.as_mut().and_then(Iterator::next) {
                let (keys, values) = &cache.layers[layer];
                keys.slice_set(&key.contiguous()?, 1, part.past)?;
                values.slice_set(&value.contiguous()?, 1, part.past)?;
                // The part's first query sees no key before this one.
                let first = self.window.map_or(0, |window| (part.past + 1).saturating_sub(window));
                key = keys.narrow(1, first, part.past + part.length - first)?;
                value = values.narrow(1, first, part.past + part.length - first)?;
            }
            rows.push(Attended { query, key, value, scale: self.scale, window: self.window });
        }
        let work = |part: &Part| part.length * (part.past + part.length) * queries * width;
        mix(&rows, packed.parts.iter().map(work).sum())
    }
}

/// Attends in every row, on as many threads as `work` multiplications are worth.
fn mix(rows: &[Attended], work: usize) -> Result<Tensor> {
    let mixed: Vec<Tensor> = if work < SERIAL_BELOW {
        rows.iter().map(Attended::whole).collect::<Result<_>>()?
    } else if let [row] = rows {
        vec![row.by_heads()?]
    } else {
        rows.par_iter().map(Attended::whole).collect::<Result<_>>()?
    };
    match mixed.as_slice() {
        [one] => Ok(one.clone()),
        _ => Tensor::cat(&mixed, 0),
    }
}

/// The queries, keys and values of one row, each `[heads, positions, head width]`.
struct Attended {
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: f64,
    window: Option<usize>,
}

impl Attended {
    fn whole(&self) -> Result<Tensor> {
        self.heads(0, self.key.dim(0)?)
    }

    /// The heads in as many groups as there are threads.
    fn by_heads(&self) -> Result<Tensor> {
        let groups = split(self.key.dim(0)?, rayon::current_num_threads());
        let mixed = groups.into_par_iter().map(|(first, count)| self.heads(first, count));
        Tensor::cat(&mixed.collect::<Result<Vec<_>>>()?, D::Minus1)
    }

    /// `count` heads of keys with the queries they serve: `[queries, count * shared * head width]`.
    fn heads(&self, first: usize, count: usize) -> Result<Tensor> {
        let of = |tensor: &Tensor| tensor.narrow(0, first, count);
        let (key, value) = (of(&self.key)?, of(&self.value)?);
        let (heads, queries, width) = self.query.dims3()?;
        let (_, keys, _) = key.dims3()?;
        let shared = heads / self.key.dim(0)?;
        let query = self.query.narrow(0, first * shared, count * shared)?;
        // The queries that share a head of keys lie below each other, in one product with it.
        let query = if shared == 1 { query } else { query.reshape((count, shared * queries, width))? };
        let scores = product(&query, &key.transpose(1, 2)?)?;
        scores.inplace_op1(&CausalSoftmax { scale: self.scale, queries, keys, window: self.window })?;
        let mixed = product(&scores, &value)?.reshape((count * shared, queries, width))?;
        mixed.transpose(0, 1)?.reshape((queries, ()))
    }
}
