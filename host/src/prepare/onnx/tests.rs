//! Every family, dialect and precision as a graph, looked at without a runtime.

use super::decoder::Decoder;
use super::graph::{CONTRIB, Graph};
use super::writer::Writer;
use super::{gpt2, llama, observe};
use crate::model::onnx::proto::INT32;
use crate::model::synthetic::SyntheticSpec;
use crate::model::{Activation, Architecture};
use crate::prepare::artifact::Artifact;
use std::collections::{BTreeMap, BTreeSet};

const PRECISIONS: [&str; 9] = [
    "fp32",
    "fp16",
    "bf16",
    "int8-dynamic",
    "int8-dynamic?per_channel=true",
    "int8-weight?block=16",
    "int4-weight?block=16",
    "int8-qdq",
    "int8-qdq?per_channel=false",
];

fn artifacts(dialect: &str) -> impl Iterator<Item = Artifact> {
    PRECISIONS.into_iter().map(move |name| {
        let joint = if name.contains('?') { '&' } else { '?' };
        format!("onnx-{name}{joint}dialect={dialect}").parse().unwrap()
    })
}

fn of(spec: &str) -> Decoder {
    match spec.parse::<SyntheticSpec>().unwrap().architecture() {
        Architecture::Gpt2(config) => gpt2::decoder(&config),
        Architecture::Llama(config) => llama::decoder(&config),
        Architecture::Unknown => panic!("{spec} is of no known family"),
    }
}

/// Heads that `GroupQueryAttention` takes and heads that it does not, of both families; one with windows.
fn decoders() -> Vec<Decoder> {
    let mut all: Vec<Decoder> = [
        "gpt2?layers=2&embd=6&heads=3&vocab=11&ctx=5&inner=7",
        "gpt2?layers=2&embd=16&heads=2&vocab=11&ctx=5",
        "llama?layers=2&embd=12&heads=3&kv_heads=1&vocab=11&ctx=5&inner=7",
        "llama?layers=3&embd=64&heads=4&kv_heads=2&vocab=11&ctx=5&inner=32",
    ]
    .map(of)
    .into();
    all[2].layers[1].window = Some(3);
    all[3].layers[0].window = Some(2);
    for (decoder, activation) in all.iter_mut().zip([Activation::Gelu, Activation::Silu, Activation::Relu]) {
        decoder.layers[0].mlp.activation = activation;
    }
    all
}

fn graph(decoder: &Decoder, artifact: &Artifact) -> Graph {
    Writer::new(decoder, artifact, None).model().g
}

fn operators(graph: &Graph) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for node in &graph.nodes {
        *counts.entry(node.op_type.clone().unwrap()).or_default() += 1;
    }
    counts
}

fn check_order(graph: &Graph) {
    let inputs = graph.inputs.iter().map(|input| input.name.clone().unwrap());
    let initializers = graph.initializers.iter().map(|one| one.name.clone());
    let mut known: BTreeSet<String> = inputs.chain(initializers).chain([String::new()]).collect();
    for node in &graph.nodes {
        assert!(node.input.iter().all(|input| known.contains(input)), "{node:?}");
        let mut outputs = node.output.iter().filter(|output| !output.is_empty());
        assert!(outputs.all(|output| known.insert(output.clone())), "{node:?}");
    }
    assert!(graph.outputs.iter().all(|output| known.contains(output.name.as_ref().unwrap())));
}

#[test]
fn every_value_is_made_once_before_it_is_used() {
    for decoder in decoders() {
        for artifact in artifacts("ort").chain(artifacts("portable")) {
            check_order(&graph(&decoder, &artifact));
        }
        check_order(&observe::graph(&decoder).0);
    }
}

#[test]
fn portable_graphs_have_standard_operators_alone() {
    for decoder in decoders() {
        for artifact in artifacts("portable") {
            let graph = graph(&decoder, &artifact);
            assert!(graph.nodes.iter().all(|node| node.domain.is_none()), "{artifact}");
        }
        let fused = graph(&decoder, &Artifact::FP32);
        assert!(fused.nodes.iter().any(|node| node.domain.as_deref() == Some(CONTRIB)));
    }
}

#[test]
fn weights_are_the_models_tensors_in_every_precision() {
    for spec in [
        "gpt2?layers=2&embd=16&heads=2&vocab=11&ctx=5",
        "llama?layers=2&embd=64&heads=4&kv_heads=2&vocab=9&ctx=5",
    ] {
        let expected = crate::model::parameters(&spec.parse::<SyntheticSpec>().unwrap().architecture());
        for artifact in artifacts("ort").chain(artifacts("portable")) {
            assert_eq!(u128::from(graph(&of(spec), &artifact).parameters()), expected, "{spec} {artifact}");
        }
    }
}

#[test]
fn a_block_is_a_handful_of_nodes() {
    let per_layer = |spec: &str, artifact: &Artifact| {
        let count = |layers| operators(&graph(&of(&format!("{spec}&layers={layers}")), artifact));
        let (two, four) = (count(2), count(4));
        for op in ["Shape", "Slice", "Where", "Range", "Reshape", "Unsqueeze", "Gather"] {
            assert!(artifact.to_string().contains("portable") || two.get(op) == four.get(op), "{op}");
        }
        (four.values().sum::<usize>() - two.values().sum::<usize>()) / 2
    };
    let gpt2 = "gpt2?embd=64&heads=2&vocab=11&ctx=5";
    let llama = "llama?embd=64&heads=2&kv_heads=1&vocab=11&ctx=5";
    assert_eq!(per_layer(gpt2, &Artifact::FP32), 13);
    assert_eq!(per_layer(llama, &Artifact::FP32), 10);
    assert_eq!(per_layer(gpt2, &"onnx-fp32?dialect=portable".parse().unwrap()), 26);
}

#[test]
fn ids_are_of_the_type_that_is_asked_for() {
    let decoder = of("gpt2?layers=1&embd=8&heads=1&vocab=11&ctx=5");
    let graph = graph(&decoder, &"onnx-fp32?dialect=portable&ids=int32".parse().unwrap());
    for name in ["input_ids", "attention_mask", "position_ids"] {
        let input = graph.inputs.iter().find(|input| input.name.as_deref() == Some(name)).unwrap();
        let tensor = input.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
        assert_eq!(tensor.elem_type, Some(INT32), "{name}");
    }
}

#[test]
fn products_that_share_an_input_are_observed_once() {
    let (graph, groups) =
        observe::graph(&of("llama?layers=1&embd=64&heads=4&kv_heads=2&vocab=11&ctx=5&inner=32"));
    let found: Vec<_> = groups.iter().map(|(matrices, width)| (matrices.len(), *width)).collect();
    assert_eq!(found, [(1, 64), (1, 64), (2, 64), (1, 32), (1, 64)]);
    let logits = graph.outputs.last().unwrap();
    assert_eq!(logits.name.as_deref(), Some("logits"));
}
