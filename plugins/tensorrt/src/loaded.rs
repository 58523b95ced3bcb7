//! The one TensorRT of this process, and the objects that it makes.
//!
//! The bindings are compiled against TensorRT 11.4's headers, and the library may be any 11. NVIDIA's policy (its
//! documentation, "Support policies, API versioning") is that within a major version the interface grows
//! and nothing moves, so that a program built for 11.0 runs on all later 11s: what 11.0 has lies in the same place in each
//! of them. So this plugin calls nothing that came after 11.0, and tells the library its own version and not that of the
//! headers (the lean libraries 11.1 to 11.4 do not read it). Objects come as the C++ pointers that
//! `trtx_sys` binds, not as `trtx`'s wrappers: those lack timing caches, host code and the parser's errors.

use crate::driver::Device;
use crate::error::from_tensorrt;
use crate::library::{self, Library, MAJOR, REMEDY, missing};
use crate::log;
use crate::options::Options;
use cxx::UniquePtr;
use inferhost_plugin_api::Error;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::ffi::{CStr, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use trtx::trtx_sys::{nvinfer1, nvonnxparser};
use trtx::{ExecutionContextAllocationStrategy, LayerInformationFormat};

const PARSER: &str = "nvonnxparser";

/// What a library is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Running engines.
    Run,
    /// Building them: the builder and the ONNX parser.
    Build,
}

/// `createInferRuntime_INTERNAL` and its like: a logger and a version make an object.
type Create = unsafe extern "C" fn(logger: *mut c_void, version: c_int) -> *mut c_void;
type CreateParser =
    unsafe extern "C" fn(network: *mut c_void, logger: *mut c_void, version: c_int) -> *mut c_void;

/// This process's own library.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    library: Library,
    version: c_int,
    runtime: Create,
    builder: Option<Create>,
    parser: Option<(CreateParser, c_int)>,
}

static IN_USE: Mutex<Option<Loaded>> = Mutex::new(None);

/// Loads the library that `options` ask for. To be called after a [`Driver`](crate::driver::Driver) was made: without a
/// driver what comes out of it crashes.
///
/// # Errors
/// Those of [`find`](library::find), `RuntimeMissing` where it lacks what is needed, and `Unsupported` where this process
/// already runs another library.
pub(crate) fn load(options: &Options, need: Need) -> Result<Loaded, Error> {
    let found = library::find(options)?;
    if need == Need::Build {
        library::with_builder(&found)?;
    }
    let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut loaded = match &*in_use {
        Some(used) if is_same_file(&used.library.path, &found.path) => used.clone(),
        Some(used) => {
            return Err(Error::unsupported(format!(
                "this process already runs TensorRT {} from {}; open {} in a process of its own",
                used.library,
                used.library.path.display(),
                found.path.display()
            )));
        }
        None => Loaded::open(found)?,
    };
    if need == Need::Build && loaded.parser.is_none() {
        loaded.parser = Some(open_parser(&loaded.library)?);
    }
    *in_use = Some(loaded.clone());
    Ok(loaded)
}

/// Whether two paths lead to one file, by links too.
fn is_same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

impl Loaded {
    fn open(library: Library) -> Result<Self, Error> {
        let handle = library::open(&library.path)?;
        // SAFETY: TensorRT's headers declare these functions with this type.
        let function =
            |name: &str| unsafe { handle.get::<Create>(name.as_bytes()) }.ok().map(|symbol| *symbol);
        let runtime = function("createInferRuntime_INTERNAL");
        let builder = function("createInferBuilder_INTERNAL");
        let version = library::ask(&handle, "getInferLibVersion");
        // The functions must outlive every object that they make.
        std::mem::forget(handle);
        match (runtime, version) {
            (Some(runtime), Some(version)) => Ok(Self { library, version, runtime, builder, parser: None }),
            _ => Err(missing(format!(
                "{} is no longer the library that it was; {REMEDY}",
                library.path.display()
            ))),
        }
    }

    /// Which library it is.
    pub(crate) fn library(&self) -> &Library {
        &self.library
    }

