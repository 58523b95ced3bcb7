//! Where libtorch is, whether it is the version the engine was compiled for, and loading it: once per process, never
//! unloaded.
//!
//! The first of these that names a folder wins: the option `library`, `LIBTORCH`, the runtimes that
//! `scripts/runtimes.sh` fetched (under `INFERHOST_RUNTIMES`, or in a `.runtimes` folder above the executable or in
//! the current folder). An explicit place that holds no libtorch is an error, not a reason to look elsewhere.

use crate::options::{Device, Options};
use inferhost_plugin_api::{Error, ErrorKind};
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// libtorch has no stable C++ interface: what the engine is compiled against is what it runs with.
pub const VERSION: &str = "2.11.0";

const REMEDY: &str = "run scripts/runtimes.sh torch, or point library=… at the torch folder of a Python \
                      environment with torch 2.11.0";

/// A libtorch of the right version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// `libtorch_cpu`'s file.
    pub path: PathBuf,
    /// As `2.11.0+cu130`, or without what follows the plus where nothing says it.
    pub version: String,
}

impl Library {
    /// Whether libtorch's CUDA half lies beside it.
    pub fn has_cuda(&self) -> bool {
        self.cuda().is_file()
    }

    fn cuda(&self) -> PathBuf {
        self.path.with_file_name(file_name("torch_cuda"))
    }
}

/// What this process has loaded.
static IN_USE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Finds the libtorch that `options` ask for and reads its version, without loading it.
///
/// # Errors
/// `RuntimeMissing` with the places tried, or with the version found and the one expected.
pub fn find(options: &Options) -> Result<Library, Error> {
    let path = locate(options)?;
    let version = written_version(&path).unwrap_or_else(|| VERSION.into());
    if version.split('+').next() == Some(VERSION) {
        return Ok(Library { path, version });
    }
    Err(wrong_version(&path, &version))
}

/// Loads the libtorch that `options` ask for, with its CUDA half where the device needs it.
///
/// # Errors
/// Those of [`find`], `RuntimeMissing` where the system's loader refuses the library, and `Unsupported` where this
/// process already runs another one.
pub(crate) fn load(options: &Options) -> Result<Library, Error> {
    let library = find(options)?;
    let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(used) = in_use.first().filter(|used| **used != library.path) {
        return Err(Error::unsupported(format!(
            "this process already runs libtorch from {}; open {} in a process of its own",
            used.display(),
            library.path.display()
        )));
    }
    if in_use.is_empty() {
        let handle = open(&library.path)?;
        let checked = check_loaded(&handle, &library.path);
        keep(handle, library.path.clone(), &mut in_use);
        checked?;
    }
    if options.device != Device::Cpu && in_use.len() == 1 {
        let cuda = library.cuda();
        if !cuda.is_file() {
            return Err(missing(format!(
                "device is {}, but {} is a libtorch without CUDA (no {}); point library=… at one with CUDA, such as \
                 the torch folder of a Python environment",
                options.device,
                library.path.display(),
                file_name("torch_cuda")
            )));
        }
        // Its initialisers register CUDA with the half that is loaded already.
        let handle = open(&cuda)?;
        keep(handle, cuda, &mut in_use);
    }
    Ok(library)
}

/// Unloading would run finalisers of a runtime that has started threads.
fn keep(handle: libloading::Library, path: PathBuf, in_use: &mut Vec<PathBuf>) {
    std::mem::forget(handle);
    in_use.push(path);
}

fn open(path: &Path) -> Result<libloading::Library, Error> {
    // SAFETY: loading runs the library's initialisers; that is what the user asked for by naming or installing it.
    unsafe { libloading::Library::new(path) }.map_err(|error| {
        let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        let what = format!("cannot load libtorch at {}: {reason}", path.display());
        if is_want_of_memory(&reason) {
            return Error::new(ErrorKind::OutOfMemory, what);
        }
        missing(format!("{what}; {REMEDY}"))
    })
}

/// What the system's loader says where memory is limited; the second without a reason.
pub(crate) fn is_want_of_memory(reason: &str) -> bool {
    ["annot allocate memory", "failed to map segment"].iter().any(|text| reason.contains(text))
}

/// Asks the loaded library itself, whatever the files beside it say.
fn check_loaded(handle: &libloading::Library, path: &Path) -> Result<(), Error> {
    // SAFETY: libtorch has this function, with this type, since 2.9; an older one has no such symbol.
    let found = unsafe { handle.get::<unsafe extern "C" fn() -> u64>(b"aoti_torch_abi_version") };
    let version = match found {
        // SAFETY: as above. A byte each for the three numbers of the version, from the top.
        Ok(version) => unsafe { version() }.to_be_bytes(),
        Err(_) => return Err(wrong_version(path, "of a version before 2.9, or none at all")),
    };
    let found = format!("{}.{}.{}", version[0], version[1], version[2]);
    if found == VERSION { Ok(()) } else { Err(wrong_version(path, &found)) }
}

