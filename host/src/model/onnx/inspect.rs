//! What a graph really holds, read back from its file: operators, and for every product with a weight what that is
//! stored in and what is computed in. Claims are held against this.

use super::proto::{
    AttributeProto, BFLOAT16, FLOAT, FLOAT8E4M3FN, FLOAT16, GraphProto, INT4, INT8, ModelProto, NodeProto,
    TensorProto, UINT8,
};
use crate::model::ModelError;
use prost::Message;
use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

/// A graph as its file has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The version of the standard operators.
    pub opset: i64,
    /// Number of nodes by operator.
    pub nodes: BTreeMap<String, u32>,
    /// What weights and products are in.
    pub coverage: Coverage,
}

/// What matrices are stored in and products computed in. Products of two activations are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Bytes of the matrices that products take, by what they are stored in (`fp32`, `int8`, …).
    pub weight_bytes: BTreeMap<String, u64>,
    /// Bytes of the tables that rows are looked up in (embeddings, positions), by what they are stored in.
    #[serde(default)]
    pub table_bytes: BTreeMap<String, u64>,
    /// Number of products, by what they compute in.
    pub products: BTreeMap<String, u32>,
}

impl Coverage {
    /// The share of the matrices' bytes that is stored in one of `precisions`; 0 where there are no matrices.
    pub fn weight_share(&self, precisions: &[&str]) -> f64 {
        let sum = |bytes: &mut dyn Iterator<Item = &u64>| bytes.map(|&bytes| bytes as f64).sum::<f64>();
        let all = sum(&mut self.weight_bytes.values());
        let these = sum(&mut precisions.iter().filter_map(|name| self.weight_bytes.get(*name)));
        if all == 0.0 { 0.0 } else { these / all }
    }
}

/// Reads the ONNX file at `path`.
///
/// # Errors
/// A file that is no ONNX model.
pub fn inspect(path: &Path) -> Result<Inspection, ModelError> {
    let bytes = Bytes::from(fs::read(path).map_err(ModelError::io(path))?);
    let model = ModelProto::decode(bytes)
        .map_err(|e| ModelError::malformed(path, format!("not an ONNX model, or truncated: {e}")))?;
    let standard = model.opset_import.iter().find(|set| set.domain.as_deref().unwrap_or_default().is_empty());
    let opset = standard.and_then(|set| set.version).unwrap_or_default();
    let graph = model.graph.unwrap_or_default();
    let mut nodes = BTreeMap::new();
    for node in &graph.node {
        *nodes.entry(node.op_type.clone().unwrap_or_default()).or_default() += 1;
    }
    Ok(Inspection { opset, nodes, coverage: coverage(&graph) })
}

fn coverage(graph: &GraphProto) -> Coverage {
    let view = View::new(graph);
    let mut coverage = Coverage::default();
    let (mut counted, mut tables) = (HashSet::new(), HashSet::new());
    for node in &graph.node {
        if let Some((table, stored)) = view.table(node)
            && tables.insert(table.name.as_deref().unwrap_or_default())
        {
            let sum = coverage.table_bytes.entry(stored.into()).or_default();
            *sum = sum.saturating_add(bytes(table, stored));
        }
        let Some(product) = view.product(node) else { continue };
        *coverage.products.entry(product.computed.into()).or_default() += 1;
        if counted.insert(product.weight.name.as_deref().unwrap_or_default()) {
            let stored = coverage.weight_bytes.entry(product.stored.into()).or_default();
            *stored = stored.saturating_add(bytes(product.weight, product.stored));
        }
    }
    coverage
}

/// A product with a weight.
struct Product<'a> {
    weight: &'a TensorProto,
    stored: &'static str,
    computed: &'static str,
}

/// A graph, by the names of its values.
struct View<'a> {
    makers: HashMap<&'a str, &'a NodeProto>,
    weights: HashMap<&'a str, &'a TensorProto>,
}

