//! Measured kernel times, kept in a file from one build to the next: a second build of a similar engine takes a fraction of
//! the first's time. A file that TensorRT does not take (damaged, of another version or device) is dropped with a note; one
//! that cannot be read or written is no reason to fail.

use crate::driver::Device;
use crate::library::Library;
use crate::log;
use crate::options::{Options, TimingCache};
use cxx::UniquePtr;
use std::ffi::c_void;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use trtx::BuilderFlag;
use trtx::trtx_sys::nvinfer1;

/// The file that `options` ask for, by version and device where it is ours to name; none where it is off.
pub(super) fn file(options: &Options, library: &Library, device: &Device) -> Option<PathBuf> {
    match &options.timing_cache {
        TimingCache::Off => None,
        TimingCache::File(path) => Some(path.clone()),
        TimingCache::Default => {
            let name = device.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            let file = format!("tensorrt-{}-{name}-{}.timing", library.version, device.architecture());
            Some(folder()?.join("timing").join(file))
        }
    }
}

/// As the host's: `INFERHOST_CACHE_DIR`, else the system's cache folder for this program.
fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("INFERHOST_CACHE_DIR").filter(|place| !place.is_empty()).map(PathBuf::from);
    let usual = || Some(directories::ProjectDirs::from("", "", "inferhost")?.cache_dir().to_path_buf());
    named.or_else(usual)
}

/// Gives `config` the times in `file`, or none; what became of them, for the report. Without a file none are kept.
pub(super) fn attach(
    config: &mut UniquePtr<nvinfer1::IBuilderConfig>,
    file: Option<&Path>,
) -> Option<String> {
    let Some(file) = file else {
        config.pin_mut().setFlag(BuilderFlag::kDISABLE_TIMING_CACHE.into());
        return None;
    };
    let (times, fault) = match std::fs::read(file) {
        Ok(times) => (times, None),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => (Vec::new(), None),
        Err(e) => (Vec::new(), Some(format!("could not be read ({e})"))),
    };
    let note = match (times.is_empty(), use_times(config, &times)) {
        (false, true) => "used".to_string(),
        (true, true) => "begun".to_string(),
        (false, false) if use_times(config, &[]) => {
            "damaged or of another version or device; begun anew".to_string()
        }
        _ => "refused by TensorRT".to_string(),
    };
    // What it said of a file that it does not take is no error of the build.
    log::take_errors();
    Some(format!("{}: {}", file.display(), fault.map_or(note.clone(), |fault| format!("{fault}; {note}"))))
}

fn use_times(config: &mut UniquePtr<nvinfer1::IBuilderConfig>, times: &[u8]) -> bool {
    let Some(config) = config.as_mut() else { return false };
    let bytes = if times.is_empty() { std::ptr::null() } else { times.as_ptr() };
    // SAFETY: TensorRT reads that many bytes and keeps none; of no bytes it makes an empty cache.
    let cache = unsafe { config.as_ref().createTimingCache(bytes.cast(), times.len()) };
    // SAFETY: null or a whole object. It is never freed: the config uses it until the build ends, and with it this worker.
    match unsafe { cache.as_ref() } {
        Some(cache) => config.setTimingCache(cache, false),
        None => false,
    }
}

/// Writes what the build has measured to `file`, whole or not at all; what went wrong.
pub(super) fn keep(config: &UniquePtr<nvinfer1::IBuilderConfig>, file: Option<&Path>) -> Option<String> {
    let file = file?;
    let times = serialised(config.as_ref()?.getTimingCache().cast())?;
    // SAFETY: the memory is the object's, which lives until the end of this function.
    let bytes = unsafe { std::slice::from_raw_parts(times.data().cast::<u8>(), times.size()) };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| tempfile::NamedTempFile::new_in(folder))
        .and_then(|mut whole| whole.write_all(bytes).map(|()| whole))
        .and_then(|whole| whole.persist(file).map_err(|e| e.error));
    written.err().map(|e| format!("could not be written ({e})"))
}

/// An object of TensorRT's interface: its own table, which is that of the destructor alone, and what does the work.
#[repr(C)]
struct Interface {
    table: *const c_void,
    implementation: *const Implementation,
}

#[repr(C)]
struct Implementation {
    table: *const Option<Serialise>,
}

type Serialise = unsafe extern "C" fn(this: *const Implementation) -> *mut nvinfer1::IHostMemory;

