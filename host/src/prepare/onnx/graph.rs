//! Collects the nodes, weights, inputs and outputs of a graph. Values are named by the node that makes them.

use crate::model::onnx::proto::{
    AttributeProto, DimensionProto, FLOAT, INT64, NodeProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
use prost::bytes::Bytes;
use std::collections::BTreeMap;

/// A graph in the making.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<NodeProto>,
    pub(super) initializers: Vec<Initializer>,
    pub(super) inputs: Vec<ValueInfoProto>,
    pub(super) outputs: Vec<ValueInfoProto>,
}

/// A weight or constant of the graph.
pub(super) struct Initializer {
    pub(super) name: String,
    pub(super) data_type: i32,
    pub(super) dims: Vec<i64>,
    pub(super) content: Content,
}

/// Where an initialiser's values are.
pub(super) enum Content {
    /// Here.
    Constant(Bytes),
    /// In the model's tensor of the initialiser's name.
    Weight,
}

impl Initializer {
    /// Number of values.
    pub(super) fn len(&self) -> u64 {
        self.dims.iter().map(|&n| n.unsigned_abs()).product()
    }
}

/// A dimension of an input or output.
#[derive(Clone, Copy)]
pub(super) enum Dim {
    Fixed(u32),
    Named(&'static str),
}

impl Graph {
    /// A node with one output, which it returns; the output and the node have one name.
    pub(super) fn node(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        attributes: &[AttributeProto],
    ) -> String {
        self.node_with_outputs(op, name, inputs, attributes, &[name]);
        name.into()
    }

    /// A node with the outputs named.
    pub(super) fn node_with_outputs(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        attributes: &[AttributeProto],
        outputs: &[&str],
    ) {
        let owned = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
        self.nodes.push(NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name: Some(name.into()),
            op_type: Some(op.into()),
            attribute: attributes.to_vec(),
            domain: None,
        });
    }

    /// A weight of the model, under its own name.
    pub(super) fn weight(&mut self, name: &str, shape: &[u32]) -> String {
        let dims = shape.iter().map(|&n| i64::from(n)).collect();
        self.add(Initializer { name: name.into(), data_type: FLOAT, dims, content: Content::Weight })
    }

    /// A vector of integers.
    pub(super) fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, INT64, vec![values.len() as i64], bytes)
    }

    /// One integer, without dimensions.
    pub(super) fn integer(&mut self, name: &str, value: i64) -> String {
        self.constant(name, INT64, vec![], value.to_le_bytes().to_vec())
    }

    /// One float, without dimensions.
    pub(super) fn float(&mut self, name: &str, value: f32) -> String {
        self.constant(name, FLOAT, vec![], value.to_le_bytes().to_vec())
    }

    fn constant(&mut self, name: &str, data_type: i32, dims: Vec<i64>, bytes: Vec<u8>) -> String {
        self.add(Initializer { name: name.into(), data_type, dims, content: Content::Constant(bytes.into()) })
    }

    fn add(&mut self, initializer: Initializer) -> String {
        let name = initializer.name.clone();
        if self.initializers.iter().all(|known| known.name != name) {
            self.initializers.push(initializer);
        }
        name
    }

    /// An input of the graph.
    pub(super) fn input(&mut self, name: &str, data_type: i32, dims: &[Dim]) -> String {
        self.inputs.push(value_info(name, data_type, dims));
        name.into()
    }

    /// Makes a value an output of the graph.
    pub(super) fn output(&mut self, name: &str, data_type: i32, dims: &[Dim]) {
        self.outputs.push(value_info(name, data_type, dims));
    }

    /// Number of weights.
    pub(super) fn parameters(&self) -> u64 {
        let weights = self.initializers.iter().filter(|one| matches!(one.content, Content::Weight));
        weights.map(Initializer::len).sum()
    }

    /// Number of nodes by operator.
    pub(super) fn operators(&self) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for node in &self.nodes {
            *counts.entry(node.op_type.clone().unwrap_or_default()).or_default() += 1;
        }
        counts
    }
}

fn value_info(name: &str, data_type: i32, dims: &[Dim]) -> ValueInfoProto {
    let dim = dims.iter().map(|dim| match *dim {
        Dim::Fixed(size) => DimensionProto { dim_value: Some(size.into()), dim_param: None },
        Dim::Named(name) => DimensionProto { dim_value: None, dim_param: Some(name.into()) },
    });
    let shape = TensorShapeProto { dim: dim.collect() };
    let tensor = TensorTypeProto { elem_type: Some(data_type), shape: Some(shape) };
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

/// Values of `AttributeProto.AttributeType`.
const FLOAT_ATTRIBUTE: i32 = 1;
const INT_ATTRIBUTE: i32 = 2;
const STRING_ATTRIBUTE: i32 = 3;
const INTS_ATTRIBUTE: i32 = 7;

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto { name: Some(name.into()), kind: Some(kind), ..AttributeProto::default() }
}

/// An attribute that is a float.
pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, FLOAT_ATTRIBUTE) }
}

/// An attribute that is an integer.
pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, INT_ATTRIBUTE) }
}

/// An attribute that is a text.
pub(super) fn text(name: &str, value: &'static str) -> AttributeProto {
    let value = Bytes::from_static(value.as_bytes());
    AttributeProto { s: Some(value), ..attribute(name, STRING_ATTRIBUTE) }
}

/// An attribute that is a list of integers.
pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, INTS_ATTRIBUTE) }
}
