//! The interface between inferhost and its runtime plugins.
//!
//! A plugin is a shared library that exports one [`abi::PluginModule`]. The life of a plugin, all of it inside one
//! worker process: the host [loads](load::Plugin::load) the library and checks version and layout; asks it to
//! [`describe`](Backend::describe) itself; [opens](Backend::open) a model, which gives a [`Session`]; calls
//! `prefill`, `generate` and `logprobs` on it any number of times; drops the session. The library itself is never
//! unloaded.
//!
//! A plugin author implements the two safe traits [`Backend`] and [`Session`], writes one line,
//! `export_backend!(MyBackend);`, and tests the result with [`conformance`]. A plugin that computes a model's layers
//! itself reads Hugging Face folders with [`hf`].
//!
//! ```
//! use inferhost_plugin_api as api;
//!
//! struct Echo;
//!
//! impl api::Backend for Echo {
//!     type Session = EchoSession;
//!
//!     fn describe(_: &serde_json::Value) -> Result<api::Description, api::Error> {
//!         Ok(api::Description {
//!             name: "echo".into(),
//!             version: env!("CARGO_PKG_VERSION").into(),
//!             runtime: api::Runtime { name: "echo".into(), version: None, library: None, problem: None },
//!             devices: vec!["cpu".into()],
//!             precisions: vec!["f32".into()],
//!             forms: vec![api::ModelForm::HuggingFace],
//!             options: vec![],
//!         })
//!     }
//!
//!     fn open(request: &api::OpenRequest<'_>) -> Result<EchoSession, api::Error> {
//!         Err(api::Error::unsupported(format!("echo cannot run {}", request.path.display())))
//!     }
//! }
//!
//! struct EchoSession;
//!
//! impl api::Session for EchoSession {
//!     fn info(&self) -> api::SessionInfo {
//!         api::SessionInfo::default()
//!     }
//!     fn prefill(&mut self, _: api::Batch<'_>, _: api::Positions, _: &mut api::Logits) -> Result<(), api::Error> {
//!         Ok(())
//!     }
//!     fn generate(
//!         &mut self,
//!         _: api::Batch<'_>,
//!         _: &api::GenerateOptions<'_>,
//!         _: &mut dyn api::TokenSink,
//!     ) -> Result<(), api::Error> {
//!         Ok(())
//!     }
//!     fn logprobs(&mut self, _: api::Batch<'_>, _: &mut api::RVec<f64>) -> Result<(), api::Error> {
//!         Ok(())
//!     }
//! }
//!
//! api::export_backend!(Echo);
//! ```

#![warn(missing_docs)]

pub mod abi;
pub mod backend;
mod batch;
pub mod build;
mod check;
pub mod conformance;
pub mod decode;
mod describe;
mod error;
pub mod export;
mod genai;
mod graph_file;
pub mod hf;
pub mod library_file;
pub mod load;
mod logits;
pub mod program;
pub mod shapes;

pub use abi_stable::std_types::RVec;
pub use backend::{Backend, GenerateOptions, OpenRequest, Session, Token, TokenSink, parse_options};
pub use batch::{Batch, Positions, Rows, by_length};
pub use describe::{Description, ModelForm, OptionDescription, Runtime, SessionInfo};
pub use error::{Error, ErrorKind};
pub use genai::{DecoderNames, GenaiConfig, GenaiProblem};
pub use graph_file::{config_beside, find_graph};
pub use load::{INTERFACE_VERSION, LoadError, OpenSession, Plugin};
pub use logits::Logits;
