//! The Llama family's decoder (Touvron et al., 2023), as transformers computes it: Llama, Mistral, Qwen2.
//!
//! Rotary embeddings turn pairs of a head's elements. transformers pairs element i with element i + width / 2; here the
//! rows of the matrices that make queries and keys are put in another order when they are read, so that pairs lie side by
//! side and one complex product turns them. Scores are sums over a head, which no order changes.

use crate::attention::Attention;
use crate::error::Outcome;
use crate::linear::{Linear, bytes};
use crate::model::{Decoder, Loader};
use inferhost_plugin_api::hf::{Activation, Heads, LlamaConfig, Rope};
use std::cell::RefCell;
use tch::{Device, Kind, Tensor};

pub(crate) struct Llama {
    blocks: Vec<Block>,
    last: Norm,
    heads: Heads,
    activation: Activation,
    rotations: Rotations,
}

struct Block {
    before_attention: Norm,
    qkv: Linear,
    attended: Linear,
    before_mlp: Norm,
    gate: Linear,
    up: Linear,
    down: Linear,
    window: Option<usize>,
}

struct Norm {
    weight: Tensor,
    eps: f64,
}

impl Norm {
    fn load(name: &str, config: &LlamaConfig, from: &mut Loader) -> Outcome<Self> {
        let weight = from.weights.decoder(&format!("{name}.weight"), &[config.width])?;
        Ok(Self { weight, eps: config.eps })
    }

    fn forward(&self, states: &Tensor) -> Outcome<Tensor> {
        Ok(states.f_rms_norm(self.weight.size(), Some(&self.weight), self.eps)?)
    }
}

/// Cosines and sines as complex numbers, `[positions, 1, width / 2]`, as far as they were asked for.
struct Rotations {
    rope: Rope,
    kind: Kind,
    device: Device,
    table: RefCell<Tensor>,
}

impl Rotations {
    fn new(rope: Rope, kind: Kind, device: Device) -> Self {
        let kind = if kind == Kind::Double { Kind::ComplexDouble } else { Kind::ComplexFloat };
        Self { rope, kind, device, table: RefCell::new(Tensor::new()) }
    }

    /// Of the first `positions` positions and perhaps more.
    fn up_to(&self, positions: i64) -> Outcome<Tensor> {
        let mut table = self.table.borrow_mut();
        if !table.defined() || table.size()[0] < positions {
            let count = (positions as u32).next_power_of_two();
            let all: Vec<u32> = (0..count).collect();
            let (cosines, sines) = self.rope.at(&all);
            let shape = [i64::from(count), 1, -1];
            let [cosines, sines] = [cosines, sines].map(|part| Tensor::f_from_slice(&part));
            let turns = Tensor::f_complex(&cosines?, &sines?)?.f_reshape(shape)?;
            *table = turns.f_to_kind(self.kind)?.f_to_device(self.device)?;
        }
        Ok(table.shallow_clone())
    }
}

/// `heads` `[rows, tokens, heads, width]`, each pair turned.
fn turned(heads: &Tensor, turns: &Tensor) -> Outcome<Tensor> {
    let wide = if turns.kind() == Kind::ComplexDouble { Kind::Double } else { Kind::Float };
    let size = heads.size();
    let pairs = heads.f_to_kind(wide)?.f_reshape([size[0], size[1], size[2], -1, 2])?;
    let turned = pairs.f_view_as_complex()?.f_mul(turns)?.f_view_as_real()?;
    Ok(turned.f_reshape(&size)?.f_to_kind(heads.kind())?)
}

/// `rows` `[heads * width, …]` of each head in the order 0, width / 2, 1, width / 2 + 1, ….
fn paired(rows: &Tensor, width: i64) -> Outcome<Tensor> {
    let size = rows.size();
    let halves = rows.f_reshape([size[0] / width, 2, width / 2, -1])?;
    Ok(halves.f_transpose(1, 2)?.f_reshape(&size)?)
}

impl Llama {
    pub(crate) fn load(config: &LlamaConfig, from: &mut Loader) -> Outcome<Self> {
        let blocks =
            (0..config.layers).map(|layer| Block::load(config, layer, from)).collect::<Outcome<_>>()?;
        let last = Norm::load("norm", config, from)?;
        let rotations = Rotations::new(config.rope.clone(), from.weights.kind(), from.weights.device());
        Ok(Self { blocks, last, heads: config.heads, activation: config.activation, rotations })
    }
}

