//! Which artifact is wanted: `onnx-<precision>[?key=value&…]` or `plan-<precision>[?…]`, parsed and printed in one
//! canonical form.

use super::calibration::Calibration;
use crate::config::nearest;
use inferhost_plugin_api::ModelForm;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A form that this program builds, with its precision and settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Artifact {
    /// What it is in the end.
    pub target: Target,
    /// What weights and arithmetic are in.
    pub precision: Precision,
    /// For which readers it is.
    pub dialect: Dialect,
    /// The type of token ids, mask and positions.
    pub ids: IdType,
}

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// An ONNX graph.
    Onnx,
    /// An engine plan, which a plugin builds from a portable graph.
    Plan,
}

impl Target {
    /// What its names begin with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Onnx => "onnx-",
            Self::Plan => "plan-",
        }
    }
}

/// What an artifact's weights are stored in and its products computed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    Fp32,
    /// IEEE half precision.
    Fp16,
    /// The upper half of a 32-bit float.
    Bf16,
    /// 8-bit weights; activations are quantised at run time, by the range that they have.
    Int8Dynamic {
        /// A scale for each output instead of one for the matrix.
        per_channel: bool,
    },
    /// Weights alone in 8 bits, a scale for every `block` of them.
    Int8Weight {
        /// Weights that share a scale.
        block: u32,
    },
    /// Weights alone in 4 bits, embedding and head in 8.
    Int4Weight {
        /// Weights that share a scale.
        block: u32,
    },
    /// 8-bit weights and activations, whose ranges are known from calibration: `QuantizeLinear` and
    /// `DequantizeLinear` around every product.
    Int8Qdq(Calibration),
    /// The same with 8-bit floats, E4M3 without infinities, as Ada and later compute in; the embedding in fp16.
    Fp8Qdq(Calibration),
}

/// For which readers a graph is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// ONNX Runtime, with its fused operators.
    Ort,
    /// Operators of ai.onnx alone.
    Portable,
}

/// The type of token ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdType {
    /// 64 bits, as exporters have it.
    Int64,
    /// 32 bits.
    Int32,
}

const PRECISIONS: [&str; 8] =
    ["fp32", "fp16", "bf16", "int8-dynamic", "int8-weight", "int4-weight", "int8-qdq", "fp8-qdq"];
/// Those that an engine is built in.
const OF_PLANS: [&str; 5] = ["fp32", "fp16", "bf16", "int8-qdq", "fp8-qdq"];
const DIALECTS: [(&str, Dialect); 2] = [("ort", Dialect::Ort), ("portable", Dialect::Portable)];
const IDS: [(&str, IdType); 2] = [("int64", IdType::Int64), ("int32", IdType::Int32)];
pub(super) const BOOLS: [(&str, bool); 2] = [("false", false), ("true", true)];
const BLOCKS: [u32; 5] = [16, 32, 64, 128, 256];

impl Artifact {
    /// 32-bit floats for ONNX Runtime: what a model becomes where nothing is asked for.
    pub const FP32: Self =
        Self { target: Target::Onnx, precision: Precision::Fp32, dialect: Dialect::Ort, ids: IdType::Int64 };

    /// An engine in 32-bit floats.
    pub const PLAN_FP32: Self = Self { target: Target::Plan, dialect: Dialect::Portable, ..Self::FP32 };

