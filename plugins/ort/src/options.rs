//! What a user can set: `device`, `library`, `threads`, `optimization`, `spinning`, `arena`, `tf32`.
//!
//! Each setting has one default, the same one that [`Options::descriptions`] tells.

use inferhost_plugin_api::{Error, OptionDescription};
use serde::Deserialize;
use std::fmt;
use std::num::NonZero;
use std::path::PathBuf;
use std::thread::available_parallelism;

/// More is a mistake of the caller's.
const MOST_THREADS: u32 = 1024;

/// The options of this plugin.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where the session runs.
    pub device: Device,
    /// The runtime's library file, or a folder that holds it.
    pub library: Option<PathBuf>,
    /// Threads within an operator.
    pub threads: Option<Threads>,
    /// How far the runtime rewrites the graph.
    pub optimization: Optimization,
    /// Whether idle threads spin before they sleep.
    pub spinning: bool,
    /// Whether the CPU allocator keeps freed memory.
    pub arena: bool,
    /// Whether CUDA may round f32 operands to TF32.
    pub tf32: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            library: None,
            threads: None,
            optimization: Optimization::All,
            spinning: true,
            arena: true,
            tf32: false,
        }
    }
}

impl Options {
    /// Threads within an operator: as asked, else as many as this process may use.
    pub fn threads(&self) -> usize {
        let available = || available_parallelism().map_or(1, NonZero::get);
        self.threads.map_or_else(available, |Threads(count)| count as usize)
    }

    /// Every key with its default and a line of help.
    pub fn descriptions() -> Vec<OptionDescription> {
        let option = OptionDescription::new;
        vec![
            option("device", "cpu", "cpu, cuda or cuda:N"),
            option("library", "searched for", "the ONNX Runtime library file, or a folder that holds it"),
            option("threads", "available cores", "threads within an operator"),
            option("optimization", "all", "graph rewriting: all, extended, basic or none"),
            option("spinning", "true", "idle threads spin before they sleep"),
            option("arena", "true", "the CPU allocator keeps freed memory"),
            option("tf32", "false", "CUDA may round f32 operands of matrix products to TF32"),
        ]
    }
}

/// A number of threads that makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Threads(u32);

impl TryFrom<u32> for Threads {
    type Error = Error;

    fn try_from(count: u32) -> Result<Self, Error> {
        match count {
            1..=MOST_THREADS => Ok(Self(count)),
            _ => Err(Error::invalid(format!("threads is {count}, expected 1 to {MOST_THREADS}"))),
        }
    }
}

/// Where a session runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Device {
    /// The host's processor.
    Cpu,
    /// A CUDA device by its number.
    Cuda(u16),
}

impl TryFrom<String> for Device {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let number = match text.as_str() {
            "cpu" => return Ok(Self::Cpu),
            "cuda" => Some(0),
            other => other.strip_prefix("cuda:").and_then(|number| number.parse().ok()),
        };
        number
            .map(Self::Cuda)
            .ok_or_else(|| Error::invalid(format!("device is '{text}'; it must be cpu, cuda or cuda:N")))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// How far the runtime rewrites a graph when it loads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimization {
    /// Everything, memory layout included.
    All,
    /// Fused operators too.
    Extended,
    /// Constant folding and elimination of redundant nodes.
    Basic,
    /// The graph as written.
    None,
}

impl fmt::Display for Optimization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Extended => "extended",
            Self::Basic => "basic",
            Self::None => "none",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferhost_plugin_api::parse_options;
    use serde_json::json;

    #[test]
    fn devices_are_read_and_shown() {
        for (text, shown) in [("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:3", "cuda:3")] {
            assert_eq!(Device::try_from(text.to_string()).unwrap().to_string(), shown);
        }
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(Device::try_from(text.to_string()).is_err(), "{text}");
        }
    }

    #[test]
    fn mistakes_name_the_key_or_the_value() {
        for (options, named) in [
            (json!({"thread": 2}), "thread"),
            (json!({"device": "tpu"}), "tpu"),
            (json!({"threads": 0}), "threads is 0, expected 1 to 1024"),
            (json!({"threads": 1025}), "threads is 1025, expected 1 to 1024"),
            (json!({"optimization": "O3"}), "O3"),
        ] {
            let message = parse_options::<Options>(&options).unwrap_err().message;
            assert!(message.contains(named), "{message}");
        }
    }

    #[test]
    fn every_described_option_is_one() {
        for option in Options::descriptions() {
            let message =
                parse_options::<Options>(&json!({&option.name: {}})).map(|_| ()).unwrap_err().message;
            assert!(!message.contains("unknown field"), "{}: {message}", option.name);
        }
    }
}
