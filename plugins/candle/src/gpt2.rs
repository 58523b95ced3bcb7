//! The layers of GPT-2.

use crate::attention::{Attention, PackedRows};
use crate::linear::{Linear, bytes};
use crate::model::{Decoder, Loaded};
use crate::ops::LayerNorm;
use crate::weights::Weights;
use candle_core::{Device, Result, Tensor};
use inferhost_plugin_api::hf::{Activation, Gpt2Config, Heads};

/// Position embedding, blocks and last norm.
pub(crate) struct Gpt2 {
    wpe: Tensor,
    blocks: Vec<Block>,
    ln_f: Norm,
    heads: Heads,
    activation: Activation,
}

struct Block {
    ln_1: Norm,
    c_attn: Linear,
    attention: Attention,
    attn_proj: Linear,
    ln_2: Norm,
    c_fc: Linear,
    mlp_proj: Linear,
}

struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl Gpt2 {
    pub(crate) fn load(config: &Gpt2Config, weights: &mut Weights, threads: usize) -> Loaded<Self> {
        let wpe = weights.decoder("wpe.weight", &[config.n_positions, config.n_embd])?;
        let heads = config.heads();
        let blocks = (0..config.n_layer).map(|layer| Block::load(config, heads, weights, layer, threads));
        let blocks = blocks.collect::<Loaded<_>>()?;
        let ln_f = Norm::load(weights, "ln_f", config)?;
        Ok(Self { wpe, blocks, ln_f, heads, activation: config.activation })
    }
}

impl Decoder for Gpt2 {
    fn forward(&self, embedded: Tensor, rows: &mut PackedRows<'_>) -> Result<Tensor> {
        let positions = Tensor::new(rows.positions(), &Device::Cpu)?;
        let states = (embedded + self.wpe.index_select(&positions, 0)?)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let normed = block.ln_1.apply(&states)?;
            let qkv = block.c_attn.apply(&normed, None)?;
            let mixed = block.attention.apply(layer, &qkv, rows)?;
            block.attn_proj.add_to(&states, &mixed)?;
            let normed = block.ln_2.apply(&states)?;
            let inner = block.c_fc.apply(&normed, Some(self.activation))?;
            block.mlp_proj.add_to(&states, &inner)?;
        }
        Ok(states)
    }

    fn norm(&self, states: &Tensor) -> Result<Tensor> {
        self.ln_f.apply(states)
    }

    fn shape(&self) -> (usize, Heads) {
        (self.blocks.len(), self.heads)
    }

    fn bytes(&self) -> usize {
        let block = |block: &Block| {
            let linears = [&block.c_attn, &block.attn_proj, &block.c_fc, &block.mlp_proj];
            linears.into_iter().map(Linear::bytes).sum::<usize>() + block.ln_1.bytes() + block.ln_2.bytes()
        };
        bytes(&self.wpe) + self.blocks.iter().map(block).sum::<usize>() + self.ln_f.bytes()
    }
}

impl Block {
    fn load(
        config: &Gpt2Config,
        heads: Heads,
        weights: &mut Weights,
        layer: usize,
        threads: usize,
    ) -> Loaded<Self> {
        let (width, inner) = (config.n_embd, config.n_inner);
        let at = |name: &str| format!("h.{layer}.{name}");
        let mut linear = |name: &str, from, to| Linear::conv1d(weights, &at(name), from, to, threads);
        let c_attn = linear("attn.c_attn", width, 3 * width)?;
        let attn_proj = linear("attn.c_proj", width, width)?;
        let c_fc = linear("mlp.c_fc", width, inner)?;
        let mlp_proj = linear("mlp.c_proj", inner, width)?;
        let mut norm = |name: &str| Norm::load(weights, &at(name), config);
        let (ln_1, ln_2) = (norm("ln_1")?, norm("ln_2")?);
        let attention = Attention { heads, scale: config.attention_scale(layer), window: None };
        Ok(Self { ln_1, c_attn, attention, attn_proj, ln_2, c_fc, mlp_proj })
    }
}

impl Norm {
    fn load(weights: &mut Weights, name: &str, config: &Gpt2Config) -> Loaded<Self> {
        let weight = weights.decoder(&format!("{name}.weight"), &[config.n_embd])?;
        let bias = weights.decoder(&format!("{name}.bias"), &[config.n_embd])?;
        Ok(Self { weight, bias, eps: config.layer_norm_epsilon })
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op3_no_bwd(&self.weight, &self.bias, &LayerNorm { eps: self.eps })
    }

    fn bytes(&self) -> usize {
        bytes(&self.weight) + bytes(&self.bias)
    }
}