    /// All names without settings.
    pub fn names() -> impl Iterator<Item = String> {
        let of = |target: Target, names: &'static [&'static str]| {
            names.iter().map(move |precision| format!("{}{precision}", target.prefix()))
        };
        of(Target::Onnx, &PRECISIONS).chain(of(Target::Plan, &OF_PLANS))
    }

    /// The form under which a plugin opens it.
    pub const fn form(&self) -> ModelForm {
        match self.target {
            Target::Onnx => ModelForm::Onnx,
            Target::Plan => ModelForm::EnginePlan,
        }
    }

    /// The graph that it is built from; itself, where it is one.
    #[must_use]
    pub fn graph(&self) -> Self {
        Self { target: Target::Onnx, ..self.clone() }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match (key, &mut self.precision) {
            ("dialect", _) if self.target == Target::Onnx => self.dialect = one_of(key, value, &DIALECTS)?,
            ("ids", _) => self.ids = one_of(key, value, &IDS)?,
            ("per_channel", Precision::Int8Dynamic { per_channel }) => {
                *per_channel = one_of(key, value, &BOOLS)?;
            }
            ("block", Precision::Int8Weight { block } | Precision::Int4Weight { block }) => {
                let known = BLOCKS.map(|size| (size.to_string(), size));
                *block = one_of(key, value, &known.each_ref().map(|(name, size)| (name.as_str(), *size)))?;
            }
            (_, Precision::Int8Qdq(calibration) | Precision::Fp8Qdq(calibration))
                if Calibration::KEYS.contains(&key) =>
            {
                calibration.set(key, value)?;
            }
            _ => return Err(self.unknown_key(key)),
        }
        Ok(())
    }

    fn unknown_key(&self, key: &str) -> String {
        let own: &[&str] = match &self.precision {
            Precision::Int8Dynamic { .. } => &["per_channel"],
            Precision::Int8Weight { .. } | Precision::Int4Weight { .. } => &["block"],
            Precision::Int8Qdq(_) | Precision::Fp8Qdq(_) => &Calibration::KEYS,
            _ => &[],
        };
        let shared: &[&str] = if self.target == Target::Onnx { &["dialect", "ids"] } else { &["ids"] };
        let known: Vec<&str> = shared.iter().chain(own).copied().collect();
        let name = format!("{}{}", self.target.prefix(), self.precision.name());
        match nearest(key, known.iter().copied()) {
            Some(nearest) => format!("unknown key {key:?} of {name}; did you mean {nearest}?"),
            None => format!("unknown key {key:?} of {name}; known are {}", known.join(", ")),
        }
    }

    fn checked(self) -> Result<Self, String> {
        if self.dialect == Dialect::Ort && self.ids == IdType::Int32 {
            return Err("ids=int32 needs dialect=portable: the ort dialect takes int64".into());
        }
        Ok(self)
    }
}

impl Precision {
    /// As in an artifact's name, without settings.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
            Self::Int8Dynamic { .. } => "int8-dynamic",
            Self::Int8Weight { .. } => "int8-weight",
            Self::Int4Weight { .. } => "int4-weight",
            Self::Int8Qdq(_) => "int8-qdq",
            Self::Fp8Qdq(_) => "fp8-qdq",
        }
    }

    /// How the ranges of activations are found, where they are fixed.
    pub const fn calibration(&self) -> Option<&Calibration> {
        match self {
            Self::Int8Qdq(calibration) | Self::Fp8Qdq(calibration) => Some(calibration),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub const fn calibration_mut(&mut self) -> Option<&mut Calibration> {
        match self {
            Self::Int8Qdq(calibration) | Self::Fp8Qdq(calibration) => Some(calibration),
            _ => None,
        }
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "fp32" => Self::Fp32,
            "fp16" => Self::Fp16,
            "bf16" => Self::Bf16,
            "int8-dynamic" => Self::Int8Dynamic { per_channel: false },
            "int8-weight" => Self::Int8Weight { block: 128 },
            "int4-weight" => Self::Int4Weight { block: 32 },
            "int8-qdq" => Self::Int8Qdq(Calibration::default()),
            "fp8-qdq" => Self::Fp8Qdq(Calibration::default()),
            _ => return None,
        })
    }

    /// Its settings that are not the default's.
    fn settings(&self) -> Vec<String> {
        let default = Self::named(self.name());
        match self {
            settled if Some(settled) == default.as_ref() => Vec::new(),
            Self::Int8Dynamic { per_channel } => vec![format!("per_channel={per_channel}")],
            Self::Int8Weight { block } | Self::Int4Weight { block } => vec![format!("block={block}")],
            Self::Int8Qdq(calibration) | Self::Fp8Qdq(calibration) => calibration.settings(),
            Self::Fp32 | Self::Fp16 | Self::Bf16 => Vec::new(),
        }
    }
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut settings = Vec::new();
        if self.target == Target::Onnx && self.dialect != Dialect::Ort {
            settings.push(format!("dialect={}", name_of(self.dialect, &DIALECTS)));
        }
        if self.ids != IdType::Int64 {
            settings.push(format!("ids={}", name_of(self.ids, &IDS)));
        }
        settings.extend(self.precision.settings());
        write!(f, "{}{}", self.target.prefix(), self.precision.name())?;
        if settings.is_empty() { Ok(()) } else { write!(f, "?{}", settings.join("&")) }
    }
}

