//! From an ONNX graph to an engine plan: what decides its content, building it, and reading back what came out.
//!
//! The build runs in a thread of its own, so that progress is reported from the caller's thread, whichever thread of
//! TensorRT's it comes from. An engine whose layers do not compute in what was claimed is refused.

mod builder;
mod config;
mod inspector;
mod monitor;
mod profiles;
mod timing_cache;

use crate::describe;
use crate::driver::{self, Device, Driver};
use crate::library::{self, Library, Need};
use crate::loaded::Loaded;
use crate::options::Options;
use builder::{Built, Order};
use inferhost_plugin_api::build::{BuildIdentity, BuildReport, BuildRequest, BuildSpec, ENGINE, Progress};
use inferhost_plugin_api::{Error, ErrorKind, ModelForm, find_graph, parse_options};
use inspector::Layers;
use monitor::Phases;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Of this way to build: raised where the same request would give another engine.
const BUILDER: u32 = 1;
/// TensorRT's headers that this plugin was compiled against.
const HEADERS: &str = "11.4.0";

/// What, beside the model, the precision and the profiles, decides an engine.
pub(crate) fn identity(options: &Options) -> Result<BuildIdentity, Error> {
    describe::ready(options, Need::Build)?;
    let driver = driver::version()?;
    let device = driver::device(options.device.0)?;
    let library = library::find(options)?;
    Ok(identity_of(options, &library, &device, driver))
}

fn identity_of(options: &Options, library: &Library, device: &Device, driver: i32) -> BuildIdentity {
    let mut settings = options.settings();
    // Kernels that TensorRT has the driver compile differ between its major versions.
    settings.insert("cuda_driver".into(), (driver / 1000).to_string());
    settings.insert("headers".into(), HEADERS.into());
    settings.insert("builder".into(), BUILDER.to_string());
    BuildIdentity { runtime: format!("TensorRT {library}"), device: device.to_string(), settings }
}

/// Builds the engine that `request` asks for.
pub(crate) fn build(request: &BuildRequest<'_>, progress: &mut dyn Progress) -> Result<BuildReport, Error> {
    let started = Instant::now();
    let options: Options = parse_options(request.options)?;
    if request.form != ModelForm::Onnx {
        return Err(Error::unsupported(format!(
            "cannot build an engine from {} ({}); expected an ONNX graph",
            request.source.display(),
            request.form.name()
        )));
    }
    let graph = graph_of(request.source)?;
    let driver = Driver::new(options.device.0)?;
    check_device(request.spec, driver.device())?;
    let loaded = library::load(&options, Need::Build)?;
    loaded.preload_builder(driver.device(), options.version_compatible);
    let order = Order {
        graph: &graph,
        profiles: &request.spec.profiles,
        timing_cache: timing_cache::file(&options, loaded.library(), driver.device()),
        options: &options,
    };
    let plan = request.folder.join(ENGINE);
    let (timing_cache, bytes) = in_a_thread(&driver, progress, |phases| {
        let built = builder::run(&loaded, &order, phases)?;
        write(&plan, &built)?;
        Ok((built.timing_cache, built.plan.size()))
    })?;
    let layers = read_back(&loaded, &plan, &options, request.spec)?;
    let details = details(&driver, &layers, timing_cache, bytes);
    Ok(BuildReport {
        precision: request.spec.precision.clone(),
        profiles: request.spec.profiles.clone(),
        identity: identity_of(&options, loaded.library(), driver.device(), driver.version()),
        layers: layers.by_precision,
        build_seconds: started.elapsed().as_secs_f64(),
        details,
    })
}

/// The graph's file, in whose folder its weights lie.
fn graph_of(source: &Path) -> Result<PathBuf, Error> {
    if source.is_file() {
        return Ok(source.to_path_buf());
    }
    let fault = match find_graph(source) {
        Ok(Some(graph)) => return Ok(graph),
        Ok(None) => "holds no graph; expected model.onnx".to_string(),
        Err(fault) => fault,
    };
    Err(Error::invalid(format!("{} {fault}", source.display())))
}

/// What the device cannot compute in is not tried.
fn check_device(spec: &BuildSpec, device: &Device) -> Result<(), Error> {
    if spec.profiles.is_empty() {
        return Err(Error::invalid("an engine needs at least one profile, and the spec has none"));
    }
    let (needed, name) = match spec.precision.as_str() {
        "fp8-qdq" => ((8, 9), "FP8 needs an sm_89 device (Ada) or a later one"),
        "bf16" => ((8, 0), "BF16 needs an sm_80 device (Ampere) or a later one"),
        _ => return Ok(()),
    };
    match device.compute_capability >= needed {
        true => Ok(()),
        false => Err(Error::unsupported(format!("{name}, and this is {device}; take plan-fp16 instead"))),
    }
}

