//! A decoder-only model as the graph writer sees it: which weights there are and how they are put together, whatever
//! family it is of.

use super::encode::{Matrix, Vector};
use crate::model::Activation;

/// The whole model.
#[derive(Debug)]
pub(super) struct Decoder {
    pub(super) width: u32,
    pub(super) heads: u32,
    /// Heads of keys and values; divides `heads`.
    pub(super) kv_heads: u32,
    pub(super) head_size: u32,
    pub(super) vocab: u32,
    /// `[vocab, width]`.
    pub(super) embedding: Matrix,
    /// Learned positions, `[context, width]`.
    pub(super) positions: Option<Matrix>,
    pub(super) rotary: Option<Rotary>,
    pub(super) layers: Vec<Layer>,
    pub(super) final_norm: Norm,
    /// `[vocab, width]`; where it is tied it has the embedding's name and tensor.
    pub(super) head: Matrix,
}

/// Cosines and sines by position, `[context, head_size / 2]` each; halves of a head are rotated against each other.
#[derive(Debug)]
pub(super) struct Rotary {
    pub(super) context: u32,
    pub(super) cos: Vec<f32>,
    pub(super) sin: Vec<f32>,
}

/// One block.
#[derive(Debug)]
pub(super) struct Layer {
    /// What its values' names begin with.
    pub(super) name: String,
    pub(super) attention_norm: Norm,
    /// Queries, keys and values side by side.
    pub(super) qkv: Linear,
    /// What scores are multiplied by.
    pub(super) scale: f32,
    /// How many of the last positions a query sees, its own included; none: all.
    pub(super) window: Option<u32>,
    pub(super) output: Linear,
    pub(super) mlp_norm: Norm,
    pub(super) mlp: Mlp,
}

/// A linear layer.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) matrix: Matrix,
    pub(super) bias: Option<Vector>,
}

/// The feed-forward half of a block.
#[derive(Debug)]
pub(super) struct Mlp {
    pub(super) up: Linear,
    /// Its activation is what `up` is multiplied by; without it, `up` itself is activated.
    pub(super) gate: Option<Linear>,
    pub(super) activation: Activation,
    pub(super) down: Linear,
}

/// A normalisation over the width.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) kind: NormKind,
    pub(super) weight: Vector,
    pub(super) epsilon: f32,
}

/// Which normalisation.
#[derive(Debug)]
pub(super) enum NormKind {
    /// Mean and variance, with this bias.
    Layer(Vector),
    /// The root of the mean square.
    Rms,
}

impl Decoder {
    /// Whether `GroupQueryAttention` takes heads of this size and computes the same in every version: a window of n
    /// was n + 1 keys in older ones.
    pub(super) fn suits_group_query_attention(&self) -> bool {
        let size = if self.rotary.is_some() { 16 } else { 8 };
        self.head_size.is_multiple_of(size) && self.layers.iter().all(|layer| layer.window.is_none())
    }
}
