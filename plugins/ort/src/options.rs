//! What a user can set: `device`, `library`, `threads`, `optimization`, `spinning`, `arena`, and of a CUDA device `tf32`,
//! `provider`, `cpu_fallback`, `arena_limit_mb`, `cuda_graph`.
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
/// 16 TiB.
const MOST_MEGABYTES: u32 = 1 << 24;

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
    /// Which of the runtime's providers comes first on a CUDA device.
    pub provider: Option<Provider>,
    /// Whether operators that the device has no kernels for may run on the CPU.
    pub cpu_fallback: bool,
    /// Most that the runtime takes of the device's memory for its arena.
    pub arena_limit_mb: Option<Megabytes>,
    /// Whether decode steps are captured once and replayed.
    pub cuda_graph: bool,
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
            provider: None,
            cpu_fallback: false,
            arena_limit_mb: None,
            cuda_graph: false,
        }
    }
}

impl Options {
    /// Threads within an operator: as asked, else as many as this process may use.
    pub fn threads(&self) -> usize {
        let available = || available_parallelism().map_or(1, NonZero::get);
        self.threads.map_or_else(available, |Threads(count)| count as usize)
    }

    /// Which of the runtime's providers comes first on a CUDA device: as asked, else CUDA's own.
    pub fn provider(&self) -> Provider {
        self.provider.unwrap_or_default()
    }

    /// Refuses what has no meaning together.
    ///
    /// # Errors
    /// [`InvalidInput`](inferhost_plugin_api::ErrorKind::InvalidInput) for an option of CUDA devices on another.
    pub fn checked(self) -> Result<Self, Error> {
        let of_cuda = [
            ("provider", self.provider.is_some()),
            ("arena_limit_mb", self.arena_limit_mb.is_some()),
            ("cuda_graph", self.cuda_graph),
        ];
        match of_cuda.iter().find(|(_, is_set)| *is_set && self.device == Device::Cpu) {
            None if self.cuda_graph && self.provider() == Provider::Tensorrt => {
                Err(Error::invalid("cuda_graph is set, but provider is tensorrt; it needs provider = cuda"))
            }
            None => Ok(self),
            Some((key, _)) => Err(Error::invalid(format!(
                "{key} is set, but device is cpu; it needs device = cuda or cuda:N"
            ))),
        }
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
            option(
                "provider",
                "cuda",
                "what computes on a CUDA device: cuda, or tensorrt with CUDA behind it",
            ),
            option("cpu_fallback", "false", "operators without a kernel on the device may run on the CPU"),
            option(
                "arena_limit_mb",
                "none",
                "most device memory of the runtime's arena, cache included, in MiB",
            ),
            option(
                "cuda_graph",
                "false",
                "decode steps replayed from a CUDA graph, where the graph has none but CUDA's nodes",
            ),
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

/// Which of ONNX Runtime's execution providers comes first on a CUDA device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// CUDA's.
    #[default]
    Cuda,
    /// TensorRT's, and CUDA's for what it does not take.
    Tensorrt,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cuda => "CUDA",
            Self::Tensorrt => "TensorRT",
        })
    }
}

/// An amount of memory that makes sense, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Megabytes(u32);

impl Megabytes {
    /// The same in bytes.
    pub fn bytes(self) -> usize {
        (self.0 as usize).saturating_mul(1 << 20)
    }
}

impl TryFrom<u32> for Megabytes {
    type Error = Error;

    fn try_from(megabytes: u32) -> Result<Self, Error> {
        match megabytes {
            1..=MOST_MEGABYTES => Ok(Self(megabytes)),
            _ => {
                Err(Error::invalid(format!("arena_limit_mb is {megabytes}, expected 1 to {MOST_MEGABYTES}")))
            }
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
            (json!({"provider": "rocm"}), "rocm"),
            (json!({"arena_limit_mb": 0}), "arena_limit_mb is 0, expected 1 to 16777216"),
        ] {
            let message = parse_options::<Options>(&options).unwrap_err().message;
            assert!(message.contains(named), "{message}");
        }
    }

    #[test]
    fn what_cuda_alone_has_needs_a_cuda_device() {
        for key in
            [json!({"provider": "tensorrt"}), json!({"arena_limit_mb": 512}), json!({"cuda_graph": true})]
        {
            let mut options: Options = parse_options(&key).unwrap();
            let message = options.clone().checked().unwrap_err().message;
            assert!(message.contains("but device is cpu"), "{message}");
            options.device = Device::Cuda(0);
            assert!(options.checked().is_ok());
        }
        let both = json!({"device": "cuda", "provider": "tensorrt", "cuda_graph": true});
        assert!(parse_options::<Options>(&both).unwrap().checked().is_err());
        assert!(Options { cpu_fallback: true, tf32: true, ..Options::default() }.checked().is_ok());
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
