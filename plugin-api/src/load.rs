//! From a path to a checked plugin, and the host's safe side of the calls.
//!
//! Loading runs the library's initialisers, so it belongs in a worker process. A library is never unloaded.

use crate::abi::{
    PluginModule_Ref, RawOpenRequest, RawResult, RawToken, RawTokenSink, RawTokenSink_TO, SessionBox,
};
use crate::export::from_json;
use crate::{
    Batch, Description, Error, GenerateOptions, Logits, ModelForm, Positions, SessionInfo, TokenSink,
};
use abi_stable::erased_types::TD_Opaque;
use abi_stable::library::{LibraryError, RootModule, lib_header_from_path};
use abi_stable::std_types::{RSlice, RVec};
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Why a file is not a plugin this host can use.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nothing at the path.
    #[error("no plugin at {path}: {reason}")]
    Unreadable {
        /// Where it was looked for.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// Not a shared library at all.
    #[error("{path} is not a shared library of this platform (its first bytes are {found:02x?}); a plugin is a cdylib built for {target}", target = TARGET)]
    NotALibrary {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        found: [u8; 4],
    },
    /// A shared library that the system's loader refuses, often for want of another library.
    #[error("the system could not load {path}: {reason}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// A shared library without the plugin symbol.
    #[error(
        "{path} is a shared library but exports no inferhost plugin (symbol not found); plugins end with export_backend!"
    )]
    NoPlugin {
        /// The file.
        path: PathBuf,
    },
    /// A plugin, but built with an abi_stable whose own types are not this host's.
    #[error(
        "{path} is a plugin built with another abi_stable than this host ({difference}); rebuild it against inferhost-plugin-api {expected}"
    )]
    Foundation {
        /// The file.
        path: PathBuf,
        /// What abi_stable said.
        difference: String,
        /// This host's version of the interface.
        expected: String,
    },
    /// Another major version of the interface.
    #[error(
        "{path} was built for plugin interface {found}, this host speaks {expected}; rebuild the plugin against inferhost-plugin-api {expected}"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The plugin's version.
        found: String,
        /// This host's version.
        expected: String,
    },
    /// The same version number, yet other types: a changed copy of the interface.
    #[error(
        "{path} claims plugin interface {version} but its types differ ({difference}); rebuild it against an unchanged inferhost-plugin-api"
    )]
    Layout {
        /// The file.
        path: PathBuf,
        /// The version both claim.
        version: String,
        /// The first difference found.
        difference: String,
    },
}

/// The version of the interface that this host speaks. It loads plugins of the same major version.
pub const INTERFACE_VERSION: &str = env!("CARGO_PKG_VERSION");

const TARGET: &str = if cfg!(windows) {
    "Windows"
} else if cfg!(target_os = "macos") {
    "macOS"
} else {
    "Linux"
};

/// A loaded and checked plugin.
#[derive(Clone, Copy)]
pub struct Plugin {
    module: PluginModule_Ref,
    interface: &'static str,
}

impl Plugin {
    /// Loads the shared library at `path` and checks its interface.
    ///
    /// # Errors
    /// One [`LoadError`] for each way a file can fail to be a plugin.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        check_magic(path)?;
        let header = lib_header_from_path(path).map_err(|e| load_error(path, e))?;
        let interface = header.version_strings().version.as_str();
        let module = header
            .init_root_module::<PluginModule_Ref>()
            .map_err(|e| check_error(path, interface.to_string(), e))?;
        Ok(Self { module, interface })
    }

    /// The version of the interface that it was built against.
    pub fn interface(&self) -> &'static str {
        self.interface
    }

    /// A backend of this process, without a library: for a plugin's own unit tests.
    pub fn in_process<B: crate::Backend>() -> Self {
        Self { module: crate::export::module::<B>(), interface: INTERFACE_VERSION }
    }

    /// What the plugin is and can do, under these options (a JSON object).
    ///
    /// # Errors
    /// The plugin's own, or [`ErrorKind::Internal`](crate::ErrorKind::Internal) for text that is no description.
    pub fn describe(&self, options: &Value) -> Result<Description, Error> {
        let text = checked((self.module.describe())(options.to_string().as_str().into()))?;
        from_json("the plugin's description", &text)
    }

    /// Opens a model.
    ///
    /// # Errors
    /// The plugin's own.
    pub fn open(&self, path: &Path, form: ModelForm, options: &Value) -> Result<OpenSession, Error> {
        let Some(text) = path.to_str() else {
            return Err(Error::invalid(format!("the path {} is not UTF-8; rename it", path.display())));
        };
        let options = options.to_string();
        let request =
            RawOpenRequest { path: text.into(), form: form.name().into(), options: options.as_str().into() };
        let raw = checked((self.module.open())(&request))?;
        let info = checked(raw.info())?;
        let info = from_json("the plugin's session info", &info)?;
        Ok(OpenSession { raw, info })
    }

    /// The extension module `M` under `name`; none where the plugin does not have it.
    ///
    /// # Errors
    /// What differs, where the plugin has an extension of that name with other types.
    pub fn extension<M: RootModule>(&self, name: &str) -> Result<Option<M>, Error> {
        match (self.module.extension())(name.into()).into_option() {
            None => Ok(None),
            Some(header) => header.init_root_module::<M>().map(Some).map_err(|e| {
                Error::internal(format!("extension {name} of the plugin has other types: {}", difference(&e)))
            }),
        }
    }
}

