//! The types of floats, by all their names.

use super::signature::broken;
use inferhost_plugin_api::Error;
use inferhost_plugin_api::program::Port;
use std::path::Path;
use tch::Kind;

/// The type of an input or output that is to be a float.
pub(super) fn float(path: &Path, port: &Port) -> Result<Kind, Error> {
    let known = FLOATS.iter().find(|float| float.python == port.dtype);
    known.map(|float| float.kind).ok_or_else(|| {
        broken(
            path,
            &format!("has '{}' in {}, expected float32, float64, bfloat16 or float16", port.name, port.dtype),
        )
    })
}

struct Float {
    kind: Kind,
    python: &'static str,
    cpp: &'static str,
    short: &'static str,
}

const FLOATS: [Float; 4] = [
    Float { kind: Kind::Float, python: "float32", cpp: "Float", short: "f32" },
    Float { kind: Kind::Double, python: "float64", cpp: "Double", short: "f64" },
    Float { kind: Kind::BFloat16, python: "bfloat16", cpp: "BFloat16", short: "bf16" },
    Float { kind: Kind::Half, python: "float16", cpp: "Half", short: "f16" },
];

pub(super) fn python_name(cpp: &str) -> Option<&'static str> {
    FLOATS.iter().find(|float| float.cpp == cpp).map(|float| float.python)
}

pub(super) fn short_name(python: &str) -> Option<&'static str> {
    FLOATS.iter().find(|float| float.python == python).map(|float| float.short)
}

/// `f32`, ….
pub(super) fn precision_of(kind: Kind) -> &'static str {
    FLOATS.iter().find(|float| float.kind == kind).map_or("unknown", |float| float.short)
}
