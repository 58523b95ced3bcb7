//! Attention over the keys and values of a batch, which is padded on the left: so every row's last token stands in the
//! last column, and a step writes one column for all rows.

use crate::error::Outcome;
use inferhost_plugin_api::Batch;
use inferhost_plugin_api::hf::Heads;
use tch::{Device, Kind, Tensor};

/// Keys and values of every layer, `[rows, capacity, 2, heads of keys, width]` each, written in place.
pub(crate) struct KvCache {
    layers: Vec<Tensor>,
    rows: i64,
    capacity: i64,
}

impl KvCache {
    pub(crate) fn new(
        layers: usize,
        heads: Heads,
        rows: i64,
        capacity: i64,
        of: (Kind, Device),
    ) -> Outcome<Self> {
        let shape = [rows, capacity, 2, heads.keys as i64, heads.width as i64];
        let layers = (0..layers).map(|_| Tensor::f_zeros(shape, of)).collect::<Result<_, _>>()?;
        Ok(Self { layers, rows, capacity })
    }

    pub(crate) fn capacity(&self) -> i64 {
        self.capacity
    }

    /// Whether it can serve so many rows and positions as it is; steps of fixed shape attend to all of it, so for them it
    /// must not be larger.
    pub(crate) fn suits(&self, rows: i64, capacity: i64, fixed: bool) -> bool {
        self.rows == rows && (self.capacity == capacity || (self.capacity > capacity && !fixed))
    }

    /// Forgets what is in it: under a mask too, NaN times 0 is NaN.
    pub(crate) fn clear(&mut self) -> Outcome<()> {
        for layer in &mut self.layers {
            let _ = layer.f_zero_()?;
        }
        Ok(())
    }
}

/// Where the tokens of one call of the model stand.
pub(crate) struct Span {
    rows: i64,
    /// Columns of this call.
    tokens: i64,
    /// Columns before.
    past: i64,
    /// Columns of padding, by row; none where no row has any.
    padding: Option<Tensor>,
    device: Device,
    /// The one column of this call, `[1]` on the device, in place of `past`: then nothing here depends on where the call
    /// stands but the device's memory, and it attends to the cache's whole capacity under a mask.
    column: Option<Tensor>,
}

impl Span {
    /// A batch from its beginning.
    pub(crate) fn of_batch(batch: Batch<'_>, device: Device) -> Outcome<Self> {
        let (rows, tokens) = (batch.rows() as i64, batch.longest() as i64);
        let padding = if batch.is_uniform() {
            None
        } else {
            let columns: Vec<i64> = batch.lengths.iter().map(|&length| tokens - i64::from(length)).collect();
            Some(Tensor::f_from_slice(&columns)?.f_to_device(device)?)
        };
        Ok(Self { rows, tokens, past: 0, padding, device, column: None })
    }

    /// One token a row at `column` `[1]` of a cache of `capacity`, after `padding` `[rows]`, both read from the device's
    /// memory when the call runs.
    pub(crate) fn at_column(column: &Tensor, padding: &Tensor, capacity: i64) -> Self {
        let (rows, device) = (padding.size()[0], padding.device());
        let (column, padding) = (Some(column.shallow_clone()), Some(padding.shallow_clone()));
        Self { rows, tokens: 1, past: capacity - 1, padding, device, column }
    }

    /// Columns of padding of each row, `[rows]`.
    pub(crate) fn padding(&self) -> Outcome<Tensor> {
        match &self.padding {
            Some(padding) => Ok(padding.shallow_clone()),
            None => Ok(Tensor::f_zeros([self.rows], (Kind::Int64, self.device))?),
        }
    }

    /// Columns before this call's.
    pub(crate) fn past(&self) -> i64 {
        self.past
    }

    /// One more column after this call's.
    pub(crate) fn next(&self) -> Self {
        let padding = self.padding.as_ref().map(Tensor::shallow_clone);
        let (rows, past, device) = (self.rows, self.past + self.tokens, self.device);
        Self { rows, tokens: 1, past, padding, device, column: None }
    }

    pub(crate) fn rows(&self) -> i64 {
        self.rows
    }

    pub(crate) fn tokens(&self) -> i64 {
        self.tokens
    }

    /// The numbers of this call's columns, `[tokens]`.
    fn columns(&self) -> Outcome<Tensor> {
        match &self.column {
            Some(column) => Ok(column.shallow_clone()),
            None => Ok(Tensor::f_arange_start(self.past, self.end(), (Kind::Int64, self.device))?),
        }
    }

    /// Columns up to this call's end, or up to the last that it may stand at.
    pub(crate) fn end(&self) -> i64 {
        self.past + self.tokens
    }

    /// `table` `[positions, …]` at each token's position: `[tokens, …]` where all rows have the same, else
    /// `[rows, tokens, …]`. Padding has position 0.
    pub(crate) fn positions_of(&self, table: &Tensor) -> Outcome<Tensor> {
        let Some(padding) = &self.padding else { return Ok(table.f_narrow(0, self.past, self.tokens)?) };
        let positions = self.columns()?.f_unsqueeze(0)?.f_sub(&padding.f_unsqueeze(1)?)?.f_relu()?;
        let mut shape = table.size();
        shape.splice(0..1, [self.rows, self.tokens]);
        Ok(table.f_index_select(0, &positions.f_flatten(0, 1)?)?.f_reshape(&shape)?)
    }

