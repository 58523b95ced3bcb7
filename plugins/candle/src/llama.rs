//! The layers of the Llama family. Projections that see the same states are one product: queries, keys and values;
//! the MLP's gate and its other half.

use crate::attention::{Attention, PackedRows};
use crate::linear::{Linear, bytes};
use crate::model::{Decoder, Loaded};
use crate::ops::{Gate, RmsNorm, Rotate};
use crate::weights::Weights;
use candle_core::{Device, Result, Tensor};
use inferhost_plugin_api::hf::{Activation, Heads, LlamaConfig, Rope};

/// Layers and last norm.
pub(crate) struct Llama {
    layers: Vec<Layer>,
    norm: Norm,
    heads: Heads,
    rope: Rope,
    activation: Activation,
}

struct Layer {
    input_norm: Norm,
    qkv: Linear,
    attention: Attention,
    output: Linear,
    mlp_norm: Norm,
    gate_up: Linear,
    down: Linear,
}

struct Norm {
    weight: Tensor,
    eps: f64,
}

impl Llama {
    pub(crate) fn load(config: &LlamaConfig, weights: &mut Weights, threads: usize) -> Loaded<Self> {
        let layers = (0..config.layers).map(|layer| Layer::load(config, weights, layer, threads));
        let layers = layers.collect::<Loaded<_>>()?;
        let norm = Norm::load(weights, "norm", config)?;
        let (rope, activation) = (config.rope.clone(), config.activation);
        Ok(Self { layers, norm, heads: config.heads, rope, activation })
    }
}

impl Decoder for Llama {
    fn forward(&self, embedded: Tensor, rows: &mut PackedRows<'_>) -> Result<Tensor> {
        let states = embedded;
        let (cos, sin) = self.rope.at(rows.positions());
        let table = |values: Vec<f32>| {
            let shape = (rows.positions().len(), self.heads.width / 2);
            Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(states.dtype())
        };
        let (cos, sin) = (table(cos)?, table(sin)?);
        let turned = Rotate { heads: self.heads.queries + self.heads.keys, head_dim: self.heads.width };
        for (index, layer) in self.layers.iter().enumerate() {
            let qkv = layer.qkv.apply(&layer.input_norm.apply(&states)?, None)?;
            qkv.inplace_op3(&cos, &sin, &turned)?;
            let mixed = layer.attention.apply(index, &qkv, rows)?;
            layer.output.add_to(&states, &mixed)?;
            let gate_up = layer.gate_up.apply(&layer.mlp_norm.apply(&states)?, None)?;
            let inner = gate_up.apply_op1_no_bwd(&Gate { activation: self.activation })?;
            layer.down.add_to(&states, &inner)?;
        }
        Ok(states)
    }

    fn norm(&self, states: &Tensor) -> Result<Tensor> {
        self.norm.apply(states)
    }

    fn shape(&self) -> (usize, Heads) {
        (self.layers.len(), self.heads)
    }

    fn bytes(&self) -> usize {
        let layer = |layer: &Layer| {
            let linears = [&layer.qkv, &layer.output, &layer.gate_up, &layer.down];
            let norms = bytes(&layer.input_norm.weight) + bytes(&layer.mlp_norm.weight);
            linears.into_iter().map(Linear::bytes).sum::<usize>() + norms
        };
        self.layers.iter().map(layer).sum::<usize>() + bytes(&self.norm.weight)
    }
}

impl Layer {
    fn load(config: &LlamaConfig, weights: &mut Weights, layer: usize, threads: usize) -> Loaded<Self> {
        let (heads, width, inner) = (config.heads, config.width, config.inner);
        let (queries, keys) = (heads.queries * heads.width, heads.keys * heads.width);
        let at = |name: &str| format!("layers.{layer}.{name}");
        let mut linear = |parts: &[(&str, usize)], inputs, has_bias| {
            let parts: Vec<_> = parts.iter().map(|&(name, outputs)| (at(name), outputs)).collect();
            Linear::stacked(weights, &parts, inputs, has_bias, threads)
        };
        let qkv = [("self_attn.q_proj", queries), ("self_attn.k_proj", keys), ("self_attn.v_proj", keys)];
        let qkv = linear(&qkv, width, config.qkv_bias)?;
        let output = linear(&[("self_attn.o_proj", width)], queries, config.output_bias)?;
        let gate_up = [("mlp.gate_proj", inner), ("mlp.up_proj", inner)];
        let gate_up = linear(&gate_up, width, config.mlp_bias)?;
        let down = linear(&[("mlp.down_proj", width)], inner, config.mlp_bias)?;
        let mut norm = |name: &str| Norm::load(weights, &at(name), config);
        let (input_norm, mlp_norm) = (norm("input_layernorm")?, norm("post_attention_layernorm")?);
        let scale = (heads.width as f64).sqrt().recip();
        let attention = Attention { heads, scale, window: config.windows[layer] };
        Ok(Self { input_norm, qkv, attention, output, mlp_norm, gate_up, down })
    }
}

impl Norm {
    fn load(weights: &mut Weights, name: &str, config: &LlamaConfig) -> Loaded<Self> {
        let weight = weights.decoder(&format!("{name}.weight"), &[config.width])?;
        Ok(Self { weight, eps: config.eps })
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op2_no_bwd(&self.weight, &RmsNorm { eps: self.eps })
    }
}
