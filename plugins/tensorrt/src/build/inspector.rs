//! What an engine's layers compute in, as TensorRT's inspector tells it, and whether that bears out what was claimed.
//!
//! The inspector's text is JSON whose fields differ between versions: a layer is an object, or its name alone where the
//! engine keeps no more; its inputs name their type in `DataType` (11) or `Format/Datatype` (10), where dynamic shapes may
//! leave "N/A". A layer computes in the narrowest type that it takes in. Layers that only move, convert or quantise values
//! are not counted as computing.

use inferhost_plugin_api::{Error, ErrorKind};
use serde_json::Value;
use std::collections::BTreeMap;

/// Layers by what they compute in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layers {
    /// `int8`, `fp8`, `fp16`, `bf16`, `fp32`; `other` for integers of shapes, moves and conversions.
    pub(super) by_precision: BTreeMap<String, u32>,
    /// Layers of which the inspector does not tell what they take.
    pub(super) untold: u32,
}

/// From the narrowest to the widest, with what the inspector calls them, lower case.
const TYPES: [(&str, &[&str]); 7] = [
    ("int4", &["int4"]),
    ("fp4", &["fp4", "float4", "e2m1"]),
    ("int8", &["int8"]),
    ("fp8", &["fp8", "float8", "e4m3", "e5m2"]),
    ("bf16", &["bfloat16", "bf16"]),
    ("fp16", &["float16", "fp16", "half"]),
    ("fp32", &["float32", "fp32", "float"]),
];
/// Layers that compute nothing: they move, reshape, hold or convert.
const BOOKKEEPING: [&str; 15] = [
    "reformat",
    "constant",
    "shuffle",
    "noop",
    "identity",
    "signal",
    "wait",
    "shape_call",
    "shapehosttodevice",
    "devicetoshapehost",
    "trainstation",
    "cast",
    "quantize",
    "dequantize",
    "slice",
];
/// In the name of a generated kernel that multiplies matrices, as Myelin abbreviates what it fused.
const PRODUCTS: [&str; 9] = ["gemm", "matmul", "mat_mul", "fc", "conv", "dot", "mha", "mma", "bmm"];

/// The layers of an engine, from the inspector's JSON of it.
///
/// # Errors
/// `Internal` where it is no JSON.
pub(super) fn layers(json: &str) -> Result<Layers, Error> {
    // Names of fused layers hold control characters, which not every version escapes.
    let clean: String = json.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let engine: Value = serde_json::from_str(&clean)
        .map_err(|e| Error::internal(format!("failed to read what the engine inspector tells: {e}")))?;
    let mut layers = Layers::default();
    for layer in engine["Layers"].as_array().into_iter().flatten() {
        match precision(layer) {
            Some(precision) => *layers.by_precision.entry(precision.into()).or_default() += 1,
            None => layers.untold += 1,
        }
    }
    Ok(layers)
}

/// What a layer computes in; none where that is not told.
fn precision(layer: &Value) -> Option<&'static str> {
    let kind = layer["LayerType"].as_str()?.to_lowercase();
    if BOOKKEEPING.iter().any(|known| *known == kind) {
        return Some("other");
    }
    let taken: Vec<&str> = ["Inputs", "Weights"].iter().flat_map(|field| types(&layer[*field])).collect();
    if !taken.iter().any(|text| !is_untold(text)) {
        return None;
    }
    let narrowest = TYPES.iter().find(|(_, names)| taken.iter().any(|text| names_type(text, names)));
    let Some((narrowest, _)) = narrowest else { return Some("other") };
    // A generated kernel that takes quantised values and multiplies nothing only dequantises them.
    let name = layer["Name"].as_str().unwrap_or_default().to_lowercase();
    let quantised = matches!(*narrowest, "int4" | "fp4" | "int8" | "fp8");
    if quantised && kind == "kgen" && !PRODUCTS.iter().any(|product| name.contains(product)) {
        return Some("other");
    }
    Some(narrowest)
}

/// The types of a list of tensors, or of one weight.
fn types(tensors: &Value) -> Vec<&str> {
    let one = std::slice::from_ref(tensors);
    let tensors = tensors.as_array().map_or(one, Vec::as_slice);
    let fields = ["DataType", "Datatype", "Format/Datatype", "Type", "Format"];
    tensors.iter().filter_map(|tensor| fields.iter().find_map(|field| tensor[*field].as_str())).collect()
}

fn is_untold(text: &str) -> bool {
    text.trim().is_empty() || text.starts_with("N/A")
}

/// Whether `text` holds one of `names` as a word: `uint8` is not `int8`.
fn names_type(text: &str, names: &[&str]) -> bool {
    let text = text.to_lowercase();
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| names.contains(&word))
}

