//! From the driver's and TensorRT's words to the kinds a host acts on. TensorRT's calls give null or false and tell why
//! in the log, so the text decides.

use crate::log;
use inferhost_plugin_api::{Error, ErrorKind};

/// Longest message that is passed on, in characters: TensorRT names every fused layer of what it failed at.
const LONGEST: usize = 400;

/// What TensorRT and CUDA say, by phrases that stand in their messages, lower case.
const PHRASES: [(&str, ErrorKind); 13] = [
    ("out of memory", ErrorKind::OutOfMemory),
    ("outofmemory", ErrorKind::OutOfMemory),
    ("memory allocation failed", ErrorKind::OutOfMemory),
    ("bad_alloc", ErrorKind::OutOfMemory),
    ("insufficient memory", ErrorKind::OutOfMemory),
    ("failed to allocate", ErrorKind::OutOfMemory),
    ("insufficient cuda version", ErrorKind::RuntimeMissing),
    ("driver version is insufficient", ErrorKind::RuntimeMissing),
    ("unable to load library", ErrorKind::RuntimeMissing),
    ("not compatible with this version", ErrorKind::Unsupported),
    ("incompatible serialization version", ErrorKind::Unsupported),
    ("does not match runtime major version", ErrorKind::Unsupported),
    ("unsupported", ErrorKind::Unsupported),
];

/// TensorRT failed to do `what` ("parse the graph"): with the errors it has logged since the last call of this.
pub(crate) fn from_tensorrt(what: &str) -> Error {
    let said = log::take_errors();
    let reason =
        if said.is_empty() { "TensorRT does not say why".to_string() } else { one_line(&said.join("; ")) };
    Error::new(kind(&said.join("\n")), format!("failed to {what}: {reason}"))
}

/// The driver failed to do `what`.
pub(crate) fn from_cuda(what: &str, error: cudarc::driver::DriverError) -> Error {
    use cudarc::driver::sys::CUresult;
    let kind = match error.0 {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => ErrorKind::OutOfMemory,
        CUresult::CUDA_ERROR_NO_DEVICE
        | CUresult::CUDA_ERROR_INVALID_DEVICE
        | CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE
        | CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
        | CUresult::CUDA_ERROR_STUB_LIBRARY
        | CUresult::CUDA_ERROR_SYSTEM_NOT_READY => ErrorKind::RuntimeMissing,
        _ => ErrorKind::Internal,
    };
    let text =
        error.error_string().map_or_else(|_| String::new(), |text| format!(" ({})", text.to_string_lossy()));
    Error::new(kind, one_line(&format!("failed to {what}: {:?}{text}", error.0)))
}

fn kind(message: &str) -> ErrorKind {
    let message = message.to_lowercase();
    PHRASES.iter().find(|(phrase, _)| message.contains(phrase)).map_or(ErrorKind::Internal, |(_, kind)| *kind)
}

/// `text` in one line of bounded length.
pub(crate) fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_decides() {
        for (text, expected) in [
            (
                "[defaultAllocator.cpp::allocate::58] Error Code 1: Cuda Runtime (out of memory)",
                ErrorKind::OutOfMemory,
            ),
            ("Error Code 2: OutOfMemory (Requested size was 8589934592 bytes.)", ErrorKind::OutOfMemory),
            (
                "The engine plan file is not compatible with this version of TensorRT, expecting library version 11.4.0",
                ErrorKind::Unsupported,
            ),
            ("Error Code 10: Could not find any implementation for node", ErrorKind::Internal),
            ("", ErrorKind::Internal),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn a_message_is_one_bounded_line() {
        assert_eq!(one_line("a\n  b\t c"), "a b c");
        assert_eq!(one_line(&"é".repeat(1000)).chars().count(), LONGEST + 1);
    }
}
