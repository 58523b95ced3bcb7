//! Where TensorRT's library is, what it is and which version: found without being made this process's own.
//!
//! The first of these that names a library wins: the option `library`, `INFERHOST_TENSORRT`, the runtimes under
//! `INFERHOST_RUNTIMES` or in a `.runtimes` folder above the executable or in the current folder (`tensorrt`, then
//! `tensorrt-lean`, which `scripts/runtimes.sh` fetches), the system's own search path. An explicit place that holds no
//! library is an error, not a reason to look elsewhere.

use crate::error::one_line;
use crate::options::Options;
use inferhost_plugin_api::library_file;
use inferhost_plugin_api::{Error, ErrorKind};
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::error::Error as _;
use std::ffi::c_int;
use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) use crate::loaded::{Loaded, Need, load};

/// Names a library, or a folder that holds one.
pub const VARIABLE: &str = "INFERHOST_TENSORRT";
/// The major version whose interface this plugin speaks.
pub(crate) const MAJOR: u32 = 11;
/// How to come by a library.
pub(crate) const REMEDY: &str = "set library=… or INFERHOST_TENSORRT to the unpacked wheel tensorrt-cu13-libs 11 of \
    https://pypi.nvidia.com, or run scripts/runtimes.sh tensorrt-lean for the runtime that builds nothing";
/// How to come by a builder.
const BUILDER_REMEDY: &str = "set library=… or INFERHOST_TENSORRT to the unpacked wheel tensorrt-cu13-libs 11 of \
    https://pypi.nvidia.com";

/// Names without prefix and suffix: the library with the builder, and the one without.
const STEMS: [&str; 2] = ["nvinfer", "nvinfer_lean"];
/// Under a named folder: an unpacked archive, the folder of installed Python packages.
const SUBFOLDERS: [&str; 5] = ["", "lib", "bin", "tensorrt_libs", "tensorrt_lean_libs"];

/// What a library can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Builds engines and runs them.
    Full,
    /// Runs version-compatible engines.
    Lean,
}

/// `11.4.0.106`: major, minor, patch and build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub [u32; 4]);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch, build] = self.0;
        write!(f, "{major}.{minor}.{patch}.{build}")
    }
}

/// A library that was found, loads and speaks our interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// The file, or the bare name where the system's search path found it.
    pub path: PathBuf,
    /// As the library tells it.
    pub version: Version,
    /// Whether it has the builder.
    pub kind: Kind,
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Full => self.version.fmt(f),
            Kind::Lean => write!(f, "{} lean", self.version),
        }
    }
}

/// Finds the library that `options` ask for and asks its version, without making it this process's own.
///
/// # Errors
/// [`ErrorKind::RuntimeMissing`] with the places tried or what is wrong with the library.
pub fn find(options: &Options) -> Result<Library, Error> {
    match chosen(options)? {
        Some(path) => check(&path),
        None => on_the_system(),
    }
}

/// Refuses a library that builds nothing.
///
/// # Errors
/// [`ErrorKind::RuntimeMissing`] for the lean runtime.
pub(crate) fn with_builder(library: &Library) -> Result<(), Error> {
    match library.kind {
        Kind::Full => Ok(()),
        Kind::Lean => Err(missing(format!(
            "{} is the lean runtime of TensorRT {}, which runs version-compatible plans and builds none; {BUILDER_REMEDY}",
            library.path.display(),
            library.version
        ))),
    }
}

/// The library file, or none where only the system's search path is left.
///
/// # Errors
/// [`ErrorKind::RuntimeMissing`] where an explicit place holds no library.
pub fn chosen(options: &Options) -> Result<Option<PathBuf>, Error> {
    if let Some(place) = &options.library {
        return explicit(place, "library").map(Some);
    }
    if let Some(place) = std::env::var_os(VARIABLE).filter(|place| !place.is_empty()) {
        return explicit(Path::new(&place), VARIABLE).map(Some);
    }
    Ok(places().iter().find_map(|place| newest_in(place)))
}

/// A file or a folder that the user named.
fn explicit(place: &Path, named_by: &str) -> Result<PathBuf, Error> {
    let place = std::path::absolute(place).unwrap_or_else(|_| place.to_path_buf());
    if place.is_file() {
        return Ok(place);
    }
    library_in(&place).or_else(|| newest_in(&place)).ok_or_else(|| {
        let fault = match (place.is_dir(), place.exists()) {
            (true, _) => "holds no",
            (false, true) => "is neither a file nor a folder, expected a folder or",
            (false, false) => "does not exist, expected a folder or",
        };
        missing(format!("{named_by} is {}, which {fault} {}; {REMEDY}", place.display(), system_names()[0]))
    })
}