impl Block {
    fn load(config: &LlamaConfig, layer: usize, from: &mut Loader) -> Outcome<Self> {
        let (width, inner) = (config.width, config.inner);
        let name = |part: &str| format!("layers.{layer}.{part}");
        let of_heads = config.heads.queries * config.heads.width;
        let mlp = config.mlp_bias;
        Ok(Self {
            before_attention: Norm::load(&name("input_layernorm"), config, from)?,
            qkv: qkv(config, layer, from)?,
            attended: linear(&name("self_attn.o_proj"), [width, of_heads], config.output_bias, from)?,
            before_mlp: Norm::load(&name("post_attention_layernorm"), config, from)?,
            gate: linear(&name("mlp.gate_proj"), [inner, width], mlp, from)?,
            up: linear(&name("mlp.up_proj"), [inner, width], mlp, from)?,
            down: linear(&name("mlp.down_proj"), [width, inner], mlp, from)?,
            window: config.windows[layer],
        })
    }

    fn bytes(&self) -> usize {
        let linears = [&self.qkv, &self.attended, &self.gate, &self.up, &self.down];
        let norms = bytes(&self.before_attention.weight) + bytes(&self.before_mlp.weight);
        linears.iter().map(|linear| linear.bytes()).sum::<usize>() + norms
    }
}

fn linear(name: &str, shape: [usize; 2], has_bias: bool, from: &mut Loader) -> Outcome<Linear> {
    let weight = from.weights.matrix(&format!("{name}.weight"), &shape)?;
    let bias = match has_bias {
        true => Some(from.weights.decoder(&format!("{name}.bias"), &shape[..1])?),
        false => None,
    };
    from.linear(&weight, bias)
}

/// The three projections as one, queries' and keys' rows paired.
fn qkv(config: &LlamaConfig, layer: usize, from: &mut Loader) -> Outcome<Linear> {
    let (heads, head) = (config.heads, config.heads.width);
    let mut weights = Vec::new();
    let mut biases = Vec::new();
    for (part, count, turns) in
        [("q", heads.queries, true), ("k", heads.keys, true), ("v", heads.keys, false)]
    {
        let name = |tensor: &str| format!("layers.{layer}.self_attn.{part}_proj.{tensor}");
        let in_order = |tensor: Tensor| match turns {
            true => paired(&tensor, head as i64),
            false => Ok(tensor),
        };
        weights.push(in_order(from.weights.matrix(&name("weight"), &[count * head, config.width])?)?);
        if config.qkv_bias {
            biases.push(in_order(from.weights.decoder(&name("bias"), &[count * head])?)?);
        }
    }
    let bias = if biases.is_empty() { None } else { Some(Tensor::f_cat(&biases, 0)?) };
    from.linear(&Tensor::f_cat(&weights, 0)?, bias)
}

impl Decoder for Llama {
    fn forward(&self, embedded: Tensor, attention: &mut Attention<'_>) -> Outcome<Tensor> {
        let span = attention.span();
        let (rows, tokens) = (span.rows(), span.tokens());
        let (of_queries, of_keys) = (self.heads.queries as i64, self.heads.keys as i64);
        let head = self.heads.width as i64;
        let turns = span.positions_of(&self.rotations.up_to(span.end())?)?;
        let mut states = embedded.f_reshape([rows * tokens, -1])?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let qkv = block.qkv.forward(&block.before_attention.forward(&states)?)?;
            let qkv = qkv.f_reshape([rows, tokens, of_queries + 2 * of_keys, head])?;
            let turning = turned(&qkv.f_narrow(2, 0, of_queries + of_keys)?, &turns)?;
            let queries = turning.f_narrow(2, 0, of_queries)?;
            let keys = turning.f_narrow(2, of_queries, of_keys)?;
            let values = qkv.f_narrow(2, of_queries + of_keys, of_keys)?;
            let keys_values = Tensor::f_stack(&[keys, values], 2)?;
            let scale = (self.heads.width as f64).sqrt().recip();
            let attended = attention.forward(layer, &queries, &keys_values, scale, block.window)?;
            states = block.attended.forward_plus(&attended, &states)?;
            let normed = block.before_mlp.forward(&states)?;
            let gate = block.gate.forward_through(&normed, self.activation)?;
            let inner = block.up.forward_times(&normed, &gate)?;
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

    fn table(&self) -> Option<Tensor> {
        Some(self.rotations.table.borrow().shallow_clone())
    }

    fn bytes(&self) -> usize {
        self.blocks.iter().map(Block::bytes).sum::<usize>() + bytes(&self.last.weight)
    }
}
