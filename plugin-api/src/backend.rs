//! What a plugin author implements, in safe Rust: [`Backend`] opens a model, [`Session`] runs it.
//!
//! The adapter in [`export`](crate::export) checks every batch against [`SessionInfo`] before it reaches a
//! session, so an implementation meets only rows that are not empty, tokens inside the vocabulary and lengths
//! inside the context.

use crate::abi::{RawBatch, RawError, RawFloats, RawGenerateOptions, RawLogits, RawToken};
use abi_stable::library::LibHeader;
use abi_stable::std_types::RVec;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// A runtime, as one plugin drives it.
pub trait Backend: 'static {
    /// An open model of this runtime.
    type Session: Session;

    /// What this plugin is and can do. Must answer even where the runtime library is missing: the missing
    /// library goes into [`Runtime::problem`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for options this plugin does not know.
    fn describe(options: &Value) -> Result<Description, Error>;

    /// Opens a model.
    ///
    /// # Errors
    /// Any [`ErrorKind`]; the message says what was found and what to do.
    fn open(request: &OpenRequest<'_>) -> Result<Self::Session, Error>;

    /// An extension module by name, as `build/1`; see [`abi`](crate::abi).
    fn extension(_name: &str) -> Option<&'static LibHeader> {
        None
    }
}

/// An open model. A call returns when its results are in host memory and the device is idle; after an error the
/// session must take the next call as if the failed one had not been made.
pub trait Session: 'static {
    /// What is really in use.
    fn info(&self) -> SessionInfo;

    /// Runs `batch` through an empty cache and writes logits, `[rows, vocab_size]` for [`Positions::Last`],
    /// `[batch.total_tokens(), vocab_size]` for [`Positions::All`].
    ///
    /// # Errors
    /// Any [`ErrorKind`].
    fn prefill(&mut self, batch: Batch<'_>, positions: Positions, logits: &mut Logits) -> Result<(), Error>;

    /// Continues every row and hands each step's tokens to `sink` as they reach host memory.
    ///
    /// # Errors
    /// Any [`ErrorKind`].
    fn generate(
        &mut self,
        batch: Batch<'_>,
        options: &GenerateOptions<'_>,
        sink: &mut dyn TokenSink,
    ) -> Result<(), Error>;

    /// Appends ln p(t_i | t_<i), i >= 1, of every row: `batch.total_tokens() - batch.rows()` values.
    ///
    /// # Errors
    /// Any [`ErrorKind`].
    fn logprobs(&mut self, batch: Batch<'_>, logprobs: &mut RVec<f64>) -> Result<(), Error>;
}

/// Takes tokens as they reach host memory.
pub trait TokenSink {
    /// The tokens of one step, at most one per row. False: the caller has enough, stop.
    fn step(&mut self, tokens: &[RawToken]) -> bool;
}

/// How `generate` continues the rows of its batch.
pub type GenerateOptions<'a> = RawGenerateOptions<'a>;
/// The next token of one row.
pub type Token = RawToken;
/// Logits in the type the plugin computes in.
pub type Logits = RawLogits;
/// Rows of token ids with their lengths.
pub type Batch<'a> = RawBatch<'a>;

impl<'a> RawBatch<'a> {
    /// Rows that lie one after another in `tokens`; `lengths` must add up to `tokens.len()`.
    pub fn new(tokens: &'a [u32], lengths: &'a [u32]) -> Self {
        Self { tokens: tokens.into(), lengths: lengths.into() }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Number of tokens in all rows.
    pub fn total_tokens(&self) -> usize {
        self.tokens.len()
    }

    /// The longest row's length.
    pub fn longest(&self) -> usize {
        self.lengths.iter().max().map_or(0, |&n| n as usize)
    }

    /// Whether all rows have one length.
    pub fn is_uniform(&self) -> bool {
        self.lengths.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u32]> + use<'a> {
        let tokens = self.tokens.as_slice();
        self.lengths.as_slice().iter().scan(0usize, move |start, &length| {
            let row = tokens.get(*start..*start + length as usize);
            *start += length as usize;
            row
        })
    }
}

/// The rows of a batch, owned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    tokens: Vec<u32>,
    lengths: Vec<u32>,
}

impl Rows {
    /// Copies `rows`.
    pub fn new<R: AsRef<[u32]>>(rows: &[R]) -> Self {
        let tokens = rows.iter().flat_map(|row| row.as_ref()).copied().collect();
        let lengths = rows.iter().map(|row| u32::try_from(row.as_ref().len()).unwrap_or(u32::MAX)).collect();
        Self { tokens, lengths }
    }

    /// The rows as a plugin takes them.
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(&self.tokens, &self.lengths)
    }
}

/// Of which positions logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positions {
    /// The last of every row.
    Last,
    /// All of every row.
    All,
}

impl Positions {
    /// How many positions of `batch` that is.
    pub fn count(self, batch: Batch<'_>) -> usize {
        match self {
            Self::Last => batch.rows(),
            Self::All => batch.total_tokens(),
        }
    }
}

