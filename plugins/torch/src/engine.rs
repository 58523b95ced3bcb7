//! The other half of this plugin: found beside this one, loaded once libtorch is there.

use crate::library;
use inferhost_plugin_api::{Error, ErrorKind, LoadError, Plugin};
use serde_json::json;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::PathBuf;

const REMEDY: &str =
    "build it with scripts/runtimes.sh torch && cargo build --release -p inferhost-plugin-torch-engine";

/// The engine's file.
///
/// # Errors
/// `RuntimeMissing` with the folder in which it should be.
pub(crate) fn find() -> Result<PathBuf, Error> {
    let own = own_path().ok_or_else(|| missing("cannot tell where this plugin's own file is"))?;
    let name = format!("{DLL_PREFIX}inferhost_torch_engine{DLL_SUFFIX}");
    let beside = own.with_file_name(&name);
    // The plugin may be a link to where both lie.
    let linked = own.canonicalize().map(|own| own.with_file_name(&name));
    let found = [Some(beside.clone()), linked.ok()].into_iter().flatten().find(|engine| engine.is_file());
    found.ok_or_else(|| missing(&format!("the torch plugin has no engine at {}; {REMEDY}", beside.display())))
}

/// Loads the engine; libtorch must be loaded.
///
/// # Errors
/// `RuntimeMissing` where it is not there or does not fit this plugin or this libtorch.
pub(crate) fn load() -> Result<Plugin, Error> {
    let path = find()?;
    let engine = Plugin::load(&path).map_err(|error| match error {
        LoadError::Refused { reason, .. } if library::is_want_of_memory(&reason) => Error::new(
            ErrorKind::OutOfMemory,
            format!("the torch engine at {} does not load: {reason}", path.display()),
        ),
        LoadError::Refused { reason, .. } => {
            let first = reason.split("undefined symbol").next().unwrap_or_default();
            let reason =
                if first.len() < reason.len() { "libtorch lacks a symbol it needs" } else { &reason };
            missing(&format!("the torch engine at {} does not load: {reason}; {REMEDY}", path.display()))
        }
        other => missing(&format!("{other}; {REMEDY}")),
    })?;
    let found = engine.describe(&json!({}))?;
    if (found.name.as_str(), found.version.as_str()) == ("torch-engine", env!("CARGO_PKG_VERSION")) {
        return Ok(engine);
    }
    Err(missing(&format!(
        "{} is {} {}, expected torch-engine {}; {REMEDY}",
        path.display(),
        found.name,
        found.version,
        env!("CARGO_PKG_VERSION")
    )))
}

fn missing(message: &str) -> Error {
    Error::new(ErrorKind::RuntimeMissing, message)
}

/// The file of the library, or of the test program, that holds this code.
#[cfg(unix)]
fn own_path() -> Option<PathBuf> {
    use std::ffi::{CStr, OsStr};
    use std::os::unix::ffi::OsStrExt;
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
    let address = own_path as fn() -> Option<PathBuf> as *const libc::c_void;
    // SAFETY: any address may be asked for; `info` is written where the answer is not 0.
    if unsafe { libc::dladdr(address, info.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: written by the call above, as it did not give 0.
    let name = unsafe { info.assume_init() }.dli_fname;
    if name.is_null() {
        return None;
    }
    // SAFETY: a C string that lives as long as the library, and so as long as this code.
    let name = unsafe { CStr::from_ptr(name) };
    std::path::absolute(OsStr::from_bytes(name.to_bytes())).ok()
}

/// Plugins lie beside the program unless the user puts them elsewhere.
#[cfg(not(unix))]
fn own_path() -> Option<PathBuf> {
    std::env::current_exe().ok()
}
