//! The calls of CUDA's runtime library that ONNX Runtime's own interface does not give: memory on the device is filled,
//! copied and waited for. The CUDA provider needs the same library, so it is in this process already.

use inferhost_plugin_api::{Error, ErrorKind};
use std::ffi::{c_int, c_void};

/// By the major versions of CUDA that providers are built for, the newest first.
const NAMES: &[&str] = if cfg!(windows) {
    &["cudart64_13.dll", "cudart64_12.dll", "cudart64_110.dll"]
} else {
    &["libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0"]
};

type SetDevice = unsafe extern "C" fn(c_int) -> c_int;
type Memset = unsafe extern "C" fn(*mut c_void, c_int, usize) -> c_int;
type Memcpy = unsafe extern "C" fn(*mut c_void, *const c_void, usize, c_int) -> c_int;
type Synchronize = unsafe extern "C" fn() -> c_int;

/// `cudaMemcpyDefault`: the addresses say from where to where.
const BY_ADDRESS: c_int = 4;

/// CUDA's runtime library with the device that a session runs on.
pub(crate) struct Cudart {
    device: c_int,
    set_device: SetDevice,
    memset: Memset,
    memcpy: Memcpy,
    synchronize: Synchronize,
    // Keeps the functions where they are.
    _library: libloading::Library,
}

impl Cudart {
    /// For the device of that number.
    pub(crate) fn new(device: u16) -> Result<Self, Error> {
        // SAFETY: the provider that this session runs on has loaded and initialised this very library before.
        let loaded = NAMES.iter().find_map(|&name| unsafe { libloading::Library::new(name) }.ok());
        let library = loaded.ok_or_else(|| missing("cannot be loaded"))?;
        // SAFETY: these functions have had these types since CUDA's first version.
        let found = unsafe {
            let set_device = library.get::<SetDevice>(b"cudaSetDevice").map(|symbol| *symbol);
            let memset = library.get::<Memset>(b"cudaMemset").map(|symbol| *symbol);
            let memcpy = library.get::<Memcpy>(b"cudaMemcpy").map(|symbol| *symbol);
            let synchronize = library.get::<Synchronize>(b"cudaDeviceSynchronize").map(|symbol| *symbol);
            (set_device, memset, memcpy, synchronize)
        };
        let (Ok(set_device), Ok(memset), Ok(memcpy), Ok(synchronize)) = found else {
            return Err(missing("lacks cudaSetDevice, cudaMemset, cudaMemcpy or cudaDeviceSynchronize"));
        };
        Ok(Self { device: c_int::from(device), set_device, memset, memcpy, synchronize, _library: library })
    }

    /// Zeroes memory of the device, and waits for it: the runtime's streams do not wait for the default one.
    ///
    /// # Safety
    /// `start` is `bytes` bytes of this device's memory that no run uses meanwhile.
    pub(crate) unsafe fn zero(&self, start: *mut u8, bytes: usize) -> Result<(), Error> {
        // SAFETY: the caller's promise; the other two calls take no memory.
        let codes = unsafe {
            [(self.set_device)(self.device), (self.memset)(start.cast(), 0, bytes), (self.synchronize)()]
        };
        checked("zero the device's memory", codes)
    }

    /// Copies between host and device, and returns when it is done.
    ///
    /// # Safety
    /// Both are `bytes` bytes, of the host or this device, that nothing uses meanwhile.
    pub(crate) unsafe fn copy(&self, to: *mut u8, from: *const u8, bytes: usize) -> Result<(), Error> {
        // SAFETY: the caller's promise; the other call takes no memory.
        let codes = unsafe {
            [(self.set_device)(self.device), (self.memcpy)(to.cast(), from.cast(), bytes, BY_ADDRESS)]
        };
        checked("copy to or from the device", codes)
    }
}

/// The first code that is not success, as an error.
fn checked<const N: usize>(what: &str, codes: [c_int; N]) -> Result<(), Error> {
    match codes.into_iter().find(|&code| code != 0) {
        None => Ok(()),
        Some(code) => Err(Error::internal(format!("failed to {what}: CUDA error {code}"))),
    }
}

fn missing(fault: &str) -> Error {
    let name = NAMES.first().copied().unwrap_or_default();
    let message = format!(
        "CUDA's runtime library {name} {fault}; install CUDA's runtime and put it on the library path"
    );
    Error::new(ErrorKind::RuntimeMissing, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_cuda_the_library_is_named() {
        match Cudart::new(0) {
            Ok(cudart) => assert_eq!(cudart.device, 0),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::RuntimeMissing);
                assert!(error.message.contains(NAMES[0]), "{error}");
            }
        }
    }
}