impl FromStr for Artifact {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, settings) = text.split_once('?').unwrap_or((text, ""));
        let mut artifact = named(name).ok_or_else(|| {
            let known: Vec<String> = Self::names().collect();
            match nearest(name, known.iter().map(String::as_str)) {
                Some(nearest) => format!("unknown artifact {name:?}; did you mean {nearest}?"),
                None => format!("unknown artifact {name:?}; known are {}", known.join(", ")),
            }
        })?;
        let mut seen: Vec<&str> = Vec::new();
        for pair in settings.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is not key=value"))?;
            if seen.contains(&key) {
                return Err(format!("{key} is given twice"));
            }
            artifact.set(key, value)?;
            seen.push(key);
        }
        artifact.checked()
    }
}

impl TryFrom<String> for Artifact {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Artifact> for String {
    fn from(artifact: Artifact) -> Self {
        artifact.to_string()
    }
}

/// The artifact of that name, with nothing set.
fn named(name: &str) -> Option<Artifact> {
    let of = |target: Target| Some((target, name.strip_prefix(target.prefix())?));
    let (target, precision) = of(Target::Onnx).or_else(|| of(Target::Plan))?;
    let dialect = match target {
        Target::Onnx => Dialect::Ort,
        Target::Plan if OF_PLANS.contains(&precision) => Dialect::Portable,
        Target::Plan => return None,
    };
    Some(Artifact { target, dialect, precision: Precision::named(precision)?, ..Artifact::FP32 })
}

pub(super) fn one_of<T: Copy>(key: &str, value: &str, known: &[(&str, T)]) -> Result<T, String> {
    let found = known.iter().find(|(name, _)| *name == value);
    found.map(|&(_, found)| found).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        format!("{key}={value} is not one of {}", names.join(", "))
    })
}

pub(super) fn name_of<T: PartialEq>(value: T, known: &[(&'static str, T)]) -> &'static str {
    known.iter().find(|(_, one)| *one == value).map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_and_print() {
        for text in [
            "onnx-fp32",
            "onnx-fp16?dialect=portable&ids=int32",
            "onnx-bf16",
            "onnx-int8-dynamic",
            "onnx-int8-dynamic?per_channel=true",
            "onnx-int8-weight?dialect=portable&block=32",
            "onnx-int4-weight?block=64",
            "onnx-int8-qdq?per_channel=false&calibration=entropy&samples=4&corpus=a b/c.txt",
            "plan-fp32",
            "plan-fp16?ids=int32",
            "plan-int8-qdq?calibration=minmax",
            "onnx-fp8-qdq?dialect=portable&calibration=minmax",
        ] {
            let artifact: Artifact = text.parse().unwrap();
            assert_eq!(artifact.to_string(), text);
            assert_eq!(serde_json::to_string(&artifact).unwrap(), format!("{text:?}"));
        }
        for (text, canonical) in
            [("onnx-int4-weight?block=32", "onnx-int4-weight"), ("onnx-fp32?dialect=ort", "onnx-fp32")]
        {
            assert_eq!(text.parse::<Artifact>().unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn mistakes_name_the_nearest_right_one() {
        for (text, expected) in [
            ("onnx-fp8", "unknown artifact \"onnx-fp8\"; did you mean onnx-fp"),
            ("onnx-fp8-qdq?block=32", "known are dialect, ids, per_channel, calibration, samples, corpus"),
            ("engine", "unknown artifact \"engine\"; known are onnx-fp32, onnx-fp16"),
            ("onnx-fp32?block=32", "unknown key \"block\" of onnx-fp32; known are dialect, ids"),
            ("plan-fp32?dialect=ort", "unknown key \"dialect\" of plan-fp32; known are ids"),
            ("plan-int4-weight", "unknown artifact \"plan-int4-weight\"; did you mean "),
            ("onnx-int4-weight?blok=32", "did you mean block?"),
            ("onnx-int4-weight?block=33", "block=33 is not one of 16, 32, 64, 128, 256"),
            ("onnx-fp32?ids=int32", "ids=int32 needs dialect=portable"),
            ("onnx-fp32?dialect", "\"dialect\" is not key=value"),
            ("onnx-fp32?ids=int64&ids=int64", "ids is given twice"),
            ("onnx-int8-qdq?calibration=kl", "calibration=kl is not one of minmax, percentile, entropy"),
            ("onnx-int8-qdq?samples=0", "samples=0 is not a whole number"),
            ("onnx-int8-qdq?corpus=", "corpus= names no file"),
        ] {
            let message = text.parse::<Artifact>().unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