    /// Which columns each token sees, `[rows or 1, 1, tokens, columns]`, among the last `columns`; none where causality
    /// alone, or nothing, limits it.
    fn mask(&self, window: Option<i64>, columns: i64) -> Outcome<Option<Tensor>> {
        let slides = window.is_some_and(|window| self.tokens > 1 && self.end() > window);
        if self.padding.is_none() && !slides {
            return Ok(None);
        }
        let of = (Kind::Int64, self.device);
        let keys = Tensor::f_arange_start(self.end() - columns, self.end(), of)?.f_unsqueeze(0)?;
        let queries = self.columns()?.f_unsqueeze(1)?;
        let mut seen = keys.f_le_tensor(&queries)?;
        if let Some(window) = window {
            seen = seen.f_logical_and(&queries.f_sub(&keys)?.f_lt_tensor(&number(window, self.device)?)?)?;
        }
        let mut seen = seen.f_unsqueeze(0)?;
        if let Some(padding) = &self.padding {
            let real = keys.f_unsqueeze(0)?.f_ge_tensor(&padding.f_reshape([-1, 1, 1])?)?;
            // A token of the padding sees itself: one that sees nothing would be NaN.
            let own = keys.f_eq_tensor(&queries)?.f_unsqueeze(0)?;
            seen = seen.f_logical_and(&real)?.f_logical_or(&own)?;
        }
        Ok(Some(seen.f_unsqueeze(1)?))
    }
}

/// A number as a tensor of no dimensions.
pub(crate) fn number(value: i64, device: Device) -> Outcome<Tensor> {
    Ok(Tensor::f_from_slice(&[value])?.f_squeeze()?.f_to_device(device)?)
}

/// What attention does in every layer of one call.
pub(crate) struct Attention<'a> {
    span: &'a Span,
    cache: Option<&'a KvCache>,
    heads: Heads,
    /// The mask of the last window met: layers mostly share one.
    mask: Option<(Option<i64>, Option<Tensor>)>,
}

impl<'a> Attention<'a> {
    pub(crate) fn new(span: &'a Span, cache: Option<&'a KvCache>, heads: Heads) -> Self {
        Self { span, cache, heads, mask: None }
    }

    pub(crate) fn span(&self) -> &Span {
        self.span
    }

    /// Of `queries` `[rows, tokens, heads, width]` over `keys_values` `[rows, tokens, 2, heads of keys, width]` and what
    /// the cache holds of `layer`, each seeing `window` positions at most. Gives `[rows * tokens, heads * width]`.
    pub(crate) fn forward(
        &mut self,
        layer: usize,
        queries: &Tensor,
        keys_values: &Tensor,
        scale: f64,
        window: Option<usize>,
    ) -> Outcome<Tensor> {
        let (past, tokens, end) = (self.span.past, self.span.tokens, self.span.end());
        let window = window.map(|window| window as i64).filter(|&window| window < end);
        let held;
        let keys_values = match self.cache {
            None => keys_values,
            Some(cache) => {
                let store = &cache.layers[layer];
                match &self.span.column {
                    Some(column) => drop(store.shallow_clone().f_index_copy_(1, column, keys_values)?),
                    None => store.f_narrow(1, past, tokens)?.f_copy_(keys_values)?,
                }
                // One token sees the window's columns and no other: no mask is needed for that.
                let fixed = self.span.column.is_some();
                let columns = if tokens == 1 && !fixed { window.unwrap_or(end) } else { end };
                held = store.f_narrow(1, end - columns, columns)?;
                &held
            }
        };
        let columns = keys_values.size()[1];
        if self.mask.as_ref().is_none_or(|(of, _)| *of != window) {
            self.mask = Some((window, self.span.mask(window, columns)?));
        }
        let mask = self.mask.as_ref().and_then(|(_, mask)| mask.as_ref());
        let keys = keys_values.f_select(2, 0)?.f_transpose(1, 2)?;
        let values = keys_values.f_select(2, 1)?.f_transpose(1, 2)?;
        self.attend(queries, &keys, &values, mask, scale)
    }

    fn attend(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        mask: Option<&Tensor>,
        scale: f64,
    ) -> Outcome<Tensor> {
        let (rows, tokens, heads) = (self.span.rows, self.span.tokens, self.heads);
        let (of_keys, width) = (heads.keys as i64, heads.width as i64);
        let shared = heads.queries != heads.keys;
        // One token's queries that share keys are as many queries of one head: nothing is repeated.
        let queries = if shared && tokens == 1 {
            queries.f_reshape([rows, of_keys, -1, width])?
        } else {
            queries.f_transpose(1, 2)?
        };
        let causal = mask.is_none() && tokens > 1;
        let repeats = shared && tokens > 1;
        let attended = Tensor::f_scaled_dot_product_attention(
            &queries, keys, values, mask, 0.0, causal, scale, repeats,
        )?;
        let attended = if shared && tokens == 1 { attended } else { attended.f_transpose(1, 2)? };
        Ok(attended.f_reshape([rows * tokens, heads.queries as i64 * width])?)
    }
}
