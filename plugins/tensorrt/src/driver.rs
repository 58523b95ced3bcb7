//! The CUDA driver and a device of it, asked before anything of TensorRT's is called: without a driver TensorRT reports
//! success and crashes in the next call. cudarc panics where the driver's library or one of its functions is missing, so
//! both are looked for first.

use crate::error::{from_cuda, one_line};
use cudarc::driver::{CudaContext, result, sys};
use inferhost_plugin_api::{Error, ErrorKind};
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// The driver's library, as users know it.
#[cfg(not(windows))]
pub(crate) const LIBRARY: &str = "libcuda.so.1";
/// The driver's library, as users know it.
#[cfg(windows)]
pub(crate) const LIBRARY: &str = "nvcuda.dll";

const REMEDY: &str = "install NVIDIA's driver, 580 or later for CUDA 13, on a machine with an NVIDIA GPU";

/// What the plugin calls: a driver that lacks one of these is too old.
const FUNCTIONS: [&str; 12] = [
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceTotalMem_v2",
    "cuDeviceGetAttribute",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxSetCurrent",
    "cuGetErrorString",
    "cuGetErrorName",
];

/// A device as the driver tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// The driver's number.
    pub(crate) number: u16,
    /// `NVIDIA H200`.
    pub(crate) name: String,
    /// Major and minor.
    pub(crate) compute_capability: (i32, i32),
    /// Bytes.
    pub(crate) memory: u64,
}

impl Device {
    /// Whether it computes in FP8: Ada and later.
    pub(crate) fn has_fp8(&self) -> bool {
        self.compute_capability >= (8, 9)
    }

    /// `sm_90`.
    pub(crate) fn architecture(&self) -> String {
        let (major, minor) = self.compute_capability;
        format!("sm_{major}{minor}")
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.name, self.architecture())
    }
}

/// A device in use: its primary context, which TensorRT shares.
#[derive(Debug, Clone)]
pub(crate) struct Driver {
    context: Arc<CudaContext>,
    device: Device,
    version: i32,
}

impl Driver {
    /// Takes the device of that number into use, and makes its context this thread's.
    ///
    /// # Errors
    /// [`ErrorKind::RuntimeMissing`] where there is no driver, no device, or no such device.
    pub(crate) fn new(number: u16) -> Result<Self, Error> {
        let version = version()?;
        let device = device(number)?;
        let context =
            CudaContext::new(number.into()).map_err(|e| from_cuda(&format!("use cuda:{number}"), e))?;
        Ok(Self { context, device, version })
    }

    /// The primary context.
    pub(crate) fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// What the driver tells of the device.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The newest CUDA that the driver runs: 13000 for 13.0.
    pub(crate) fn version(&self) -> i32 {
        self.version
    }
}

/// The newest CUDA that the driver runs: 13000 for 13.0.
///
/// # Errors
/// [`ErrorKind::RuntimeMissing`] where there is no driver, or none that works.
pub(crate) fn version() -> Result<i32, Error> {
    initialise()?;
    let mut version = 0;
    // SAFETY: the driver is there and has the function; it writes one number.
    unsafe { sys::cuDriverGetVersion(&mut version) }
        .result()
        .map_err(|e| from_cuda("ask the CUDA driver's version", e))?;
    Ok(version)
}

/// All devices that the driver shows, without taking one into use.
///
/// # Errors
/// [`ErrorKind::RuntimeMissing`] where there is no driver, or no device.
pub(crate) fn devices() -> Result<Vec<Device>, Error> {
    initialise()?;
    let count = result::device::get_count().map_err(|e| from_cuda("count the CUDA devices", e))?;
    if count < 1 {
        return Err(missing(format!(
            "the CUDA driver shows no device (CUDA_VISIBLE_DEVICES may hide it); {REMEDY}"
        )));
    }
    (0..u16::try_from(count).unwrap_or(u16::MAX)).map(describe).collect()
}

