//! GPT-2's decoder (Radford et al., 2019), as transformers computes it.

use crate::attention::Attention;
use crate::error::Outcome;
use crate::linear::{Linear, bytes};
use crate::model::{Decoder, Loader};
use inferhost_plugin_api::hf::{Activation, Gpt2Config, Heads};
use tch::Tensor;

pub(crate) struct Gpt2 {
    positions: Tensor,
    blocks: Vec<Block>,
    last: Norm,
    heads: Heads,
    activation: Activation,
}

struct Block {
    before_attention: Norm,
    qkv: Linear,
    attended: Linear,
    before_mlp: Norm,
    up: Linear,
    down: Linear,
    scale: f64,
}

struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl Norm {
    fn load(name: &str, config: &Gpt2Config, from: &mut Loader) -> Outcome<Self> {
        let shape = [config.n_embd];
        Ok(Self {
            weight: from.weights.decoder(&format!("{name}.weight"), &shape)?,
            bias: from.weights.decoder(&format!("{name}.bias"), &shape)?,
            eps: config.layer_norm_epsilon,
        })
    }

    fn forward(&self, states: &Tensor) -> Outcome<Tensor> {
        let width = self.weight.size();
        Ok(states.f_layer_norm(width, Some(&self.weight), Some(&self.bias), self.eps, true)?)
    }

    fn bytes(&self) -> usize {
        bytes(&self.weight) + bytes(&self.bias)
    }
}

/// GPT-2 stores its matrices `[inputs, outputs]`.
fn linear(name: &str, inputs: usize, outputs: usize, from: &mut Loader) -> Outcome<Linear> {
    let weight = from.weights.matrix(&format!("{name}.weight"), &[inputs, outputs])?;
    let bias = from.weights.decoder(&format!("{name}.bias"), &[outputs])?;
    from.linear(&weight.f_transpose(0, 1)?, Some(bias))
}

impl Gpt2 {
    pub(crate) fn load(config: &Gpt2Config, from: &mut Loader) -> Outcome<Self> {
        let positions = from.weights.decoder("wpe.weight", &[config.n_positions, config.n_embd])?;
        let blocks =
            (0..config.n_layer).map(|layer| Block::load(config, layer, from)).collect::<Outcome<_>>()?;
        let last = Norm::load("ln_f", config, from)?;
        Ok(Self { positions, blocks, last, heads: config.heads(), activation: config.activation })
    }
}

impl Block {
    fn load(config: &Gpt2Config, layer: usize, from: &mut Loader) -> Outcome<Self> {
        let (width, inner) = (config.n_embd, config.n_inner);
        let name = |part: &str| format!("h.{layer}.{part}");
        Ok(Self {
            before_attention: Norm::load(&name("ln_1"), config, from)?,
            qkv: linear(&name("attn.c_attn"), width, 3 * width, from)?,
            attended: linear(&name("attn.c_proj"), width, width, from)?,
            before_mlp: Norm::load(&name("ln_2"), config, from)?,
            up: linear(&name("mlp.c_fc"), width, inner, from)?,
            down: linear(&name("mlp.c_proj"), inner, width, from)?,
            scale: config.attention_scale(layer),
        })
    }

    fn bytes(&self) -> usize {
        let linears = [&self.qkv, &self.attended, &self.up, &self.down];
        let norms = self.before_attention.bytes() + self.before_mlp.bytes();
        linears.iter().map(|linear| linear.bytes()).sum::<usize>() + norms
    }
}

impl Decoder for Gpt2 {
    fn forward(&self, embedded: Tensor, attention: &mut Attention<'_>) -> Outcome<Tensor> {
        let span = attention.span();
        let (rows, tokens) = (span.rows(), span.tokens());
        let (heads, head) = (self.heads.queries as i64, self.heads.width as i64);
        let width = heads * head;
        let placed = embedded.f_add(&span.positions_of(&self.positions)?)?;
        let mut states = placed.f_reshape([rows * tokens, width])?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let qkv = block.qkv.forward(&block.before_attention.forward(&states)?)?;
            let qkv = qkv.f_reshape([rows, tokens, 3, heads, head])?;
            let (queries, keys_values) = (qkv.f_select(2, 0)?, qkv.f_narrow(2, 1, 2)?);
            let attended = attention.forward(layer, &queries, &keys_values, block.scale, None)?;
            states = block.attended.forward_plus(&attended, &states)?;
            let inner = block.up.forward_through(&block.before_mlp.forward(&states)?, self.activation)?;
            states = block.down.forward_plus(&inner, &states)?;
        }
        Ok(states)
    }

    fn norm(&self, states: &Tensor) -> Outcome<Tensor> {
        self.last.forward(states)
    }

    fn shape(&self) -> (usize, Heads) {
        (self.blocks.len(), self.heads)
    }

    fn bytes(&self) -> usize {
        bytes(&self.positions) + self.blocks.iter().map(Block::bytes).sum::<usize>() + self.last.bytes()
    }
}
