//! What a plugin author implements, in safe Rust: [`Backend`] opens a model, [`Session`] runs it.
//!
//! The adapter in [`export`](crate::export) checks every batch against [`SessionInfo`] before it reaches a
//! session, so an implementation meets only rows that are not empty, tokens inside the vocabulary and lengths
//! inside the context.

use crate::abi::{RawGenerateOptions, RawToken};
use crate::{Batch, Description, Error, Logits, ModelForm, Positions, SessionInfo};
use abi_stable::library::LibHeader;
use abi_stable::std_types::RVec;
use serde_json::Value;
use std::path::Path;

/// A runtime, as one plugin drives it.
pub trait Backend: 'static {
    /// An open model of this runtime.
    type Session: Session;

    /// What this plugin is and can do. Must answer even where the runtime library is missing: the missing
    /// library goes into [`Runtime::problem`](crate::Runtime::problem).
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for options this plugin does not know.
    fn describe(options: &Value) -> Result<Description, Error>;

    /// Opens a model.
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind); the message says what was found and what to do.
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
    /// Any [`ErrorKind`](crate::ErrorKind).
    fn prefill(&mut self, batch: Batch<'_>, positions: Positions, logits: &mut Logits) -> Result<(), Error>;

    /// Continues every row and hands each step's tokens to `sink` as they reach host memory.
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind).
    fn generate(
        &mut self,
        batch: Batch<'_>,
        options: &GenerateOptions<'_>,
        sink: &mut dyn TokenSink,
    ) -> Result<(), Error>;

    /// Appends ln p(t_i | t_<i), i >= 1, of every row: `batch.total_tokens() - batch.rows()` values.
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind).
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
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the key that is unknown or has the wrong type.
    pub fn parse_options<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        parse_options(self.options)
    }
}

/// Options as a plugin's own type; see [`OpenRequest::parse_options`].
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the key that is unknown or has the wrong type.
pub fn parse_options<T: serde::de::DeserializeOwned>(options: &Value) -> Result<T, Error> {
    T::deserialize(options).map_err(|e| Error::invalid(format!("bad options: {e}")))
}
