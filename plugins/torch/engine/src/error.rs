//! From libtorch's exceptions to the kinds a host acts on. They are all of one type, so their text decides.

use inferhost_plugin_api::{Error, ErrorKind};
use tch::TchError;

/// What libtorch gives.
pub(crate) type Outcome<T> = Result<T, Fault>;

/// An error of this crate, which `?` makes of libtorch's and of the interface's alike.
#[derive(Debug)]
pub(crate) struct Fault(Error);

impl From<TchError> for Fault {
    fn from(error: TchError) -> Self {
        Self::of_libtorch(&error.to_string())
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        fault.0
    }
}

impl Fault {
    /// An exception's text.
    pub(crate) fn of_libtorch(text: &str) -> Self {
        let kind = PHRASES.iter().find(|(phrase, _)| text.contains(phrase));
        let kind = kind.map_or(ErrorKind::Internal, |(_, kind)| *kind);
        Self(Error::new(kind, format!("libtorch: {}", first_line(text))))
    }
}

/// Longest message that is passed on, in characters.
const LONGEST: usize = 400;

/// What libtorch says, by phrases that stand in its sources.
const PHRASES: [(&str, ErrorKind); 11] = [
    ("holds NaN or infinity", ErrorKind::InvalidInput),
    // Of activations that are quantised as they come.
    ("ChooseQuantizationParams", ErrorKind::NumericalFault),
    ("can't allocate memory", ErrorKind::OutOfMemory),
    ("not enough memory", ErrorKind::OutOfMemory),
    ("out of memory", ErrorKind::OutOfMemory),
    ("bad_alloc", ErrorKind::OutOfMemory),
    ("CUDA driver version is insufficient", ErrorKind::RuntimeMissing),
    ("no CUDA-capable device", ErrorKind::RuntimeMissing),
    ("Found no NVIDIA driver", ErrorKind::RuntimeMissing),
    ("invalid device ordinal", ErrorKind::RuntimeMissing),
    ("not implemented for", ErrorKind::Unsupported),
];

/// Without the C++ backtrace that follows.
fn first_line(text: &str) -> String {
    let text = text.split("Exception raised from").next().unwrap_or_default();
    let lines =
        text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("libtorch gave no reason");
    let line = lines.trim_start_matches("Internal torch error: ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.into(),
    }
}
