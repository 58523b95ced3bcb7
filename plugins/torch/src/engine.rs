//! The other half of this plugin: found beside this one, loaded once libtorch is there.

use inferhost_plugin_api::{Error, ErrorKind, LoadError, Plugin};
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
    let engine = own.with_file_name(format!("{DLL_PREFIX}inferhost_torch_engine{DLL_SUFFIX}"));
    match engine.is_file() {
        true => Ok(engine),
        false => Err(missing(&format!("the torch plugin has no engine at {}; {REMEDY}", engine.display()))),
    }
}

/// Loads the engine; libtorch must be loaded.
///
/// # Errors
/// `RuntimeMissing` where it is not there or does not fit this plugin or this libtorch.
pub(crate) fn load() -> Result<Plugin, Error> {
    let path = find()?;
    Plugin::load(&path).map_err(|error| match error {
        LoadError::Refused { reason, .. } => {
            let first = reason.split("undefined symbol").next().unwrap_or_default();
            let reason =
                if first.len() < reason.len() { "libtorch lacks a symbol it needs" } else { &reason };
            missing(&format!("the torch engine at {} does not load: {reason}; {REMEDY}", path.display()))
        }
        other => missing(&format!("{other}; {REMEDY}")),
    })
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
