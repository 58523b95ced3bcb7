//! The graph that a calibration runs: every product's input side by side in place of logits.

use super::decoder::Decoder;
use super::graph::{Dim, int};
use super::writer::{BATCH, SEQUENCE, Writer};
use crate::model::onnx::proto::FLOAT;
use crate::prepare::artifact::Artifact;
use std::collections::BTreeMap;

/// The input of a product.
pub(super) struct Observed {
    pub(super) matrix: String,
    pub(super) value: String,
    pub(super) width: u32,
}

/// The graph, and for each matrix the values that its input is, in the order of the output; products that share an
/// input follow each other.
pub(super) fn graph(decoder: &Decoder) -> (super::graph::Graph, Vec<(Vec<String>, u32)>) {
    let mut writer = Writer::new(decoder, &Artifact::FP32, None);
    let hidden = writer.body();
    writer.observed.push(Observed { matrix: decoder.head.name.clone(), value: hidden, width: decoder.width });
    let mut groups: Vec<(Vec<String>, u32)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut values: Vec<String> = Vec::new();
    for Observed { matrix, value, width } in std::mem::take(&mut writer.observed) {
        match places.get(&value) {
            Some(&at) => groups[at].0.push(matrix),
            None => {
                places.insert(value.clone(), groups.len());
                groups.push((vec![matrix], width));
                values.push(value);
            }
        }
    }
    let seen: u32 = groups.iter().map(|(_, width)| width).sum();
    // Plugins check token ids against the width of the output, so it is at least the vocabulary's.
    let width = seen.max(decoder.vocab);
    let inputs: Vec<&str> = values.iter().map(String::as_str).collect();
    let g = &mut writer.g;
    let all = g.node("Concat", "observed", &inputs, &[int("axis", -1)]);
    let padding = g.integers("padding", &[0, 0, 0, 0, 0, i64::from(width - seen)]);
    g.node("Pad", "logits", &[&all, &padding], &[]);
    g.output("logits", FLOAT, &[BATCH, SEQUENCE, Dim::Fixed(width)]);
    (writer.g, groups)
}