    /// What deserialises engines; it must outlive them.
    ///
    /// # Errors
    /// What TensorRT says.
    pub(crate) fn runtime(&self) -> Result<UniquePtr<nvinfer1::IRuntime>, Error> {
        log::take_errors();
        // SAFETY: the logger lives as long as the process.
        let runtime: *mut nvinfer1::IRuntime = unsafe { (self.runtime)(log::logger(), self.version) }.cast();
        match runtime.is_null() {
            true => Err(from_tensorrt("start TensorRT's runtime")),
            // SAFETY: the object is whole and nobody else's.
            false => Ok(unsafe { UniquePtr::from_raw(runtime) }),
        }
    }

    /// What builds engines.
    ///
    /// # Errors
    /// What TensorRT says.
    pub(crate) fn builder(&self) -> Result<UniquePtr<nvinfer1::IBuilder>, Error> {
        log::take_errors();
        let create = self
            .builder
            .ok_or_else(|| missing(format!("TensorRT {} has no builder; {REMEDY}", self.library)))?;
        // SAFETY: the logger lives as long as the process.
        let builder: *mut nvinfer1::IBuilder = unsafe { create(log::logger(), self.version) }.cast();
        match builder.is_null() {
            true => Err(from_tensorrt("start TensorRT's builder")),
            // SAFETY: the object is whole and nobody else's.
            false => Ok(unsafe { UniquePtr::from_raw(builder) }),
        }
    }

    /// What reads a graph into `network`; it holds the weights, so that it must outlive the build.
    ///
    /// # Errors
    /// What TensorRT says.
    pub(crate) fn parser(
        &self,
        network: &mut UniquePtr<nvinfer1::INetworkDefinition>,
    ) -> Result<UniquePtr<nvonnxparser::IParser>, Error> {
        log::take_errors();
        let (create, version) =
            self.parser.ok_or_else(|| missing(format!("no ONNX parser was loaded; {REMEDY}")))?;
        // SAFETY: network and logger outlive the parser, as said above.
        let parser = unsafe { create(network.as_mut_ptr().cast(), log::logger(), version) };
        let parser: *mut nvonnxparser::IParser = parser.cast();
        match parser.is_null() {
            true => Err(from_tensorrt("start TensorRT's ONNX parser")),
            // SAFETY: the object is whole and nobody else's.
            false => Ok(unsafe { UniquePtr::from_raw(parser) }),
        }
    }
}

/// An engine, and the runtime that must outlive it.
pub(crate) struct Engine {
    /// Dropped first.
    pub(crate) engine: UniquePtr<nvinfer1::ICudaEngine>,
    _runtime: UniquePtr<nvinfer1::IRuntime>,
}

impl Loaded {
    /// An engine from its serialised form. `host_code`: whether the plan may bring code for the processor, as a
    /// version-compatible one does.
    ///
    /// # Errors
    /// What TensorRT says.
    pub(crate) fn deserialise(&self, plan: &[u8], host_code: bool) -> Result<Engine, Error> {
        let mut runtime = self.runtime()?;
        runtime.pin_mut().setEngineHostCodeAllowed(host_code);
        // SAFETY: TensorRT reads that many bytes and keeps none.
        let engine = unsafe { runtime.pin_mut().deserializeCudaEngine(plan.as_ptr().cast(), plan.len()) };
        match engine.is_null() {
            true => Err(from_tensorrt("load the engine")),
            // SAFETY: the object is whole and nobody else's.
            false => Ok(Engine { engine: unsafe { UniquePtr::from_raw(engine) }, _runtime: runtime }),
        }
    }

    /// What the inspector tells of a plan's layers, as JSON.
    ///
    /// # Errors
    /// What TensorRT says.
    pub(crate) fn inspect(&self, plan: &[u8], host_code: bool) -> Result<String, Error> {
        let mut live = self.deserialise(plan, host_code)?;
        // Formats depend on the profile, which a context has; one without memory of its own costs little.
        let strategy = ExecutionContextAllocationStrategy::kUSER_MANAGED;
        // SAFETY: null, which `UniquePtr` takes, or an object that is nobody else's.
        let context =
            unsafe { UniquePtr::from_raw(live.engine.pin_mut().createExecutionContext(strategy.into())) };
        // SAFETY: as above.
        let mut inspector = unsafe { UniquePtr::from_raw(live.engine.createEngineInspector()) };
        if inspector.is_null() {
            return Err(from_tensorrt("inspect the engine"));
        }
        if !context.is_null() {
            // SAFETY: the context outlives the inspector.
            unsafe { inspector.pin_mut().setExecutionContext(context.as_ptr()) };
        }
        let told = inspector.getEngineInformation(LayerInformationFormat::kJSON.into());
        match told.is_null() {
            true => Err(from_tensorrt("inspect the engine")),
            // SAFETY: a C string that lives as long as the inspector.
            false => Ok(unsafe { CStr::from_ptr(told) }.to_string_lossy().into_owned()),
        }
    }