/// One device, without taking it into use.
///
/// # Errors
/// [`ErrorKind::RuntimeMissing`] where there is no driver, or no device of that number.
pub(crate) fn device(number: u16) -> Result<Device, Error> {
    let devices = devices()?;
    let count = devices.len();
    devices.into_iter().nth(number.into()).ok_or_else(|| {
        missing(format!(
            "there is no device cuda:{number}: the CUDA driver shows {count}, cuda:0 to cuda:{}; set device=cuda:N to one of them",
            count - 1
        ))
    })
}

fn describe(number: u16) -> Result<Device, Error> {
    let failed = |e| from_cuda(&format!("ask cuda:{number} what it is"), e);
    let handle = result::device::get(number.into()).map_err(failed)?;
    let name = result::device::get_name(handle).map_err(failed)?;
    // SAFETY: the handle is that of a device.
    let memory = unsafe { result::device::total_mem(handle) }.map_err(failed)?;
    let attribute = |attribute| {
        let mut value = MaybeUninit::uninit();
        // SAFETY: the handle is that of a device; a call that succeeds has written the value.
        unsafe {
            sys::cuDeviceGetAttribute(value.as_mut_ptr(), attribute, handle).result()?;
            Ok(value.assume_init())
        }
    };
    let major =
        attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR).map_err(failed)?;
    let minor =
        attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR).map_err(failed)?;
    Ok(Device { number, name, compute_capability: (major, minor), memory: memory as u64 })
}

/// Loads the driver's library and initialises it; quick when that has been done.
fn initialise() -> Result<(), Error> {
    // SAFETY: loading the driver's library runs its initialisers, which is what a user of a GPU asks for.
    if !unsafe { sys::is_culib_present() } {
        return Err(missing(format!("no CUDA driver: {LIBRARY} {}; {REMEDY}", why_absent())));
    }
    // SAFETY: it is present, so this does not panic.
    let library = unsafe { sys::culib() };
    for function in FUNCTIONS {
        // SAFETY: the function is looked for and not called.
        if unsafe { library.get::<*const ()>(function.as_bytes()) }.is_err() {
            return Err(missing(format!(
                "{LIBRARY} has no {function}, so it is no CUDA driver, or too old; {REMEDY}"
            )));
        }
    }
    result::init().map_err(|e| {
        let error = from_cuda("initialise the CUDA driver", e);
        Error::new(error.kind, format!("{}; {REMEDY}", error.message))
    })
}

/// What the system's loader says of the driver's library.
fn why_absent() -> String {
    // SAFETY: loading the driver's library runs its initialisers, which is what a user of a GPU asks for.
    let reason = match unsafe { libloading::Library::new(LIBRARY) } {
        Ok(_) => return "was not found".into(),
        Err(error) => crate::library::reason(&error),
    };
    match reason.contains("cannot open shared object file") || cfg!(windows) {
        true => "was not found".into(),
        false => format!("does not load: {}", one_line(&reason)),
    }
}

fn missing(message: String) -> Error {
    Error::new(ErrorKind::RuntimeMissing, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device_of(compute_capability: (i32, i32)) -> Device {
        Device { number: 0, name: "NVIDIA L4".into(), compute_capability, memory: 1 << 34 }
    }

    #[test]
    fn fp8_begins_with_ada() {
        for (capability, has) in
            [((7, 5), false), ((8, 0), false), ((8, 9), true), ((9, 0), true), ((12, 0), true)]
        {
            assert_eq!(device_of(capability).has_fp8(), has, "{capability:?}");
        }
        assert_eq!(device_of((10, 3)).to_string(), "NVIDIA L4, sm_103");
    }

    #[test]
    fn a_machine_without_a_driver_says_which_library_is_missing() {
        let Err(error) = Driver::new(0) else { return };
        assert_eq!(error.kind, ErrorKind::RuntimeMissing, "{}", error.message);
        assert!(error.message.contains("driver") && !error.message.contains('\n'), "{}", error.message);
    }
}