/// Folders of fetched runtimes, one subfolder per version.
fn places() -> Vec<PathBuf> {
    let named = std::env::var_os("INFERHOST_RUNTIMES").map(PathBuf::from);
    let executable = std::env::current_exe().unwrap_or_default();
    let above = executable.ancestors().skip(1).map(Path::to_path_buf);
    // Not above the current folder: what lies there is loaded, and may be anyone's.
    let fetched = above.chain(std::env::current_dir().ok()).map(|folder| folder.join(".runtimes"));
    let folders: Vec<PathBuf> = named.into_iter().chain(fetched.filter(|folder| folder.is_dir())).collect();
    let packages = ["tensorrt", "tensorrt-lean"];
    let mut places: Vec<PathBuf> =
        packages.iter().flat_map(|package| folders.iter().map(move |folder| folder.join(package))).collect();
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

/// The library in a folder, one with the builder before one without.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let places = STEMS.iter().flat_map(|stem| SUBFOLDERS.map(|sub| (*stem, folder.join(sub))));
    places.into_iter().find_map(|(stem, place)| beside(&place, stem))
}

/// The library of that name in `folder`, the one with the longest version where there are several.
pub(crate) fn beside(folder: &Path, stem: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    // `is_file` follows links: a link that leads nowhere is no library.
    let found = names.filter(|name| is_library(name, stem) && folder.join(name).is_file());
    Some(folder.join(found.max_by_key(|name| version_key(name))?))
}

/// `libnvinfer.so`, `libnvinfer.so.11`, `libnvinfer.so.11.4.0`, `nvinfer_11.dll`; not what lies beside it.
fn is_library(name: &str, stem: &str) -> bool {
    let Some(rest) = name.strip_prefix(DLL_PREFIX).and_then(|rest| rest.strip_prefix(stem)) else {
        return false;
    };
    let Some(at) = rest.find(DLL_SUFFIX) else { return false };
    let (before, after) = (&rest[..at], &rest[at + DLL_SUFFIX.len()..]);
    let is_version = |text: &str| text.chars().all(|c| c == '.' || c == '_' || c.is_ascii_digit());
    is_version(before) && is_version(after)
}

/// What the system's search path is asked for, in this order.
pub(crate) fn system_names() -> [String; 3] {
    let versioned = |stem: &str| match cfg!(windows) {
        true => format!("{stem}_{MAJOR}{DLL_SUFFIX}"),
        false => format!("{DLL_PREFIX}{stem}{DLL_SUFFIX}.{MAJOR}"),
    };
    [versioned(STEMS[0]), format!("{DLL_PREFIX}{}{DLL_SUFFIX}", STEMS[0]), versioned(STEMS[1])]
}

