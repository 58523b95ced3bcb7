//! What a GPU session lacks, said in one line: the library's name and what to install, instead of the runtime's own
//! message, which begins with its sources and says neither.

use crate::error::one_line;
use crate::options::Provider;
use inferhost_plugin_api::{Error, ErrorKind};
use std::path::Path;

const SEARCHED: &str = if cfg!(windows) { "PATH" } else { "LD_LIBRARY_PATH" };

/// Libraries by how their names begin, with what to install.
const PACKAGES: [(&str, &str); 12] = [
    ("libcuda.so", "NVIDIA's driver"),
    ("nvcuda", "NVIDIA's driver"),
    ("libnvinfer", "TensorRT"),
    ("libnvonnxparser", "TensorRT"),
    ("nvinfer", "TensorRT"),
    ("libcudnn", "cuDNN (from PyPI: nvidia-cudnn-cu13)"),
    ("libcublas", "CUDA's cuBLAS (from PyPI: nvidia-cublas)"),
    ("libcudart", "CUDA's runtime (from PyPI: nvidia-cuda-runtime)"),
    ("libcurand", "CUDA's cuRAND (from PyPI: nvidia-curand)"),
    ("libcufft", "CUDA's cuFFT (from PyPI: nvidia-cufft)"),
    ("libnvrtc", "CUDA's compiler (from PyPI: nvidia-cuda-nvrtc)"),
    ("libnvJitLink", "CUDA's linker (from PyPI: nvidia-nvjitlink)"),
];

/// The error for a message of the runtime's that says that something of `provider`'s is missing; none for other
/// messages. `library` is the runtime's own.
pub(crate) fn explain(message: &str, device: &str, provider: Provider, library: &Path) -> Option<Error> {
    let has = |phrase: &str| message.contains(phrase);
    let told = if has("is not enabled in this build")
        || has("execution provider is not supported in this build")
    {
        format!(
            "{} has no {provider} in it: it is the package for the CPU; set library=… to that of onnxruntime-gpu \
             (scripts/runtimes.sh ort-gpu)",
            library.display()
        )
    } else if let Some((file, reason)) = refused(message) {
        refusal(file, reason)
    } else if has("cuDNN is unavailable") {
        format!("cuDNN 9 is missing or disabled ({}); {}", tail(message), install("libcudnn.so.9"))
    } else if has("no CUDA-capable device") || has("CUDA failure 100") {
        "no NVIDIA GPU is visible (CUDA error 100); look at nvidia-smi and CUDA_VISIBLE_DEVICES".into()
    } else if has("driver version is insufficient") {
        "NVIDIA's driver is missing or older than the CUDA that this ONNX Runtime is built for (CUDA error 35); update the \
         driver, or set library=… to an older onnxruntime-gpu"
            .into()
    } else if has("Invalid device ID") || has("invalid device ordinal") {
        let from = message.find("nvalid device").map_or(0, |at| at - 1);
        format!("there is no such device ({}); choose another number", one_line(&message[from..]))
    } else {
        return None;
    };
    Some(Error::new(ErrorKind::RuntimeMissing, format!("cannot use {device} by {provider}: {told}")))
}

/// The provider's library that did not load, and what the system's loader said.
fn refused(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("Failed to load library ")?;
    rest.split_once(" with error: ")
}

fn refusal(file: &str, reason: &str) -> String {
    let lacking = reason.split_once(": ").map_or(reason, |(library, _)| library);
    let name = lacking.rsplit(['/', '\\']).next().unwrap_or(lacking).trim();
    let provider = file.rsplit(['/', '\\']).next().unwrap_or(file);
    if name == provider {
        return format!(
            "{file} is missing or cannot be loaded ({}); ONNX Runtime's providers lie beside it, so set library=… to where \
             all libraries of onnxruntime-gpu are (scripts/runtimes.sh ort-gpu)",
            one_line(reason)
        );
    }
    format!("{provider} needs {name} ({}); {}", one_line(reason), install(name))
}

