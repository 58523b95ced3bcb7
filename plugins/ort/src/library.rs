//! Where ONNX Runtime's shared library is, and loading it: once per process, never unloaded.
//!
//! The first of these that names a library wins: the option `library`, `ORT_DYLIB_PATH`, the runtimes that
//! `scripts/runtimes.sh` fetched (under `INFERHOST_RUNTIMES`, or in a `.runtimes` folder above the executable or
//! in the current folder), the system's own search path. An explicit place that holds no library is an error, not a
//! reason to look elsewhere.

use crate::error::one_line;
use crate::options::{Device, Options};
use inferhost_plugin_api::{Error, ErrorKind, library_file};
use ort::environment::Environment;
use ort::sys::OrtApiBase;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::error::Error as _;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const REMEDY: &str = "run scripts/runtimes.sh ort or set library=…";

/// A library that was found, loads and is new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// The file, or the bare name where the system's search path found it.
    pub path: PathBuf,
    /// As ONNX Runtime tells it, as `1.31.1`.
    pub version: String,
}

/// The one library and environment of this process.
static IN_USE: Mutex<Option<(Library, Environment)>> = Mutex::new(None);

/// Finds the library that `options` ask for and asks its version, without making it this process's own.
///
/// # Errors
/// [`ErrorKind::RuntimeMissing`] with the places tried or what is wrong with the library.
pub fn probe(options: &Options) -> Result<Library, Error> {
    match find(options)? {
        Some(path) => check(&path),
        None => check(&PathBuf::from(file_name())).map_err(|_| nowhere(&places(options))),
    }
}

/// The file that would be used, whether or not it can be; none where the system's search path alone is left.
pub(crate) fn chosen(options: &Options) -> Option<PathBuf> {
    find(options).ok().flatten()
}

/// Loads the library that `options` ask for.
///
/// # Errors
/// Those of [`probe`], and [`ErrorKind::Unsupported`] where this process already runs another library.
pub(crate) fn load(options: &Options) -> Result<(Library, Environment), Error> {
    let library = probe(options)?;
    let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((used, environment)) = &*in_use {
        if is_same_file(&used.path, &library.path) {
            return Ok((library, environment.clone()));
        }
        return Err(Error::unsupported(format!(
            "this process already runs ONNX Runtime {} from {}; open {} in a process of its own",
            used.version,
            used.path.display(),
            library.path.display()
        )));
    }
    let environment = ort::init_from(&library.path)
        .map_err(|e| unusable(&library.path, &e.to_string()))?
        .with_name("inferhost")
        .with_telemetry(false)
        .build()
        .map_err(|e| unusable(&library.path, e.message()))?;
    *in_use = Some((library.clone(), environment.clone()));
    Ok((library, environment))
}

/// Whether two paths lead to one file, by links too.
fn is_same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The library file, or none where only the system's search path is left.
fn find(options: &Options) -> Result<Option<PathBuf>, Error> {
    if let Some(place) = &options.library {
        return explicit(place, "library").map(Some);
    }
    if let Some(place) = std::env::var_os("ORT_DYLIB_PATH").filter(|place| !place.is_empty()) {
        return explicit(Path::new(&place), "ORT_DYLIB_PATH").map(Some);
    }
    Ok(places(options).iter().find_map(|place| newest_in(place)))
}

/// A file or a folder that the user named.
fn explicit(place: &Path, named_by: &str) -> Result<PathBuf, Error> {
    let place = std::path::absolute(place).unwrap_or_else(|_| place.to_path_buf());
    if place.is_file() {
        return Ok(place);
    }
    library_in(&place).or_else(|| newest_in(&place)).ok_or_else(|| {
        let fault = if place.is_dir() { "holds no" } else { "does not exist, expected a folder or" };
        missing(format!("{named_by} is {}, which {fault} {}; {REMEDY}", place.display(), file_name()))
    })
}

/// Folders of fetched runtimes, one subfolder per version.
fn places(options: &Options) -> Vec<PathBuf> {
    let named = std::env::var_os("INFERHOST_RUNTIMES").map(PathBuf::from);
    let executable = std::env::current_exe().unwrap_or_default();
    let above = executable.ancestors().skip(1).map(Path::to_path_buf);
    // Not above the current folder: what lies there is loaded, and may be anyone's.
    let fetched = above.chain(std::env::current_dir().ok()).map(|folder| folder.join(".runtimes"));
    let packages: &[&str] = match options.device {
        Device::Cpu => &["onnxruntime"],
        Device::Cuda(_) => &["onnxruntime-gpu", "onnxruntime"],
    };
    let folders = named.into_iter().chain(fetched.filter(|folder| folder.is_dir()));
    let mut places: Vec<PathBuf> =
        folders.flat_map(|folder| packages.iter().map(move |package| folder.join(package))).collect();
    places.dedup();
    places
}

/// The library of the highest version among the subfolders of `folder`.
fn newest_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut versions: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    versions.sort_by_cached_key(|path| path.file_name().map(|name| version_key(&name.to_string_lossy())));
    versions.iter().rev().find_map(|version| library_in(version))
}

/// The library in a folder: where `scripts/runtimes.sh` puts it, in an unpacked release, in a Python package.
fn library_in(folder: &Path) -> Option<PathBuf> {
    ["", "lib", "capi"].iter().find_map(|sub| {
        let entries = std::fs::read_dir(folder.join(sub)).ok()?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let name = names.filter(|name| is_library(name)).max_by_key(|name| version_key(name))?;
        Some(folder.join(sub).join(name))
    })
}