/// Refuses an engine of which no layer computes in what `precision` claims. Where the inspector tells no layer's types the
/// claim is neither borne out nor disproved.
///
/// # Errors
/// `Unsupported`: a run with this engine would be published under a wrong name.
pub(super) fn check_claim(precision: &str, layers: &Layers) -> Result<(), Error> {
    let claimed = match precision {
        "int8-qdq" => "int8",
        "fp8-qdq" => "fp8",
        "fp16" => "fp16",
        "bf16" => "bf16",
        _ => return Ok(()),
    };
    if layers.by_precision.contains_key(claimed) || !layers.by_precision.keys().any(|name| name != "other") {
        return Ok(());
    }
    let found: Vec<String> =
        layers.by_precision.iter().map(|(name, count)| format!("{name} x {count}")).collect();
    let untold = if layers.untold == 0 { String::new() } else { format!(", not told x {}", layers.untold) };
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "claimed {claimed}, but no layer of the engine computes in {claimed} (layers: {}{untold}); take the \
             precision that it computes in, or another graph",
            found.join(", ")
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(list: &[Value]) -> Layers {
        layers(&json!({"Layers": list, "I/O Tensors": []}).to_string()).unwrap()
    }

    fn layer(kind: &str, name: &str, types: &[&str]) -> Value {
        let inputs: Vec<Value> =
            types.iter().map(|of| json!({"Name": "x", "DataType": of, "Format": "kLINEAR"})).collect();
        json!({"Name": name, "LayerType": kind, "Inputs": inputs})
    }

    #[test]
    fn layers_are_counted_by_the_narrowest_type_they_take() {
        let found = of(&[
            layer("gemm", "__myl_Fc_0", &["Half", "Half", "Float"]),
            layer("gemm", "__myl_Fc_1", &["Int8", "Int8", "Float"]),
            layer("CaskGemmMatrixMultiply", "product", &["fp8", "fp8"]),
            layer("kgen", "__myl_CastMulAdd", &["BFloat16", "Float"]),
            layer("kgen", "__myl_DeqMul", &["Int8", "Float"]),
            layer("Reformat", "copy", &["Half"]),
            layer("kgen", "__myl_Shape", &["Int64"]),
            layer("kgen", "__myl_Bytes", &["UInt8"]),
            json!("only a name"),
        ]);
        let expected = [("bf16", 1), ("fp16", 1), ("fp8", 1), ("int8", 1), ("other", 4)];
        assert_eq!(found.by_precision, expected.map(|(name, count)| (name.to_string(), count)).into());
        assert_eq!(found.untold, 1);
    }

    #[test]
    fn the_forms_of_other_versions_are_read() {
        let old = json!({
            "Name": "conv", "LayerType": "CaskConvolution", "Weights": {"Type": "Int8", "Count": 131072},
            "Inputs": [{"Name": "x", "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format"}],
        });
        let dynamic = json!({
            "Name": "n", "LayerType": "gemm",
            "Inputs": [{"Name": "x", "Format/Datatype": "N/A due to dynamic shapes"}],
        });
        let linear = json!({
            "Name": "p", "LayerType": "gemm", "Inputs": [{"Format/Datatype": "Row major linear FP16 format (kLINEAR)"}],
        });
        let found = of(&[old, dynamic, linear]);
        assert_eq!((found.by_precision["int8"], found.by_precision["fp16"], found.untold), (1, 1, 1));
        let raw = "{\"Layers\": [{\"Name\": \"a\u{1e}b\tc\", \"LayerType\": \"gemm\", \"Inputs\": [{\"DataType\": \"Half\"}]}]}";
        assert_eq!(layers(raw).unwrap().by_precision["fp16"], 1);
        assert_eq!(layers("{}").unwrap(), Layers::default());
        assert!(layers("Layer(gemm)").unwrap_err().message.contains("inspector"));
    }

    #[test]
    fn a_claim_without_a_layer_is_refused_with_what_there_is() {
        let floats = of(&[layer("gemm", "a", &["Float"]), layer("gemm", "b", &["Float"])]);
        for (claim, named) in [("int8-qdq", "int8"), ("fp8-qdq", "fp8"), ("fp16", "fp16"), ("bf16", "bf16")] {
            let error = check_claim(claim, &floats).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unsupported);
            assert!(
                error.message.starts_with(&format!(
                    "claimed {named}, but no layer of the engine computes in {named} (layers: fp32 x 2)"
                )),
                "{error}"
            );
        }
        check_claim("fp32", &floats).unwrap();
        check_claim("int8-qdq", &of(&[layer("gemm", "a", &["Int8", "Int8"])])).unwrap();
        // Nothing is told, so nothing is disproved.
        check_claim("int8-qdq", &of(&[json!("a"), json!("b")])).unwrap();
    }
}
