//! The build itself: the graph parsed into a network, profiles, and what TensorRT makes of them.

use super::monitor::{Monitor, Phases};
use super::profiles::{self, Input};
use super::{config, timing_cache};
use crate::error::{from_tensorrt, one_line};
use crate::loaded::Loaded;
use crate::log;
use crate::options::Options;
use cxx::UniquePtr;
use inferhost_plugin_api::shapes::Profile;
use inferhost_plugin_api::{Error, ErrorKind};
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use trtx::OptProfileSelector;
use trtx::trtx_sys::{self, Dims64, nvinfer1, nvonnxparser};

const SELECTORS: [OptProfileSelector; 3] =
    [OptProfileSelector::kMIN, OptProfileSelector::kOPT, OptProfileSelector::kMAX];
/// Most dimensions of a tensor, as `Dims64` holds them.
const MOST_DIMENSIONS: usize = 8;

/// What a build needs beside the library.
pub(super) struct Order<'a> {
    pub(super) graph: &'a Path,
    pub(super) profiles: &'a [Profile],
    pub(super) options: &'a Options,
    pub(super) timing_cache: Option<PathBuf>,
}

/// What came out.
pub(super) struct Built {
    /// The engine, serialised.
    pub(super) plan: UniquePtr<nvinfer1::IHostMemory>,
    /// What became of the timing cache.
    pub(super) timing_cache: Option<String>,
}

/// Builds; objects are freed in the reverse of the order in which they are made, as TensorRT wants it.
pub(super) fn run(loaded: &Loaded, order: &Order<'_>, phases: &Phases<'_>) -> Result<Built, Error> {
    let mut builder = loaded.builder()?;
    // SAFETY: null, which `UniquePtr` takes, or an object that is nobody else's.
    let mut network = unsafe { UniquePtr::from_raw(builder.pin_mut().createNetworkV2(0)) };
    if network.is_null() {
        return Err(from_tensorrt("make a network"));
    }
    // It holds the weights.
    let mut parser = loaded.parser(&mut network)?;
    parse(&mut parser, order.graph)?;
    let monitor = Monitor::new(phases);
    // SAFETY: as for the network.
    let mut config = unsafe { UniquePtr::from_raw(builder.pin_mut().createBuilderConfig()) };
    if config.is_null() {
        return Err(from_tensorrt("make a builder's configuration"));
    }
    config::configure(config.pin_mut(), order.options);
    // SAFETY: the monitor outlives the config.
    unsafe { config.pin_mut().setProgressMonitor(monitor.pointer) };
    add_profiles(&mut builder, &network, &mut config, order.profiles)?;
    let times = order.timing_cache.as_deref();
    let attached = timing_cache::attach(&mut config, times);
    log::take_errors();
    // SAFETY: null, which `UniquePtr` takes, or an object that is nobody else's.
    let plan = unsafe {
        UniquePtr::from_raw(builder.pin_mut().buildSerializedNetwork(network.pin_mut(), config.pin_mut()))
    };
    // Also after a failed build: what has been measured stays true.
    let kept = timing_cache::keep(&config, times);
    let timing_cache = attached.map(|note| kept.map_or(note.clone(), |fault| format!("{note}; {fault}")));
    match plan.is_null() {
        true => Err(from_tensorrt(&format!("build an engine from {}", order.graph.display()))),
        false => Ok(Built { plan, timing_cache }),
    }
}

/// Reads the graph, with weights that lie in files beside it.
fn parse(parser: &mut UniquePtr<nvonnxparser::IParser>, graph: &Path) -> Result<(), Error> {
    let path = c_string(&graph.display().to_string())?;
    /// `ILogger::Severity::kWARNING`.
    const WARNINGS: i32 = 2;
    // SAFETY: the path is a C string that lives as long as the call.
    if unsafe { parser.pin_mut().parseFromFile(path.as_ptr(), WARNINGS.into()) } {
        return Ok(());
    }
    let pointer = parser.as_mut_ptr().cast();
    // SAFETY: the parser is whole; indices are below the number that it gives, and texts live as long as it.
    let said: Vec<String> = unsafe {
        (0..trtx_sys::parser_get_nb_errors(pointer).clamp(0, 3))
            .map(|index| trtx_sys::parser_get_error(pointer, index))
            .filter(|error| !error.is_null())
            .map(|error| trtx_sys::parser_error_desc(error))
            .filter(|text| !text.is_null())
            .map(|text| CStr::from_ptr(text).to_string_lossy().into_owned())
            .collect()
    };
    if said.is_empty() {
        return Err(from_tensorrt(&format!("read the graph {}", graph.display())));
    }
    log::take_errors();
    let said = one_line(&said.join("; "));
    Err(Error::unsupported(format!("TensorRT's ONNX parser does not take {}: {said}", graph.display())))
}

