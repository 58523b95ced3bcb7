//! What a program says of its inputs and outputs: the JSON that `scripts/export/torch_export.py` leaves in it, which its
//! docstring describes.

use serde::Deserialize;
use std::fmt;

/// A program's inputs and outputs, in the order in which it takes and gives them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Contract {
    /// Of this description; 1 so far.
    pub version: u32,
    /// What it takes.
    pub inputs: Vec<Port>,
    /// What it gives.
    pub outputs: Vec<Port>,
    /// `left`, or `never` where rows of different lengths must not share a run.
    pub padding: String,
    /// What it computes in: `f32`, `bf16`, ….
    pub precision: String,
    /// What it was compiled for: `cpu`, `cuda`, ….
    pub device: String,
    /// Number of the model's parameters.
    pub parameters: Option<u64>,
    /// Most positions of one row.
    pub context_length: Option<u32>,
    /// The model's class, as `GPT2LMHeadModel`.
    pub architecture: Option<String>,
    /// The version of PyTorch that compiled it.
    pub torch: Option<String>,
}

/// An input or output.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Port {
    /// Its name: `input_ids`, `past_key_values.0.key`, ….
    pub name: String,
    /// As PyTorch calls it: `int64`, `float32`, ….
    pub dtype: String,
    /// Its dimensions.
    pub shape: Vec<Size>,
}

/// One dimension.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "serde_json::Value")]
pub enum Size {
    /// Always this.
    Fixed(u64),
    /// Of any size; a name for readers, as `past + sequence`.
    Open(String),
}

impl From<serde_json::Value> for Size {
    fn from(value: serde_json::Value) -> Self {
        match (value.as_u64(), value) {
            (Some(size), _) => Self::Fixed(size),
            (None, serde_json::Value::String(name)) => Self::Open(name),
            (None, other) => Self::Open(other.to_string()),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Open(name) => f.write_str(name),
        }
    }
}

impl Contract {
    /// Reads the JSON.
    ///
    /// # Errors
    /// A text that fits after the file's path.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let contract: Self = serde_json::from_str(text).map_err(|e| {
            format!("says of itself what is not understood (inferhost.json: {e}); export it again")
        })?;
        match contract.version {
            1 => Ok(contract),
            other => Err(format!(
                "describes itself in version {other}, expected 1; export it again with this version's script"
            )),
        }
    }

    /// The width of its logits.
    pub fn vocab_size(&self) -> Option<u32> {
        let logits = self.outputs.iter().find(|port| port.name == "logits")?;
        match logits.shape.last()? {
            Size::Fixed(size) => u32::try_from(*size).ok(),
            Size::Open(_) => None,
        }
    }
}