/// An open model of a loaded plugin.
pub struct OpenSession {
    raw: SessionBox,
    info: SessionInfo,
}

impl OpenSession {
    /// What is really in use.
    pub fn info(&self) -> &SessionInfo {
        &self.info
    }

    /// See [`Session::prefill`](crate::Session::prefill).
    ///
    /// # Errors
    /// The plugin's own.
    pub fn prefill(
        &mut self,
        batch: Batch<'_>,
        positions: Positions,
        logits: &mut Logits,
    ) -> Result<(), Error> {
        checked(self.raw.prefill(batch, positions == Positions::All, logits))
    }

    /// See [`Session::generate`](crate::Session::generate).
    ///
    /// # Errors
    /// The plugin's own.
    pub fn generate(
        &mut self,
        batch: Batch<'_>,
        options: &GenerateOptions<'_>,
        sink: &mut dyn TokenSink,
    ) -> Result<(), Error> {
        let mut sink = Sink(sink);
        checked(self.raw.generate(batch, options, RawTokenSink_TO::from_ptr(&mut sink, TD_Opaque)))
    }

    /// See [`Session::logprobs`](crate::Session::logprobs).
    ///
    /// # Errors
    /// The plugin's own.
    pub fn logprobs(&mut self, batch: Batch<'_>, logprobs: &mut RVec<f64>) -> Result<(), Error> {
        checked(self.raw.logprobs(batch, logprobs))
    }
}

struct Sink<'a>(&'a mut dyn TokenSink);

impl RawTokenSink for Sink<'_> {
    fn step(&mut self, tokens: RSlice<'_, RawToken>) -> bool {
        self.0.step(tokens.as_slice())
    }
}

fn checked<T>(result: RawResult<T>) -> Result<T, Error> {
    result.into_result().map_err(Error::from)
}

/// The system's loader says little about a file that is no library, so its first bytes are looked at first.
fn check_magic(path: &Path) -> Result<(), LoadError> {
    let unreadable = |e: std::io::Error| LoadError::Unreadable { path: path.into(), reason: e.to_string() };
    let mut found = [0u8; 4];
    let mut file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(LoadError::Unreadable { path: path.into(), reason: "it is a folder".into() });
    }
    let _ = file.read(&mut found).map_err(unreadable)?;
    let known = if cfg!(windows) {
        found.starts_with(b"MZ")
    } else if cfg!(target_os = "macos") {
        matches!(found, [0xcf | 0xce, 0xfa, 0xed, 0xfe] | [0xca, 0xfe, 0xba, 0xbe])
    } else {
        &found == b"\x7fELF"
    };
    if known { Ok(()) } else { Err(LoadError::NotALibrary { path: path.into(), found }) }
}

fn load_error(path: &Path, error: LibraryError) -> LoadError {
    let path = path.to_path_buf();
    match error {
        LibraryError::OpenError { err, .. } => {
            LoadError::Refused { path, reason: one_line(&err.to_string()) }
        }
        LibraryError::GetSymbolError { .. } => LoadError::NoPlugin { path },
        other => {
            LoadError::Foundation { path, difference: difference(&other), expected: INTERFACE_VERSION.into() }
        }
    }
}

fn check_error(path: &Path, found: String, error: LibraryError) -> LoadError {
    let path = path.to_path_buf();
    match error {
        LibraryError::IncompatibleVersionNumber { .. } => {
            LoadError::Version { path, found, expected: INTERFACE_VERSION.into() }
        }
        other => LoadError::Layout { path, version: found, difference: difference(&other) },
    }
}

/// abi_stable describes a layout difference over dozens of lines, from the outermost type to the field that
/// differs: the last field and the last error are the ones worth showing.
fn difference(error: &LibraryError) -> String {
    let text = error.to_string();
    let field = text.rsplit_once("field_name:").and_then(|(_, rest)| rest.lines().next());
    let what = text.rsplit_once("Error:").map_or(text.as_str(), |(_, rest)| rest);
    let shown = match field {
        Some(field) => format!("field {field}: {}", one_line(what)),
        None => one_line(what),
    };
    shown.chars().take(200).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