/// `libonnxruntime.so`, `libonnxruntime.so.1.31.1`, `libonnxruntime.1.31.1.dylib`, `onnxruntime.dll`; not the
/// providers beside it.
fn is_library(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(DLL_PREFIX).and_then(|rest| rest.strip_prefix("onnxruntime")) else {
        return false;
    };
    let Some(at) = rest.find(DLL_SUFFIX) else { return false };
    let version = format!("{}{}", &rest[..at], &rest[at + DLL_SUFFIX.len()..]);
    version.chars().all(|c| c == '.' || c.is_ascii_digit())
}

fn file_name() -> String {
    format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}")
}

/// The numbers in a name, so that 1.31 sorts after 1.9.
fn version_key(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// Loads the library at `path` and asks its version.
fn check(path: &Path) -> Result<Library, Error> {
    let unusable = |reason: &str| unusable(path, reason);
    library_file::check_whole(path).map_err(|fault| unusable(&fault))?;
    // SAFETY: loading runs the library's initialisers; that is what the user asked for by naming or installing it.
    let library = unsafe { libloading::Library::new(path) }.map_err(|e| unusable(&reason(&e)))?;
    // SAFETY: `OrtGetApiBase` has had this type since ONNX Runtime's C API exists.
    let base = unsafe { library.get::<unsafe extern "C" fn() -> *const OrtApiBase>(b"OrtGetApiBase") }
        .map_err(|_| unusable("it exports no OrtGetApiBase, so it is not ONNX Runtime"))?;
    // SAFETY: the function takes nothing and gives null or a table that lives as long as the library.
    let base = unsafe { base().as_ref() }.ok_or_else(|| unusable("it gives no interface"))?;
    // SAFETY: the version is a static C string.
    let version = unsafe { CStr::from_ptr((base.GetVersionString)()) }.to_string_lossy().into_owned();
    // SAFETY: any number may be asked for; one that the library does not know gives null.
    let speaks = is_recent(&version) && !unsafe { (base.GetApi)(ort::MINOR_VERSION) }.is_null();
    // Unloading would run the finalisers of a runtime that may have started threads.
    std::mem::forget(library);
    if !speaks {
        return Err(missing(format!(
            "{} is ONNX Runtime {version}, but 1.{} or later is needed; {REMEDY}",
            path.display(),
            ort::MINOR_VERSION
        )));
    }
    Ok(Library { path: path.to_path_buf(), version })
}

/// What the system's loader said, which names the library that is really missing.
fn reason(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Asking an older library for an interface it does not have makes it print to stderr, so the number goes first.
fn is_recent(version: &str) -> bool {
    version_key(version) >= vec![1, u64::from(ort::MINOR_VERSION)]
}

fn nowhere(places: &[PathBuf]) -> Error {
    let tried: String = places.iter().map(|place| format!("{}, ", place.display())).collect();
    let name = file_name();
    missing(format!(
        "no ONNX Runtime library found (neither library nor ORT_DYLIB_PATH is given; tried {tried}.runtimes folders above \
         the executable and in the current folder, {name} on the system's path); {REMEDY}"
    ))
}

fn unusable(path: &Path, reason: &str) -> Error {
    let what = format!("cannot use ONNX Runtime at {}: {}", path.display(), one_line(reason));
    if ["bad_alloc", "Cannot allocate memory", "cannot allocate memory"]
        .iter()
        .any(|text| reason.contains(text))
    {
        return Error::new(ErrorKind::OutOfMemory, what);
    }
    missing(format!("{what}; {REMEDY}"))
}

fn missing(message: String) -> Error {
    Error::new(ErrorKind::RuntimeMissing, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn only_the_runtime_itself_is_taken_for_it() {
        for name in ["libonnxruntime.so", "libonnxruntime.so.1", "libonnxruntime.so.1.31.1"] {
            assert!(is_library(name), "{name}");
        }
        for name in
            ["libonnxruntime_providers_shared.so", "libonnxruntime.so.bak", "onnxruntime.so", "LICENSE"]
        {
            assert!(!is_library(name), "{name}");
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version_key("libonnxruntime.so.1.31.1") > version_key("libonnxruntime.so.1.9.0"));
        for (version, recent) in
            [("1.31.1", true), ("1.18.0", true), ("2.0.0", true), ("1.9.1", false), ("", false)]
        {
            assert_eq!(is_recent(version), recent, "{version}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_newest_version_of_a_folder_is_found() {
        let folder = tempfile::tempdir().unwrap();
        for (version, name) in [
            ("1.9.0", "libonnxruntime.so.1.9.0"),
            ("1.31.1", "libonnxruntime.so.1.31.1"),
            ("1.40.0", "LICENSE"),
        ] {
            std::fs::create_dir(folder.path().join(version)).unwrap();
            std::fs::write(folder.path().join(version).join(name), "").unwrap();
        }
        let newest = folder.path().join("1.31.1/libonnxruntime.so.1.31.1");
        assert_eq!(newest_in(folder.path()), Some(newest.clone()));
        assert_eq!(explicit(folder.path(), "library").unwrap(), newest);
        let message = explicit(&folder.path().join("absent"), "library").unwrap_err().message;
        assert!(message.contains("absent, which does not exist"), "{message}");
    }
}