/// Runs `work` with the device's context current, and reports its progress here.
fn in_a_thread<T: Send>(
    driver: &Driver,
    progress: &mut dyn Progress,
    work: impl FnOnce(&Phases<'_>) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let given_up = AtomicBool::new(false);
    let (phases, steps) = Phases::new(&given_up);
    let outcome = std::thread::scope(|scope| {
        // As much stack as C++ programs give the builder.
        let thread = std::thread::Builder::new().stack_size(16 << 20).spawn_scoped(scope, || {
            // Moved in, so that the steps end with the build.
            let phases = phases;
            driver.context().bind_to_thread().map_err(|e| crate::error::from_cuda("use the device", e))?;
            work(&phases)
        });
        let build = thread.map_err(|e| Error::internal(format!("no thread to build in: {e}")))?;
        monitor::pass_on(&steps, &given_up, progress);
        build.join().unwrap_or_else(|_| Err(Error::internal("the build panicked")))
    });
    match given_up.load(Ordering::Relaxed) {
        true => Err(Error::internal("the build was given up, as asked")),
        false => outcome,
    }
}

fn write(plan: &Path, built: &Built) -> Result<(), Error> {
    // SAFETY: the memory is the object's, which is borrowed for as long.
    let bytes = unsafe { std::slice::from_raw_parts(built.plan.data().cast::<u8>(), built.plan.size()) };
    std::fs::write(plan, bytes).map_err(|e| {
        let kind = if e.kind() == std::io::ErrorKind::OutOfMemory {
            ErrorKind::OutOfMemory
        } else {
            ErrorKind::Internal
        };
        Error::new(kind, format!("failed to write {}: {e}", plan.display()))
    })
}

/// What the engine's layers compute in, checked against the claim.
fn read_back(loaded: &Loaded, plan: &Path, options: &Options, spec: &BuildSpec) -> Result<Layers, Error> {
    let bytes = std::fs::read(plan)
        .map_err(|e| Error::internal(format!("failed to read {} back: {e}", plan.display())))?;
    let mut layers = inspector::layers(&loaded.inspect(&bytes, options.version_compatible)?)?;
    layers.by_precision.retain(|_, count| *count > 0);
    inspector::check_claim(&spec.precision, &layers)?;
    Ok(layers)
}

fn details(
    driver: &Driver,
    layers: &Layers,
    timing_cache: Option<String>,
    bytes: usize,
) -> BTreeMap<String, String> {
    let version = driver.version();
    let mut details = BTreeMap::from([
        ("plan_bytes".to_string(), bytes.to_string()),
        ("cuda_driver".to_string(), format!("{}.{}", version / 1000, version % 1000 / 10)),
    ]);
    details.extend(timing_cache.map(|note| ("timing_cache".to_string(), note)));
    if layers.untold > 0 {
        details.insert("layers_untold".into(), layers.untold.to_string());
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferhost_plugin_api::shapes::{Shapes, profiles_for};
    use serde_json::json;

    fn device(compute_capability: (i32, i32)) -> Device {
        Device { number: 0, name: "NVIDIA T4".into(), compute_capability, memory: 0 }
    }

    #[test]
    fn what_the_device_cannot_compute_in_is_refused_before_building() {
        let spec = |precision: &str| BuildSpec {
            precision: precision.into(),
            profiles: profiles_for(&Shapes::whole(1, 8)),
        };
        for (precision, capability, told) in [
            (
                "fp8-qdq",
                (8, 6),
                Some("FP8 needs an sm_89 device (Ada) or a later one, and this is NVIDIA T4, sm_86"),
            ),
            ("bf16", (7, 5), Some("BF16 needs an sm_80 device")),
            ("fp8-qdq", (8, 9), None),
            ("fp8-qdq", (9, 0), None),
            ("bf16", (8, 0), None),
            ("int8-qdq", (7, 5), None),
        ] {
            let found = check_device(&spec(precision), &device(capability));
            match (found, told) {
                (Ok(()), None) => {}
                (Err(error), Some(told)) => {
                    assert_eq!(error.kind, ErrorKind::Unsupported);
                    assert!(error.message.starts_with(told), "{error}");
                }
                (found, told) => panic!("{precision} {capability:?}: {found:?}, expected {told:?}"),
            }
        }
        let none = BuildSpec { precision: "fp32".into(), profiles: vec![] };
        assert_eq!(check_device(&none, &device((9, 0))).unwrap_err().kind, ErrorKind::InvalidInput);
    }

    #[test]
    fn an_identity_tells_library_device_driver_and_settings() {
        let library = Library {
            path: "x".into(),
            version: library::Version([11, 4, 0, 106]),
            kind: library::Kind::Full,
        };
        let of = |options: serde_json::Value, driver| {
            identity_of(&parse_options(&options).unwrap(), &library, &device((9, 0)), driver)
        };
        let plain = of(json!({}), 13_000);
        assert_eq!(
            (plain.runtime.as_str(), plain.device.as_str()),
            ("TensorRT 11.4.0.106", "NVIDIA T4, sm_90")
        );
        assert_eq!(of(json!({"cuda_graph": false}), 13_020), plain);
        assert_ne!(of(json!({}), 14_000), plain);
        assert_ne!(of(json!({"tf32": true}), 13_000), plain);
    }
}