    /// Loads what the builder looks for by name alone, from beside the library: its kernels for this device, and the lean
    /// runtime that it packs into version-compatible plans. What is not there TensorRT complains of itself.
    pub(crate) fn preload_builder(&self, device: &Device, version_compatible: bool) {
        let Some(entries) = self.library.path.parent().and_then(|folder| std::fs::read_dir(folder).ok())
        else {
            return;
        };
        let (major, minor) = device.compute_capability;
        let resource = format!("{DLL_PREFIX}nvinfer_builder_resource");
        let lean = format!("{DLL_PREFIX}nvinfer_lean");
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let kernels = name.strip_prefix(&resource).is_some_and(|rest| {
                !rest.starts_with("_sm") || rest.starts_with(&format!("_sm{major}{minor}"))
            });
            if (kernels || version_compatible && name.starts_with(&lean)) && name.contains(DLL_SUFFIX) {
                // Never unloaded, as the library itself.
                library::open(&entry.path()).map(std::mem::forget).ok();
            }
        }
    }
}

/// The ONNX parser beside the library, else on the system's search path. It asks for the library by the name that was
/// just loaded, so that it takes that one.
fn open_parser(library: &Library) -> Result<(CreateParser, c_int), Error> {
    let beside = library.path.parent().and_then(|folder| library::beside(folder, PARSER));
    let system = match cfg!(windows) {
        true => format!("{PARSER}_{MAJOR}{DLL_SUFFIX}"),
        false => format!("{DLL_PREFIX}{PARSER}{DLL_SUFFIX}.{MAJOR}"),
    };
    let path = beside.unwrap_or_else(|| PathBuf::from(system));
    let handle = library::open(&path)?;
    // SAFETY: TensorRT's headers declare the function with this type.
    let create =
        unsafe { handle.get::<CreateParser>(b"createNvOnnxParser_INTERNAL") }.ok().map(|symbol| *symbol);
    let version = library::ask(&handle, "getNvOnnxParserVersion");
    std::mem::forget(handle);
    create.zip(version).ok_or_else(|| {
        missing(format!(
            "{} is not TensorRT's ONNX parser: it exports no createNvOnnxParser_INTERNAL; {REMEDY}",
            path.display()
        ))
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use inferhost_plugin_api::ErrorKind;
    use std::io::Write as _;

    fn options(library: &Path) -> Options {
        Options { library: Some(library.to_path_buf()), ..Options::default() }
    }

    /// The only test that loads a library into this process.
    #[test]
    fn one_library_is_loaded_and_no_other_after_it() {
        let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.runtimes/tensorrt-lean");
        let places = [fetched.join("11.1.0.106"), fetched.join("11.4.0.106")];
        if let Some(absent) = places.iter().find(|place| !place.is_dir()) {
            let mut terminal = std::io::stderr();
            let fix = "run scripts/runtimes.sh tensorrt-lean VERSION";
            writeln!(terminal, "skipped: two libraries in one process: no {}; {fix}", absent.display())
                .unwrap();
            return;
        }
        let loaded = load(&options(&places[0]), Need::Run).unwrap();
        assert_eq!(loaded.library().to_string(), "11.1.0.106 lean");
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("libnvinfer_lean.so");
        std::os::unix::fs::symlink(places[0].join("libnvinfer_lean.so.11"), &link).unwrap();
        load(&options(&link), Need::Run).unwrap();
        let other = load(&options(&places[1]), Need::Run).unwrap_err();
        assert_eq!(other.kind, ErrorKind::Unsupported);
        let told = ["already runs TensorRT 11.1.0.106 lean from", "11.4.0.106", "in a process of its own"];
        assert!(told.iter().all(|part| other.message.contains(part)), "{other}");
        for place in &places {
            let lean = load(&options(place), Need::Build).unwrap_err();
            assert_eq!(lean.kind, ErrorKind::RuntimeMissing);
            assert!(lean.message.contains("builds none; set library=…"), "{lean}");
        }
        assert!(loaded.builder().is_err() && loaded.parser(&mut UniquePtr::null()).is_err());
    }
}
