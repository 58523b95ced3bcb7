//! What a plugin says of itself and of an open session. All of it crosses as JSON, so a new field is no change of
//! the ABI.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A form of model that a plugin can open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelForm {
    /// A Hugging Face folder: `config.json` and safetensors.
    #[serde(rename = "hf")]
    HuggingFace,
    /// A folder with a graph (see [`find_graph`](crate::find_graph)), or an `.onnx` file.
    #[serde(rename = "onnx")]
    Onnx,
    /// An engine plan built by the same plugin.
    #[serde(rename = "plan")]
    EnginePlan,
    /// A TorchScript file (see [`program`](crate::program)).
    #[serde(rename = "torchscript")]
    TorchScript,
    /// A package compiled by AOTInductor (see [`program`](crate::program)).
    #[serde(rename = "aotinductor")]
    AotInductor,
    /// A form that this version of the interface has no name for.
    #[serde(other, rename = "unknown")]
    Unknown,
}

impl ModelForm {
    /// The name that crosses the boundary.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HuggingFace => "hf",
            Self::Onnx => "onnx",
            Self::EnginePlan => "plan",
            Self::TorchScript => "torchscript",
            Self::AotInductor => "aotinductor",
            Self::Unknown => "unknown",
        }
    }

    /// The form of that name.
    pub fn from_name(name: &str) -> Self {
        match name {
            "hf" => Self::HuggingFace,
            "onnx" => Self::Onnx,
            "plan" => Self::EnginePlan,
            "torchscript" => Self::TorchScript,
            "aotinductor" => Self::AotInductor,
            _ => Self::Unknown,
        }
    }
}

/// What a plugin is and can do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Description {
    /// The plugin's name, as users write it.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// The runtime it drives.
    pub runtime: Runtime,
    /// Devices that `device = ` takes here, the default first: `cpu`, `cuda:0`.
    pub devices: Vec<String>,
    /// Precisions it can compute in: `f32`, `f64`, `bf16`, ….
    pub precisions: Vec<String>,
    /// Model forms it opens, the preferred first.
    pub forms: Vec<ModelForm>,
    /// What `--option` and a config's `options` take.
    #[serde(default)]
    pub options: Vec<OptionDescription>,
}

/// The runtime behind a plugin.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Runtime {
    /// Its name.
    pub name: String,
    /// Its version, where it could be asked.
    pub version: Option<String>,
    /// The library file it was loaded from, or would be but for `problem`; none where it is compiled in or not found.
    #[serde(default)]
    pub library: Option<String>,
    /// Why it cannot be used here, in one line with what to do.
    #[serde(default)]
    pub problem: Option<String>,
}

/// One option of a plugin.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OptionDescription {
    /// The key.
    pub name: String,
    /// What holds when it is not given.
    pub default: String,
    /// One line of help.
    pub help: String,
}

impl OptionDescription {
    /// All three at once.
    pub fn new(name: &str, default: &str, help: &str) -> Self {
        Self { name: name.into(), default: default.into(), help: help.into() }
    }
}

/// What an open session really uses.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionInfo {
    /// The device: `cpu`, `cuda:0`.
    pub device: String,
    /// The precision it computes in.
    pub precision: String,
    /// Threads per operator; none where the runtime does not say.
    pub threads: Option<u32>,
    /// The runtime's version.
    pub runtime_version: Option<String>,
    /// Number of token ids.
    pub vocab_size: u32,
    /// Most positions of one row; none where the model does not say.
    pub context_length: Option<u32>,
    /// Bytes of weights as the runtime holds them; none where it does not say.
    pub model_bytes: Option<u64>,
    /// Whatever else a reader of a report should know, as `provider = CPUExecutionProvider`.
    pub details: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_known_by_one_name_on_both_ways_and_one_of_a_newer_version_is_unknown() {
        use ModelForm::{AotInductor, EnginePlan, HuggingFace, Onnx, TorchScript, Unknown};
        for form in [HuggingFace, Onnx, EnginePlan, TorchScript, AotInductor, Unknown] {
            assert_eq!(ModelForm::from_name(form.name()), form);
            assert_eq!(serde_json::to_value(form).unwrap(), form.name());
            assert_eq!(serde_json::from_value::<ModelForm>(form.name().into()).unwrap(), form);
        }
        assert_eq!(serde_json::from_str::<ModelForm>("\"gguf\"").unwrap(), Unknown);
        assert_eq!(ModelForm::from_name("gguf"), Unknown);
    }
}
