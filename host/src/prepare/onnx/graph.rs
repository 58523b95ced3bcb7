//! Collects the nodes, weights, inputs and outputs of a graph. Values are named by the node that makes them.

use super::encode::Recipe;
use crate::model::onnx::proto::{
    AttributeProto, DimensionProto, FLOAT, INT64, NodeProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
use prost::bytes::Bytes;
use std::collections::BTreeSet;

/// The domain of ONNX Runtime's own operators.
pub(super) const CONTRIB: &str = "com.microsoft";
/// An input that an operator may lack.
pub(super) const ABSENT: &str = "";

/// A graph in the making.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<NodeProto>,
    pub(super) initializers: Vec<Initializer>,
    pub(super) recipes: Vec<Recipe>,
    pub(super) inputs: Vec<ValueInfoProto>,
    pub(super) outputs: Vec<ValueInfoProto>,
    /// Names of initialisers.
    known: BTreeSet<String>,
}

/// A weight or constant of the graph.
pub(super) struct Initializer {
    pub(super) name: String,
    pub(super) data_type: i32,
    pub(super) dims: Vec<i64>,
    pub(super) content: Content,
}

/// Where an initialiser's values are.
#[derive(Clone)]
pub(super) enum Content {
    /// Here.
    Constant(Bytes),
    /// What this recipe makes.
    Values(usize),
    /// The scales of what this recipe makes.
    Scales(usize),
    /// The same bytes as another initialiser has, which came before.
    Same(String),
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
        self.push(op, None, name, inputs, attributes, &[name]);
        name.into()
    }

    /// As [`node`](Self::node), of ONNX Runtime's own operators.
    pub(super) fn contrib(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        attributes: &[AttributeProto],
    ) -> String {
        self.push(op, Some(CONTRIB), name, inputs, attributes, &[name]);
        name.into()
    }

    /// A node with the outputs named.
    pub(super) fn push(
        &mut self,
        op: &str,
        domain: Option<&str>,
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
            domain: domain.map(Into::into),
        });
    }

    /// The values of a weight.
    pub(super) fn weight(&mut self, name: &str, recipe: Recipe) -> String {
        if !self.known.contains(name) {
            let (data_type, dims) = recipe.values();
            self.recipes.push(recipe);
            self.add(name, data_type, dims, Content::Values(self.recipes.len() - 1));
        }
        name.into()
    }

    /// The values and the scales of a quantised weight.
    pub(super) fn quantised_weight(&mut self, name: &str, recipe: Recipe) -> [String; 2] {
        let scales = format!("{name}.scale");
        if !self.known.contains(name) {
            let dims = recipe.scales();
            self.weight(name, recipe);
            self.add(&scales, FLOAT, dims, Content::Scales(self.recipes.len() - 1));
        }
        [name.into(), scales]
    }

    /// The bytes of the initialiser `of` once more, in other dimensions.
    pub(super) fn same(&mut self, name: &str, of: &str, dims: &[u32]) -> String {
        let data_type = self.initializers.iter().find(|one| one.name == of).map_or(0, |one| one.data_type);
        let dims = dims.iter().map(|&n| n.into()).collect();
        self.add(name, data_type, dims, Content::Same(of.into()))
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

    /// Bytes of a type.
    pub(super) fn constant(&mut self, name: &str, data_type: i32, dims: Vec<i64>, bytes: Vec<u8>) -> String {
        self.add(name, data_type, dims, Content::Constant(bytes.into()))
    }

    fn add(&mut self, name: &str, data_type: i32, dims: Vec<i64>, content: Content) -> String {
        if self.known.insert(name.into()) {
            self.initializers.push(Initializer { name: name.into(), data_type, dims, content });
        }
        name.into()
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

    /// Bytes of what is not made of the model's tensors.
    pub(super) fn constant_bytes(&self) -> u64 {
        let bytes = |one: &Initializer| match &one.content {
            Content::Constant(bytes) => bytes.len() as u64,
            _ => 0,
        };
        self.initializers.iter().map(bytes).sum()
    }

    /// Number of parameters: what the model has in tensors that are here, each counted once.
    pub(super) fn parameters(&self) -> u64 {
        let mut seen = BTreeSet::new();
        self.recipes.iter().filter(|recipe| seen.insert(recipe.tensors())).map(Recipe::len).sum()
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