impl Default for RawLogits {
    fn default() -> Self {
        Self { vocab_size: 0, values: RawFloats::F32(RVec::new()) }
    }
}

impl RawLogits {
    /// The buffer as `len` f32 values (kept capacity, unspecified content), of `vocab_size` to a position.
    pub fn as_f32_mut(&mut self, vocab_size: usize, len: usize) -> &mut [f32] {
        self.vocab_size = u32::try_from(vocab_size).unwrap_or(u32::MAX);
        if !matches!(self.values, RawFloats::F32(_)) {
            self.values = RawFloats::F32(RVec::new());
        }
        match &mut self.values {
            RawFloats::F32(values) => {
                values.resize(len, 0.0);
                values
            }
            RawFloats::F64(_) => &mut [],
        }
    }

    /// The buffer as `len` f64 values (kept capacity, unspecified content), of `vocab_size` to a position.
    pub fn as_f64_mut(&mut self, vocab_size: usize, len: usize) -> &mut [f64] {
        self.vocab_size = u32::try_from(vocab_size).unwrap_or(u32::MAX);
        if !matches!(self.values, RawFloats::F64(_)) {
            self.values = RawFloats::F64(RVec::new());
        }
        match &mut self.values {
            RawFloats::F64(values) => {
                values.resize(len, 0.0);
                values
            }
            RawFloats::F32(_) => &mut [],
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match &self.values {
            RawFloats::F32(values) => values.len(),
            RawFloats::F64(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One vector of `vocab_size` values per position.
    pub fn rows_f64(&self) -> Vec<Vec<f64>> {
        let vocab = (self.vocab_size as usize).max(1);
        match &self.values {
            RawFloats::F32(values) => {
                values.chunks(vocab).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect()
            }
            RawFloats::F64(values) => values.chunks(vocab).map(<[f64]>::to_vec).collect(),
        }
    }
}

/// Which model to open, in which form, how.
#[derive(Debug, Clone, Copy)]
pub struct OpenRequest<'a> {
    /// A file or folder.
    pub path: &'a Path,
    /// What lies at `path`.
    pub form: ModelForm,
    /// A JSON object.
    pub options: &'a Value,
}

impl OpenRequest<'_> {
    /// The options as the plugin's own type, which should carry `#[serde(default, deny_unknown_fields)]`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] naming the key that is unknown or has the wrong type.
    pub fn parse_options<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        parse_options(self.options)
    }
}

/// Options as a plugin's own type; see [`OpenRequest::parse_options`].
///
/// # Errors
/// [`ErrorKind::InvalidInput`] naming the key that is unknown or has the wrong type.
pub fn parse_options<T: serde::de::DeserializeOwned>(options: &Value) -> Result<T, Error> {
    T::deserialize(options).map_err(|e| Error::invalid(format!("bad options: {e}")))
}

/// A form of model that a plugin can open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelForm {
    /// A Hugging Face folder: `config.json` and safetensors.
    #[serde(rename = "hf")]
    HuggingFace,
    /// A folder with `model.onnx`, or an `.onnx` file.
    #[serde(rename = "onnx")]
    Onnx,
    /// An engine plan built by the same plugin.
    #[serde(rename = "plan")]
    EnginePlan,
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
            Self::Unknown => "unknown",
        }
    }

    /// The form of that name.
    pub fn from_name(name: &str) -> Self {
        match name {
            "hf" => Self::HuggingFace,
            "onnx" => Self::Onnx,
            "plan" => Self::EnginePlan,
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
    /// The library file it was loaded from; none where it is compiled in.
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
    pub details: std::collections::BTreeMap<String, String>,
}

/// What kind of failure a call met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u32)]
pub enum ErrorKind {
    /// The caller's mistake: options, model file, batch.
    InvalidInput = 1,
    /// Right, but not something this plugin or device can do.
    Unsupported = 2,
    /// A library or device that the runtime needs is not there.
    RuntimeMissing = 3,
    /// Host or device memory ran out.
    OutOfMemory = 4,
    /// The artifact was built for other shapes.
    ShapeNotCovered = 5,
    /// NaN or infinity where a number should be.
    NumericalFault = 6,
    /// Anything else, panics included.
    Internal = 7,
}

impl ErrorKind {
    fn from_code(code: u32) -> Self {
        match code {
            1 => Self::InvalidInput,
            2 => Self::Unsupported,
            3 => Self::RuntimeMissing,
            4 => Self::OutOfMemory,
            5 => Self::ShapeNotCovered,
            6 => Self::NumericalFault,
            _ => Self::Internal,
        }
    }
}

/// A failed call.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// One line: what was found, what was expected, what to do.
    pub message: String,
}

impl Error {
    /// Any kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// [`ErrorKind::InvalidInput`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
}

impl From<RawError> for Error {
    fn from(raw: RawError) -> Self {
        Self { kind: ErrorKind::from_code(raw.kind), message: raw.message.into() }
    }
}

impl From<Error> for RawError {
    fn from(error: Error) -> Self {
        Self { kind: error.kind as u32, message: error.message.into() }
    }
}