impl<'a> View<'a> {
    fn new(graph: &'a GraphProto) -> Self {
        let makers =
            graph.node.iter().flat_map(|node| node.output.iter().map(move |out| (out.as_str(), node)));
        let weights = graph.initializer.iter().filter_map(|one| Some((one.name.as_deref()?, one)));
        Self { makers: makers.collect(), weights: weights.collect() }
    }

    fn product(&self, node: &'a NodeProto) -> Option<Product<'a>> {
        let op = node.op_type.as_deref().unwrap_or_default();
        let weight_at = match op {
            "MatMul"
            | "FusedMatMul"
            | "Gemm"
            | "MatMulInteger"
            | "MatMulIntegerToFloat"
            | "MatMulNBits"
            | "DynamicQuantizeMatMul" => 1,
            "QLinearMatMul" | "QGemm" => 3,
            _ => return None,
        };
        let (weight, dequantised) = self.weight(node.input.get(weight_at)?)?;
        let bits = integer(node, "bits").unwrap_or(4);
        let stored =
            if op == "MatMulNBits" { if bits == 4 { "int4" } else { "int8" } } else { name_of(weight)? };
        let is_float_product = matches!(op, "MatMul" | "FusedMatMul" | "Gemm");
        let computed = match op {
            "MatMulNBits" if integer(node, "accuracy_level") != Some(4) => "fp32",
            _ if !is_float_product => "int8",
            // A runtime that has such products computes in 8 bits where it finds quantised values on both sides.
            _ if dequantised && self.is_dequantised(&node.input[0]) => {
                if stored == "fp8" {
                    stored
                } else {
                    "int8"
                }
            }
            _ => self.float_type(node, weight, stored),
        };
        Some(Product { weight, stored, computed })
    }

    /// The matrix that a node looks rows up in, and what it is stored in.
    fn table(&self, node: &NodeProto) -> Option<(&'a TensorProto, &'static str)> {
        let is_lookup = matches!(node.op_type.as_deref(), Some("Gather" | "GatherBlockQuantized"));
        let table = *self.weights.get(node.input.first()?.as_str()).filter(|_| is_lookup)?;
        (table.dims.len() >= 2).then_some((table, name_of(table)?))
    }

    /// The initialiser behind a value that nothing but its form was changed of, and whether it was dequantised.
    fn weight(&self, value: &str) -> Option<(&'a TensorProto, bool)> {
        let mut value = value;
        let mut dequantised = false;
        // A damaged graph can lead in a circle: no way is longer than there are values.
        for _ in 0..=self.makers.len() {
            if let Some(weight) = self.weights.get(value) {
                return Some((weight, dequantised));
            }
            let maker = self.makers.get(value)?;
            match maker.op_type.as_deref() {
                Some("DequantizeLinear") => dequantised = true,
                Some("Cast" | "Transpose" | "Reshape" | "Identity") => {}
                _ => return None,
            }
            value = maker.input.first()?;
        }
        None
    }

    fn is_dequantised(&self, value: &str) -> bool {
        self.makers.get(value).is_some_and(|maker| maker.op_type.as_deref() == Some("DequantizeLinear"))
    }

    /// The type of floats that a product takes: its weight's, or what that was turned into.
    fn float_type(&self, node: &NodeProto, weight: &TensorProto, stored: &'static str) -> &'static str {
        let value = node.input.get(1).map_or("", String::as_str);
        if self.weights.contains_key(value) {
            return stored;
        }
        let cast = self.makers.get(value).filter(|maker| maker.op_type.as_deref() == Some("Cast"));
        let to = cast.and_then(|cast| integer(cast, "to")).and_then(|to| i32::try_from(to).ok());
        match to.or(weight.data_type) {
            Some(FLOAT16) => "fp16",
            Some(BFLOAT16) => "bf16",
            _ => "fp32",
        }
    }
}

fn integer(node: &NodeProto, name: &str) -> Option<i64> {
    let named = |attribute: &&AttributeProto| attribute.name.as_deref() == Some(name);
    node.attribute.iter().find(named).and_then(|attribute| attribute.i)
}

fn name_of(weight: &TensorProto) -> Option<&'static str> {
    Some(match weight.data_type? {
        FLOAT => "fp32",
        FLOAT16 => "fp16",
        BFLOAT16 => "bf16",
        INT8 | UINT8 => "int8",
        INT4 => "int4",
        FLOAT8E4M3FN => "fp8",
        _ => return None,
    })
}

/// Blocks of `MatMulNBits` are bytes, whatever their bits.
fn bytes(weight: &TensorProto, stored: &str) -> u64 {
    let values = weight.dims.iter().fold(1, |values: u64, &n| values.saturating_mul(n.unsigned_abs()));
    match (weight.data_type, stored) {
        (Some(UINT8), _) => values,
        (_, "fp32") => values.saturating_mul(4),
        (_, "fp16" | "bf16") => values.saturating_mul(2),
        (_, "int4") => values.div_ceil(2),
        _ => values,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op: &str, inputs: &[&str], output: &str, attributes: &[(&str, i64)]) -> NodeProto {
        NodeProto {
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![output.into()],
            op_type: Some(op.into()),
            attribute: attributes
                .iter()
                .map(|&(name, i)| AttributeProto {
                    name: Some(name.into()),
                    i: Some(i),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    }

    fn weight(name: &str, data_type: i32, dims: &[i64]) -> TensorProto {
        TensorProto {
            name: Some(name.into()),
            data_type: Some(data_type),
            dims: dims.to_vec(),
            ..Default::default()
        }
    }

    #[test]
    fn storage_and_arithmetic_are_told_apart() {
        let graph = GraphProto {
            node: vec![
                node("MatMul", &["x", "plain"], "a", &[]),
                node("Cast", &["brain"], "cast", &[("to", FLOAT.into())]),
                node("MatMul", &["x", "cast"], "b", &[]),
                node("DequantizeLinear", &["eight", "s"], "w", &[]),
                node("MatMul", &["x", "w"], "weight only", &[]),
                node("DequantizeLinear", &["q", "s"], "dq", &[]),
                node("MatMul", &["dq", "w"], "both", &[]),
                node("DequantizeLinear", &["eight floats", "s"], "wf", &[]),
                node("FusedMatMul", &["dq", "wf"], "both in floats", &[]),
                node("MatMul", &["x", "wf"], "floats alone", &[]),
                node("Gather", &["half table", "ids"], "rows", &[]),
                node("Gather", &["mask", "ids"], "a vector's", &[]),
                node("Gather", &["eight", "ids"], "8-bit rows", &[]),
                node("MatMulNBits", &["x", "blocks", "s"], "n", &[("bits", 4), ("accuracy_level", 4)]),
                node("MatMul", &["a", "b"], "attention", &[]),
            ],
            initializer: vec![
                weight("plain", FLOAT, &[4, 4]),
                weight("brain", BFLOAT16, &[4, 4]),
                weight("eight", INT8, &[4, 4]),
                weight("eight floats", FLOAT8E4M3FN, &[4, 4]),
                weight("half table", FLOAT16, &[5, 4]),
                weight("mask", FLOAT, &[5]),
                weight("blocks", UINT8, &[4, 1, 8]),
            ],
            ..Default::default()
        };
        let found = coverage(&graph);
        let bytes = [("fp32", 64), ("bf16", 32), ("int8", 16), ("int4", 32), ("fp8", 16)];
        assert_eq!(found.weight_bytes, BTreeMap::from(bytes.map(|(name, n)| (name.into(), n))));
        let tables = [("fp16", 40), ("int8", 16)];
        assert_eq!(found.table_bytes, BTreeMap::from(tables.map(|(name, n)| (name.into(), n))));
        let products = [("fp32", 4), ("int8", 2), ("fp8", 1)];
        assert_eq!(found.products, BTreeMap::from(products.map(|(name, n)| (name.into(), n))));
        assert!((found.weight_share(&["int8", "int4"]) - 48.0 / 160.0).abs() < 1e-12);
    }
}