fn locate(options: &Options) -> Result<PathBuf, Error> {
    if let Some(place) = &options.library {
        return explicit(place, "library");
    }
    if let Some(place) = std::env::var_os("LIBTORCH").filter(|place| !place.is_empty()) {
        return explicit(Path::new(&place), "LIBTORCH");
    }
    let places = places();
    places.iter().find_map(|place| library_in(&place.join(VERSION))).ok_or_else(|| {
        let tried: String = places.iter().map(|place| format!("{}, ", place.display())).collect();
        missing(format!(
            "no libtorch {VERSION} found (neither library nor LIBTORCH is given; tried {tried}.runtimes folders above the executable and in the current folder); {REMEDY}"
        ))
    })
}

/// A file or a folder that the user named.
fn explicit(place: &Path, named_by: &str) -> Result<PathBuf, Error> {
    let place = std::path::absolute(place).unwrap_or_else(|_| place.to_path_buf());
    // Whichever of libtorch's files is named, its CPU half is what is loaded first.
    let file =
        place.is_file().then(|| place.with_file_name(file_name("torch_cpu"))).filter(|file| file.is_file());
    file.or_else(|| library_in(&place)).ok_or_else(|| {
        let fault = if place.exists() { "holds no" } else { "does not exist, expected a folder with" };
        missing(format!(
            "{named_by} is {}, which {fault} {}; {REMEDY}",
            place.display(),
            file_name("torch_cpu")
        ))
    })
}

/// Folders of fetched runtimes, one subfolder per version.
fn places() -> Vec<PathBuf> {
    let named = std::env::var_os("INFERHOST_RUNTIMES").map(PathBuf::from);
    let executable = std::env::current_exe().unwrap_or_default();
    let above = executable.ancestors().skip(1).map(Path::to_path_buf);
    // Not above the current folder: what lies there is loaded, and may be anyone's.
    let fetched = above.chain(std::env::current_dir().ok()).map(|folder| folder.join(".runtimes"));
    let mut places: Vec<PathBuf> = named
        .into_iter()
        .chain(fetched.filter(|folder| folder.is_dir()))
        .map(|folder| folder.join("torch"))
        .collect();
    places.dedup();
    places
}

/// In a folder that `scripts/runtimes.sh` made, Python's package, an unpacked libtorch, or its `lib`.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let name = file_name("torch_cpu");
    ["torch/lib", "lib", ""].iter().map(|sub| folder.join(sub).join(&name)).find(|path| path.is_file())
}

/// What `version.py` of Python's package or `build-version` of an unpacked libtorch says.
fn written_version(library: &Path) -> Option<String> {
    let folder = library.parent()?.parent()?;
    if let Ok(text) = std::fs::read_to_string(folder.join("build-version")) {
        return Some(text.trim().into());
    }
    let text = std::fs::read_to_string(folder.join("version.py")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("__version__ = "))?;
    Some(line.trim_matches(|c| c == '\'' || c == '"').into())
}

fn file_name(name: &str) -> String {
    format!("{DLL_PREFIX}{name}{DLL_SUFFIX}")
}

fn wrong_version(path: &Path, found: &str) -> Error {
    missing(format!(
        "{} is libtorch {found}, but the torch engine was compiled for {VERSION}, and libtorch's interface differs from \
         version to version; {REMEDY}",
        path.display()
    ))
}

fn missing(message: String) -> Error {
    Error::new(ErrorKind::RuntimeMissing, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(library: &Path) -> Options {
        Options { library: Some(library.into()), ..Options::default() }
    }

    /// A folder as Python's package, holding a file that is no library.
    fn package(version: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("torch/lib")).unwrap();
        std::fs::write(folder.path().join("torch/lib").join(file_name("torch_cpu")), "").unwrap();
        let text = format!("from typing import Optional\n__version__ = '{version}'\ncuda = None\n");
        std::fs::write(folder.path().join("torch/version.py"), text).unwrap();
        folder
    }

    #[test]
    fn a_package_is_found_from_any_of_its_folders() {
        let folder = package("2.11.0+cu130");
        let path = folder.path().join("torch/lib").join(file_name("torch_cpu"));
        for place in ["", "torch", "torch/lib"] {
            let library = find(&options(&folder.path().join(place))).unwrap();
            assert_eq!((&library.path, library.version.as_str()), (&path, "2.11.0+cu130"));
            assert!(!library.has_cuda());
        }
        assert_eq!(find(&options(&path)).unwrap().path, path);
    }

    #[test]
    fn another_version_is_refused_with_both() {
        let error = find(&options(package("2.10.0").path())).unwrap_err();
        assert_eq!(error.kind, ErrorKind::RuntimeMissing);
        assert!(
            error.message.contains("is libtorch 2.10.0") && error.message.contains("compiled for 2.11.0"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_without_it_and_a_file_that_is_none_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let message = |place: &Path| find(&options(place)).unwrap_err().message;
        assert!(message(folder.path()).contains("which holds no"));
        assert!(message(&folder.path().join("absent")).contains("does not exist"));
        let error = load(&options(package(VERSION).path())).unwrap_err();
        assert_eq!(error.kind, ErrorKind::RuntimeMissing);
        assert!(
            error.message.contains("cannot load libtorch at") && error.message.lines().count() == 1,
            "{error}"
        );
    }
}