/// Where `VTimingCache::serialize` stands: after the destructor, which takes one place with Microsoft's compiler and two
/// with all others.
const SERIALISE: usize = if cfg!(target_env = "msvc") { 1 } else { 2 };

/// `ITimingCache::serialize`, which `trtx_sys` does not bind: its inline body, written here.
fn serialised(cache: *const Interface) -> Option<UniquePtr<nvinfer1::IHostMemory>> {
    // SAFETY: null or an `ITimingCache`: a table and `mImpl`, as TensorRT's headers compile into every caller.
    let implementation = unsafe { cache.as_ref() }?.implementation;
    // SAFETY: `mImpl` is a `VTimingCache`, whose table holds `serialize` there in every 11.
    let serialise = unsafe { (*(*implementation).table.add(SERIALISE))? };
    // SAFETY: as above; the function takes the object alone.
    let memory = unsafe { serialise(implementation) };
    // SAFETY: null, which `UniquePtr` takes, or an object that is nobody else's.
    let memory = unsafe { UniquePtr::from_raw(memory) };
    (!memory.is_null()).then_some(memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::{Kind, Version};
    use inferhost_plugin_api::parse_options;
    use serde_json::json;

    #[test]
    fn each_version_and_device_has_times_of_its_own() {
        let library = |version| Library { path: "x".into(), version: Version(version), kind: Kind::Full };
        let device =
            |name: &str| Device { number: 0, name: name.into(), compute_capability: (9, 0), memory: 0 };
        let of = |options: serde_json::Value, library: &Library, device: &Device| {
            file(&parse_options(&options).unwrap(), library, device)
        };
        let old = library([11, 1, 0, 106]);
        let h200 = device("NVIDIA H200");
        let usual = of(json!({}), &old, &h200).unwrap();
        assert!(
            usual.ends_with("timing/tensorrt-11.1.0.106-NVIDIA-H200-sm_90.timing"),
            "{}",
            usual.display()
        );
        assert_ne!(of(json!({}), &library([11, 4, 0, 106]), &h200).unwrap(), usual);
        assert_ne!(of(json!({}), &old, &device("../../x")).unwrap(), usual);
        assert_eq!(of(json!({"timing_cache": "off"}), &old, &h200), None);
        assert_eq!(of(json!({"timing_cache": "/t/c"}), &old, &h200), Some("/t/c".into()));
    }

    /// Where the bindings' crate has TensorRT's headers.
    #[cfg(target_os = "linux")]
    fn headers() -> Option<PathBuf> {
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let told = std::process::Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--offline", "--manifest-path"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .output()
            .ok()?;
        let metadata: serde_json::Value = serde_json::from_slice(&told.stdout).ok()?;
        let packages = metadata["packages"].as_array()?;
        let package = packages.iter().find(|package| package["name"] == "trtx-sys")?;
        Some(Path::new(package["manifest_path"].as_str()?).with_file_name("TensorRT-Headers"))
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn serialising_calls_what_tensorrts_headers_put_there() {
        let skipped =
            |why: &str| writeln!(std::io::stderr().lock(), "skipped: a timing cache's bytes: {why}").unwrap();
        let Some(headers) = headers() else { return skipped("no headers found by cargo metadata") };
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("timing_cache.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bindings/timing_cache.cpp");
        let mut compiler = std::process::Command::new("c++");
        compiler
            .args(["-std=c++17", "-w", "-shared", "-fPIC", "-I"])
            .arg(headers.join("TRT-Enterprise-11.4"));
        let made = compiler.arg("-I").arg(&headers).arg("-o").arg(&library).arg(source).status();
        if made.is_err() {
            return skipped("no C++ compiler");
        }
        assert!(made.unwrap().success());
        // SAFETY: the library has no initialisers of note.
        let library = unsafe { libloading::Library::new(&library) }.unwrap();
        // SAFETY: the source declares the function so.
        let make = unsafe { library.get::<unsafe extern "C" fn() -> *const Interface>(b"make_timing_cache") }
            .unwrap();
        // SAFETY: as above.
        let times = serialised(unsafe { make() }).unwrap();
        // SAFETY: the memory is the object's, which is alive.
        let bytes = unsafe { std::slice::from_raw_parts(times.data().cast::<u8>(), times.size()) };
        assert_eq!(bytes, b"times");
        drop(times);
        std::mem::forget(library);
    }

    #[test]
    fn no_cache_gives_nothing_to_write() {
        assert!(serialised(std::ptr::null()).is_none());
    }
}