/// The first on the system's search path that can be used; else what is wrong with the first that is there.
fn on_the_system() -> Result<Library, Error> {
    let mut fault = None;
    for name in system_names() {
        match check(Path::new(&name)) {
            Ok(library) => return Ok(library),
            // The loader begins with the name of the file that it does not find.
            Err(error) if error.message.contains(&format!(": {name}: cannot open")) => {}
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    // Windows's loader does not name the file, so there a fault may be an absence.
    Err(fault.filter(|_| !cfg!(windows)).unwrap_or_else(|| nowhere(&places())))
}

/// The numbers in a name, so that 11.10 sorts after 11.9.
fn version_key(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// Loads the library at `path` and asks what it is.
fn check(path: &Path) -> Result<Library, Error> {
    let library = open(path)?;
    let number = ask(&library, "getInferLibVersion")
        .ok_or_else(|| unusable(path, "it exports no getInferLibVersion, so it is not TensorRT"))?;
    let version = decoded(number, ask(&library, "getInferLibBuildVersion").unwrap_or(0));
    // SAFETY: the function is looked for and not called.
    let has = |name: &str| unsafe { library.get::<*const ()>(name.as_bytes()) }.is_ok();
    let (builds, runs) = (has("createInferBuilder_INTERNAL"), has("createInferRuntime_INTERNAL"));
    // Unloading would run the finalisers of a runtime that may have started threads.
    std::mem::forget(library);
    if version.0[0] != MAJOR {
        let found = format!("{} is TensorRT {version}", path.display());
        return Err(missing(format!("{found}, but this plugin speaks TensorRT {MAJOR}; {REMEDY}")));
    }
    if !runs {
        return Err(unusable(path, "it exports no createInferRuntime_INTERNAL, so it cannot run engines"));
    }
    let kind = if builds { Kind::Full } else { Kind::Lean };
    Ok(Library { path: path.to_path_buf(), version, kind })
}

/// Loads a library; it is unloaded when the value drops.
pub(crate) fn open(path: &Path) -> Result<libloading::Library, Error> {
    library_file::check_whole(path).map_err(|fault| unusable(path, &fault))?;
    // SAFETY: loading runs the library's initialisers; that is what the user asked for by naming or installing it.
    unsafe { libloading::Library::new(path) }.map_err(|e| unusable(path, &reason(&e)))
}

/// What a function without arguments answers; none where there is no such function.
pub(crate) fn ask(library: &libloading::Library, function: &str) -> Option<c_int> {
    // SAFETY: TensorRT's headers declare all its version functions as `extern "C" int32_t name() noexcept`.
    let function = unsafe { library.get::<unsafe extern "C" fn() -> c_int>(function.as_bytes()) }.ok()?;
    // SAFETY: as above.
    Some(unsafe { function() })
}

/// Since TensorRT 10 `major * 10000 + minor * 100 + patch`, as 110400; before, `major * 1000 + …`, as 8601.
fn decoded(number: c_int, build: c_int) -> Version {
    let number = u32::try_from(number).unwrap_or(0);
    let major_unit = if number >= 100_000 { 10_000 } else { 1_000 };
    let build = u32::try_from(build).unwrap_or(0);
    Version([number / major_unit, number % major_unit / 100, number % 100, build])
}

/// What the system's loader said, which names the library that is really missing.
pub(crate) fn reason(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

fn nowhere(places: &[PathBuf]) -> Error {
    let tried: String = places.iter().map(|place| format!("{}, ", place.display())).collect();
    let names = system_names().join(", ");
    missing(format!(
        "no TensorRT library found (neither library nor {VARIABLE} is given; tried {tried}.runtimes folders above the \
         executable and in the current folder, {names} on the system's path); {REMEDY}"
    ))
}

fn unusable(path: &Path, reason: &str) -> Error {
    missing(format!("cannot use TensorRT at {}: {}; {REMEDY}", path.display(), one_line(reason)))
}

pub(crate) fn missing(message: String) -> Error {
    Error::new(ErrorKind::RuntimeMissing, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn only_the_runtime_itself_is_taken_for_it() {
        for name in ["libnvinfer.so", "libnvinfer.so.11", "libnvinfer.so.11.4.0"] {
            assert!(is_library(name, "nvinfer") && !is_library(name, "nvinfer_lean"), "{name}");
        }
        assert!(is_library("libnvinfer_lean.so.11", "nvinfer_lean"));
        for name in [
            "libnvinfer_lean.so.11",
            "libnvinfer_plugin.so.11",
            "libnvinfer_builder_resource_sm90.so.11.4.0",
            "libnvinfer.so.bak",
            "nvinfer.so",
            "LICENSE",
        ] {
            assert!(!is_library(name, "nvinfer"), "{name}");
        }
    }

    #[test]
    fn versions_are_decoded_as_old_and_new_libraries_code_them() {
        for (number, build, expected) in [
            (110_400, 106, "11.4.0.106"),
            (110_201, 2, "11.2.1.2"),
            (100_300, 26, "10.3.0.26"),
            (8601, 6, "8.6.1.6"),
            (0, 0, "0.0.0.0"),
            (-1, -1, "0.0.0.0"),
        ] {
            assert_eq!(decoded(number, build).to_string(), expected);
        }
        assert!(decoded(111_000, 0) > decoded(110_900, 200));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_builder_goes_before_a_lean_runtime_and_the_newest_before_older_ones() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let lean = put("site-packages/tensorrt_lean_libs/libnvinfer_lean.so.11");
        let packages = folder.path().join("site-packages");
        assert_eq!(library_in(&packages), Some(lean));
        let full = put("site-packages/tensorrt_libs/libnvinfer.so.11");
        assert_eq!(library_in(&packages), Some(full));
        put("runtimes/11.9.0/libnvinfer.so.11");
        let newest = put("runtimes/11.10.0/lib/libnvinfer.so.11");
        put("runtimes/11.11.0/LICENSE");
        assert_eq!(explicit(&folder.path().join("runtimes"), "library").unwrap(), newest);
    }

    #[cfg(unix)]
    #[test]
    fn a_place_without_a_library_is_named_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let told = |place: &Path| explicit(place, "library").unwrap_err();
        let absent = told(&folder.path().join("absent"));
        assert!(absent.message.contains("absent, which does not exist, expected a folder or"), "{absent}");
        std::os::unix::fs::symlink("/nowhere", folder.path().join(system_names()[1].as_str())).unwrap();
        let dangling = told(folder.path());
        assert!(dangling.message.contains("holds no"), "{dangling}");
        assert_eq!(dangling.kind, ErrorKind::RuntimeMissing);
    }
}
