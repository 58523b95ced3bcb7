//! The library that AOTInductor packages are linked against: `libtorch.so`, an empty one that pulls the halves of
//! libtorch. The loader knows a library that is loaded by its SONAME, so it has to be there before a package is.

use crate::shim::program::{library_folder, load_library};
use inferhost_plugin_api::Error;
#[cfg(target_os = "linux")]
use {inferhost_plugin_api::ErrorKind, std::fs, std::io::Write, std::path::PathBuf};

/// An empty library under that SONAME, which `build.rs` makes.
#[cfg(target_os = "linux")]
const STAND_IN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libtorch.so"));

/// Loads `libtorch.so`: libtorch's own, or, where half of what it pulls is not installed, ours. Ours too on the CPU where
/// libtorch has CUDA: its libraries would take 300 MB that the same model in other forms does not.
///
/// # Errors
/// `RuntimeMissing` where neither loads.
#[cfg(target_os = "linux")]
pub(super) fn load(on_cpu: bool) -> Result<(), Error> {
    let folder = library_folder().unwrap_or_default();
    let own = folder.join("libtorch.so");
    if !own.is_file() {
        return stand_in("there is no libtorch.so beside libtorch_cpu.so");
    }
    if on_cpu && folder.join("libtorch_cuda.so").is_file() {
        return stand_in("the one here is for CUDA");
    }
    load_library(&own).or_else(|reason| stand_in(&reason))
}

/// Elsewhere packages are not linked against a library that may be missing.
#[cfg(not(target_os = "linux"))]
pub(super) fn load(_: bool) -> Result<(), Error> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn stand_in(instead_of: &str) -> Result<(), Error> {
    let failed = |reason: String| {
        let what = format!(
            "AOTInductor packages need libtorch.so ({instead_of}), and what stands in for it does not load: {reason}"
        );
        Error::new(ErrorKind::RuntimeMissing, what)
    };
    let folder = Temporary::new().map_err(|e| failed(e.to_string()))?;
    let file = folder.0.join("libtorch.so");
    let written = fs::File::create_new(&file).and_then(|mut file| file.write_all(STAND_IN));
    written.map_err(|e| failed(format!("{}: {e}", file.display())))?;
    load_library(&file).map_err(failed)
}

/// A folder of this process's alone, gone when dropped.
#[cfg(target_os = "linux")]
struct Temporary(PathBuf);

#[cfg(target_os = "linux")]
impl Temporary {
    fn new() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nanoseconds =
            std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.subsec_nanos());
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("inferhost-torch-{}-{number}-{nanoseconds}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        // One that is there already, whosever it is, is an error.
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

#[cfg(target_os = "linux")]
impl Drop for Temporary {
    fn drop(&mut self) {
        // What is left behind in the temporary folder is small and harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
