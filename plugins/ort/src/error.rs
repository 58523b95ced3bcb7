//! From the runtime's errors to the kinds a host acts on. ONNX Runtime has few codes and uses them loosely, so
//! its text decides where the code does not.

use inferhost_plugin_api::{Error, ErrorKind};
use ort::ErrorCode;

/// Longest message that is passed on, in characters: the runtime appends whole tensors' names and stack traces.
const LONGEST: usize = 400;

/// What the runtime says, by phrases that stand in its sources.
const PHRASES: [(&str, ErrorKind); 14] = [
    ("Failed to allocate memory", ErrorKind::OutOfMemory),
    ("BFCArena", ErrorKind::OutOfMemory),
    ("bad_alloc", ErrorKind::OutOfMemory),
    ("bad allocation", ErrorKind::OutOfMemory),
    ("out of memory", ErrorKind::OutOfMemory),
    ("ALLOC_FAILED", ErrorKind::OutOfMemory),
    ("Got invalid dimensions for input", ErrorKind::ShapeNotCovered),
    ("Failed to load shared library", ErrorKind::RuntimeMissing),
    ("Failed to load library", ErrorKind::RuntimeMissing),
    ("is not enabled in this build", ErrorKind::RuntimeMissing),
    ("no CUDA-capable device", ErrorKind::RuntimeMissing),
    ("driver version is insufficient", ErrorKind::RuntimeMissing),
    ("invalid device ordinal", ErrorKind::RuntimeMissing),
    ("cuDNN is unavailable", ErrorKind::RuntimeMissing),
];

/// An error of ONNX Runtime, met while trying to do `what` ("run the graph").
pub(crate) fn from_ort<R>(what: &str, error: &ort::Error<R>) -> Error {
    Error::new(
        kind(error.code(), error.message()),
        format!("failed to {what}: {}", one_line(error.message())),
    )
}

fn kind(code: ErrorCode, message: &str) -> ErrorKind {
    if let Some((_, kind)) = PHRASES.iter().find(|(phrase, _)| message.contains(phrase)) {
        return *kind;
    }
    match code {
        ErrorCode::NoSuchFile
        | ErrorCode::NoModel
        | ErrorCode::InvalidProtobuf
        | ErrorCode::InvalidGraph
        | ErrorCode::InvalidArgument => ErrorKind::InvalidInput,
        ErrorCode::NotImplemented => ErrorKind::Unsupported,
        _ => ErrorKind::Internal,
    }
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
    fn text_decides_before_the_code() {
        for (code, text, expected) in [
            (
                ErrorCode::RuntimeException,
                "bfc_arena.cc:376 BFCArena::AllocateRawInternal",
                ErrorKind::OutOfMemory,
            ),
            (ErrorCode::InvalidArgument, "Got invalid dimensions for input: x", ErrorKind::ShapeNotCovered),
            (ErrorCode::InvalidArgument, "Missing Input: x", ErrorKind::InvalidInput),
            (ErrorCode::NotImplemented, "Could not find an implementation", ErrorKind::Unsupported),
            (ErrorCode::GenericFailure, "odd", ErrorKind::Internal),
        ] {
            assert_eq!(kind(code, text), expected, "{text}");
        }
    }

    #[test]
    fn a_message_is_one_bounded_line() {
        assert_eq!(one_line("a\n  b\t c"), "a b c");
        assert_eq!(one_line(&"é".repeat(1000)).chars().count(), LONGEST + 1);
    }
}