fn install(library: &str) -> String {
    match PACKAGES.iter().find(|(begin, _)| library.starts_with(begin)) {
        Some((_, package @ "NVIDIA's driver")) => format!("install {package}"),
        Some((_, package)) => format!("install {package} and put its folder on {SEARCHED}"),
        None => format!("put the folder of {library} on {SEARCHED}"),
    }
}

/// What stands last in a message, after the runtime's sources and codes.
fn tail(message: &str) -> String {
    one_line(
        message
            .rsplit(": ")
            .take(2)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
            .join(": ")
            .as_str(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:2043 onnxruntime::Provider& \
                         onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : ";
    const PARSED: &str = "cuda_execution_provider_info.cc:63 [ONNXRuntimeError] : 1 : FAIL : provider_options_utils.h:187 Parse \
                          Failed to parse provider option \"device_id\": ";

    fn missing(library: &str, by: &str) -> String {
        format!(
            "{PLACE}Failed to load library /r/libonnxruntime_providers_{by}.so with error: {library}: cannot open shared \
             object file: No such file or directory"
        )
    }

    #[test]
    fn every_missing_part_is_named_with_what_to_install() {
        let of_cpu = "CUDA execution provider is not enabled in this build.".to_string();
        for (message, parts) in [
            (of_cpu, ["/r/libonnxruntime.so has no", "set library=… to that of onnxruntime-gpu"]),
            (
                missing("libcuda.so.1", "cuda"),
                ["providers_cuda.so needs libcuda.so.1", "install NVIDIA's driver"],
            ),
            (
                missing("libcublasLt.so.13", "cuda"),
                ["needs libcublasLt.so.13", "nvidia-cublas) and put its folder on"],
            ),
            (missing("libcudart.so.13", "cuda"), ["needs libcudart.so.13", "nvidia-cuda-runtime"]),
            (missing("libcudnn.so.9", "cuda"), ["needs libcudnn.so.9", "nvidia-cudnn"]),
            (
                missing("libnvinfer.so.10", "tensorrt"),
                ["providers_tensorrt.so needs libnvinfer.so.10", "TensorRT"],
            ),
            (missing("libodd.so.1", "cuda"), ["needs libodd.so.1", "put the folder of libodd.so.1 on"]),
            (
                missing("/r/libonnxruntime_providers_cuda.so", "cuda"),
                ["/r/libonnxruntime_providers_cuda.so is missing", "scripts/runtimes.sh ort-gpu"],
            ),
            (
                format!("{PARSED}CUDA failure 100: no CUDA-capable device is detected ; GPU=0 ; hostname=h"),
                ["no NVIDIA GPU is visible", "CUDA_VISIBLE_DEVICES"],
            ),
            (
                format!(
                    "{PARSED}CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version"
                ),
                ["driver is missing or older", "update the driver"],
            ),
            (
                format!(
                    "{PARSED}cuda.cc:71 operator() Invalid device ID: 3, must be between 0 (inclusive) and 1 (exclusive)."
                ),
                ["cannot use cuda:3 by", "must be between 0 (inclusive) and 1"],
            ),
            (
                "x.cc:1 cuDNN is unavailable for CUDA Execution Provider: dlopen failed".to_string(),
                ["cuDNN 9 is missing", "nvidia-cudnn"],
            ),
        ] {
            let error =
                explain(&message, "cuda:3", Provider::Cuda, Path::new("/r/libonnxruntime.so")).unwrap();
            assert_eq!(error.kind, ErrorKind::RuntimeMissing);
            for part in parts {
                assert!(error.message.contains(part), "no {part:?} in {error}");
            }
            assert_eq!(error.message.lines().count(), 1);
            assert!(!error.message.contains("ONNXRuntimeError"), "{error}");
        }
    }

    #[test]
    fn other_messages_are_left_as_they_are() {
        for message in ["", "Failed to load library", "Got invalid dimensions for input: x"] {
            assert!(explain(message, "cuda:0", Provider::Cuda, Path::new("")).is_none(), "{message:?}");
        }
    }
}
