//! What a user can set. The engine includes this same file, so that both halves read the same options.
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
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where the session runs.
    pub device: Device,
    /// libtorch's folder, or its `libtorch_cpu`.
    pub library: Option<PathBuf>,
    /// What is computed in; none where `quantize` decides.
    pub dtype: Option<Dtype>,
    /// Threads within an operator.
    pub threads: Option<Threads>,
    /// What the matrices are stored in.
    pub quantize: Quantize,
    /// Whether decode steps on CUDA are replayed from a graph; none where the device decides.
    pub cuda_graph: Option<bool>,
    /// Whether CUDA may round f32 operands to TF32.
    pub tf32: bool,
}

impl Options {
    /// Threads within an operator: as asked, else as many as this process may use.
    pub fn threads(&self) -> usize {
        let available = || available_parallelism().map_or(1, NonZero::get);
        self.threads.map_or_else(available, |Threads(count)| count as usize)
    }

    /// What is computed in.
    pub fn dtype(&self) -> Dtype {
        self.dtype.unwrap_or(match self.quantize {
            Quantize::None | Quantize::Int8Dynamic => Dtype::F32,
            // libtorch's kernels for these take half-precision activations.
            Quantize::Int8Weight | Quantize::Int4Weight => Dtype::Bf16,
        })
    }

    /// Refuses what does not go together.
    ///
    /// # Errors
    /// `Unsupported` with the options at odds and what to set instead.
    pub fn check(&self) -> Result<(), Error> {
        let (device, dtype, quantize) = (self.device, self.dtype(), self.quantize);
        let on_cpu = device == Device::Cpu;
        let refuse = |what: String| Err(Error::unsupported(what));
        if on_cpu && self.cuda_graph == Some(true) {
            return refuse("cuda_graph = true needs a CUDA device, but device is cpu; leave it out".into());
        }
        if on_cpu && self.tf32 {
            return refuse("tf32 = true needs a CUDA device, but device is cpu; leave it out".into());
        }
        if !on_cpu && quantize != Quantize::None {
            return refuse(format!(
                "quantize = \"{quantize}\" runs on the CPU only, but device is {device}; leave it out or set device = \"cpu\""
            ));
        }
        if quantize == Quantize::Int8Dynamic && dtype != Dtype::F32 {
            return refuse(format!(
                "quantize = \"int8-dynamic\" takes activations in f32, but dtype is {dtype}; leave dtype out"
            ));
        }
        if quantize != Quantize::None && dtype == Dtype::F64 {
            return refuse(format!(
                "quantize = \"{quantize}\" has no kernels for dtype f64; set dtype to f32, bf16 or f16"
            ));
        }
        Ok(())
    }

    /// Every key with its default and a line of help.
    pub fn descriptions() -> Vec<OptionDescription> {
        let option = OptionDescription::new;
        vec![
            option("device", "cpu", "cpu, cuda or cuda:N"),
            option("library", "searched for", "libtorch's folder, or that of Python's torch package"),
            option("dtype", "f32; bf16 with quantised weights", "what is computed in: f64, f32, bf16 or f16"),
            option("threads", "available cores", "threads within an operator"),
            option(
                "quantize",
                "none",
                "matrices, on the CPU: none, int8-dynamic, int8-weight or int4-weight",
            ),
            option("cuda_graph", "true on CUDA", "decode steps are replayed from a CUDA graph"),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Device {
    /// The host's processor.
    #[default]
    Cpu,
    /// A CUDA device by its number.
    Cuda(u8),
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

/// What is computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 64-bit floats.
    F64,
    /// 32-bit floats.
    F32,
    /// bfloat16.
    Bf16,
    /// 16-bit floats.
    F16,
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

/// What the matrices of linear layers are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantize {
    /// The session's dtype.
    #[default]
    None,
    /// 8 bits with a scale for each output; activations are quantised to 8 bits as they come.
    Int8Dynamic,
    /// 8 bits with a scale for each output; activations stay floats.
    Int8Weight,
    /// 4 bits with a scale for each group of weights; activations stay floats.
    Int4Weight,
}

impl fmt::Display for Quantize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Int8Dynamic => "int8-dynamic",
            Self::Int8Weight => "int8-weight",
            Self::Int4Weight => "int4-weight",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferhost_plugin_api::{ErrorKind, parse_options};
    use serde_json::json;

    #[test]
    fn mistakes_name_the_key_or_the_value() {
        for (options, named) in [
            (json!({"thread": 2}), "thread"),
            (json!({"device": "tpu"}), "tpu"),
            (json!({"device": "cuda:x"}), "cuda:x"),
            (json!({"threads": 0}), "threads is 0, expected 1 to 1024"),
            (json!({"dtype": "int8"}), "int8"),
            (json!({"quantize": "int3"}), "int3"),
        ] {
            let error = parse_options::<Options>(&options).unwrap_err();
            assert!(error.kind == ErrorKind::InvalidInput && error.message.contains(named), "{error}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_unsupported() {
        for (options, expected) in [
            (json!({"cuda_graph": true}), "cuda_graph = true needs a CUDA device"),
            (json!({"tf32": true}), "tf32 = true needs a CUDA device"),
            (
                json!({"device": "cuda", "quantize": "int8-weight"}),
                "runs on the CPU only, but device is cuda:0",
            ),
            (json!({"dtype": "bf16", "quantize": "int8-dynamic"}), "activations in f32, but dtype is bf16"),
            (json!({"dtype": "f64", "quantize": "int4-weight"}), "no kernels for dtype f64"),
        ] {
            let error = parse_options::<Options>(&options).unwrap().check().unwrap_err();
            assert!(error.kind == ErrorKind::Unsupported && error.message.contains(expected), "{error}");
        }
        for options in [
            json!({}),
            json!({"dtype": "f64"}),
            json!({"device": "cuda:1", "dtype": "f16", "cuda_graph": true, "tf32": true}),
            json!({"quantize": "int8-weight"}),
            json!({"quantize": "int8-dynamic", "dtype": "f32"}),
        ] {
            assert!(parse_options::<Options>(&options).unwrap().check().is_ok(), "{options}");
        }
    }

    #[test]
    fn every_described_option_is_one() {
        for option in Options::descriptions() {
            let message = parse_options::<Options>(&json!({&option.name: {}})).unwrap_err().message;
            assert!(!message.contains("unknown field"), "{}: {message}", option.name);
        }
    }
}