fn add_profiles(
    builder: &mut UniquePtr<nvinfer1::IBuilder>,
    network: &UniquePtr<nvinfer1::INetworkDefinition>,
    config: &mut UniquePtr<nvinfer1::IBuilderConfig>,
    profiles: &[Profile],
) -> Result<(), Error> {
    let inputs = inputs(network)?;
    for (index, profile) in profiles.iter().enumerate() {
        log::take_errors();
        let made = builder.pin_mut().createOptimizationProfile();
        // SAFETY: null, or an object that the builder owns and keeps; nobody else holds it now.
        let made = unsafe { made.as_mut() }.ok_or_else(|| from_tensorrt("make an optimisation profile"))?;
        // SAFETY: the object does not move: it is TensorRT's.
        let mut made = unsafe { Pin::new_unchecked(made) };
        for (input, is_shape) in &inputs {
            fill(made.as_mut(), input, *is_shape, profile)
                .map_err(|e| Error::new(e.kind, format!("profile {index} ({profile}): {}", e.message)))?;
        }
        let pointer: *const nvinfer1::IOptimizationProfile = &raw const *made;
        // SAFETY: made by the builder of this config, which is alive.
        if !made.isValid() || unsafe { config.pin_mut().addOptimizationProfile(pointer) } < 0 {
            return Err(from_tensorrt(&format!("use profile {index} ({profile})")));
        }
    }
    Ok(())
}

/// The inputs of the network, and which of them have values that decide shapes.
fn inputs(network: &nvinfer1::INetworkDefinition) -> Result<Vec<(Input, bool)>, Error> {
    (0..network.getNbInputs())
        .map(|index| {
            // SAFETY: null or a tensor that the network owns, which nobody changes.
            let tensor = unsafe { network.getInput(index).as_ref() };
            let tensor = tensor.ok_or_else(|| from_tensorrt("list the graph's inputs"))?;
            // SAFETY: a name is a C string that lives as long as its tensor.
            let name = unsafe { CStr::from_ptr(tensor.getName()) }.to_string_lossy().into_owned();
            let found = tensor.getDimensions();
            let count = usize::try_from(found.nbDims).unwrap_or(0).min(MOST_DIMENSIONS);
            Ok((Input { name, dimensions: found.d[..count].to_vec() }, tensor.isShapeTensor()))
        })
        .collect()
}

fn fill(
    mut profile: Pin<&mut nvinfer1::IOptimizationProfile>,
    input: &Input,
    is_shape: bool,
    of: &Profile,
) -> Result<(), Error> {
    let name = c_string(&input.name)?;
    let refused = |what: &str| {
        let reason = from_tensorrt(&format!("set {what} of the input {}", input.name));
        Error::new(ErrorKind::Unsupported, reason.message)
    };
    for (selector, dimensions) in SELECTORS.into_iter().zip(profiles::dimensions(input, of)?) {
        let dimensions = Dims64::from_slice(&dimensions);
        // SAFETY: the name is a C string that lives as long as the call.
        if !unsafe { profile.as_mut().setDimensions(name.as_ptr(), selector.into(), &dimensions) } {
            return Err(refused("dimensions"));
        }
    }
    if is_shape {
        for (selector, value) in SELECTORS.into_iter().zip(profiles::kept(of)) {
            // SAFETY: as above; one value is given and one is read.
            if !unsafe { profile.as_mut().setShapeValuesV2(name.as_ptr(), selector.into(), &value, 1) } {
                return Err(refused("values"));
            }
        }
    }
    Ok(())
}

fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::invalid(format!("'{}' holds a zero byte", text.escape_debug())))
}
