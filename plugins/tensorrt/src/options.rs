//! What a user can set: where the engine runs, which library, and how it is built.
//!
//! Each setting has one default, the same one that [`Options::descriptions`] tells. `cuda_graph` and `device_argmax` belong
//! to a session alone; [`Options::settings`] holds what decides the content of an engine.

use inferhost_plugin_api::{Error, OptionDescription};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The options of this plugin.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where engines are built and run.
    pub device: Device,
    /// The runtime's library file, or a folder that holds it.
    pub library: Option<PathBuf>,
    /// Whether f32 operands of products may be rounded to TF32.
    pub tf32: bool,
    /// Most device memory for a layer's scratch, in MiB; none for all of the device's.
    pub workspace_mb: Option<u32>,
    /// How long the builder searches.
    pub builder_level: BuilderLevel,
    /// Which other devices an engine is to run on.
    pub hardware_compatibility: HardwareCompatibility,
    /// Whether later versions of TensorRT may run the engine.
    pub version_compatible: bool,
    /// Where measured kernel times are kept from one build to the next.
    pub timing_cache: TimingCache,
    /// Whether decode steps are captured as CUDA graphs; none: where they can be.
    pub cuda_graph: Option<bool>,
    /// Whether greedy tokens are chosen on the device.
    pub device_argmax: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            device: Device(0),
            library: None,
            tf32: false,
            workspace_mb: None,
            builder_level: BuilderLevel(3),
            hardware_compatibility: HardwareCompatibility::None,
            version_compatible: false,
            timing_cache: TimingCache::Default,
            cuda_graph: None,
            device_argmax: true,
        }
    }
}

impl Options {
    /// Every key with its default and a line of help.
    pub fn descriptions() -> Vec<OptionDescription> {
        let option = OptionDescription::new;
        vec![
            option("device", "cuda:0", "cuda or cuda:N"),
            option("library", "searched for", "the TensorRT library file, or a folder that holds it"),
            option("tf32", "false", "f32 operands of matrix products may be rounded to TF32"),
            option("workspace_mb", "all", "most device memory for a layer's scratch while building, in MiB"),
            option("builder_level", "3", "how long the builder searches for kernels, 0 to 5"),
            option(
                "hardware_compatibility",
                "none",
                "other devices that the engine runs on: none, ampere+ or same-compute-capability",
            ),
            option(
                "version_compatible",
                "false",
                "later versions of TensorRT, and the lean runtime, run the engine",
            ),
            option("timing_cache", "the user's cache folder", "the file of measured kernel times, or off"),
            option(
                "cuda_graph",
                "where it can be",
                "decode steps are captured once and replayed; true: or the call fails",
            ),
            option("device_argmax", "true", "greedy tokens are chosen on the device"),
        ]
    }

    /// What of the options decides the content of an engine.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let setting = |name: &str, value: &dyn fmt::Display| (name.to_string(), value.to_string());
        let workspace = self.workspace_mb.map_or_else(|| "all".to_string(), |limit| limit.to_string());
        BTreeMap::from([
            setting("tf32", &self.tf32),
            setting("workspace_mb", &workspace),
            setting("builder_level", &self.builder_level.0),
            setting("hardware_compatibility", &self.hardware_compatibility),
            setting("version_compatible", &self.version_compatible),
        ])
    }
}

/// A CUDA device by its number, as the driver counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Device(pub u16);

impl TryFrom<String> for Device {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let number = match text.as_str() {
            "cuda" => Some(0),
            other => other.strip_prefix("cuda:").and_then(|number| number.parse().ok()),
        };
        number.map(Self).ok_or_else(|| {
            Error::invalid(format!(
                "device is '{text}'; TensorRT runs on NVIDIA GPUs alone: it must be cuda or cuda:N"
            ))
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cuda:{}", self.0)
    }
}

/// How long the builder searches: 0 takes the first kernel that fits, 5 times them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct BuilderLevel(pub(crate) u8);

impl TryFrom<u32> for BuilderLevel {
    type Error = Error;

    fn try_from(level: u32) -> Result<Self, Error> {
        u8::try_from(level)
            .ok()
            .filter(|level| *level <= 5)
            .map(Self)
            .ok_or_else(|| Error::invalid(format!("builder_level is {level}, expected 0 to 5")))
    }
}

/// Which other devices an engine is to run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum HardwareCompatibility {
    /// The one it was built on.
    #[serde(rename = "none")]
    None,
    /// Ampere and all later ones.
    #[serde(rename = "ampere+")]
    AmperePlus,
    /// Those of the same compute capability.
    #[serde(rename = "same-compute-capability")]
    SameComputeCapability,
}

impl fmt::Display for HardwareCompatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::AmperePlus => "ampere+",
            Self::SameComputeCapability => "same-compute-capability",
        })
    }
}

/// Where measured kernel times are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum TimingCache {
    /// A file of the user's cache folder, by runtime version and device.
    Default,
    /// Nowhere.
    Off,
    /// There.
    File(PathBuf),
}

impl From<String> for TimingCache {
    fn from(text: String) -> Self {
        match text.as_str() {
            "" => Self::Default,
            "off" => Self::Off,
            path => Self::File(path.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferhost_plugin_api::parse_options;
    use serde_json::json;

    #[test]
    fn options_are_read() {
        let options: Options = parse_options(&json!({
            "device": "cuda:3", "builder_level": 5, "hardware_compatibility": "ampere+", "timing_cache": "off",
            "workspace_mb": 512
        }))
        .unwrap();
        assert_eq!((options.device.to_string().as_str(), options.timing_cache), ("cuda:3", TimingCache::Off));
        assert_eq!(parse_options::<Options>(&json!({"device": "cuda"})).unwrap().device, Device(0));
        let file = parse_options::<Options>(&json!({"timing_cache": "/tmp/t"})).unwrap().timing_cache;
        assert_eq!(file, TimingCache::File("/tmp/t".into()));
    }

    #[test]
    fn mistakes_name_the_key_or_the_value() {
        for (options, named) in [
            (json!({"threads": 2}), "threads"),
            (json!({"device": "cpu"}), "device is 'cpu'; TensorRT runs on NVIDIA GPUs alone"),
            (json!({"device": "cuda:-1"}), "cuda:-1"),
            (json!({"device": "cuda:70000"}), "cuda:70000"),
            (json!({"builder_level": 6}), "builder_level is 6, expected 0 to 5"),
            (json!({"builder_level": 256}), "builder_level is 256"),
            (json!({"hardware_compatibility": "all"}), "same-compute-capability"),
            (json!({"workspace_mb": -1}), "-1"),
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

    #[test]
    fn what_only_a_session_uses_does_not_decide_an_engine() {
        let settings = |options: serde_json::Value| parse_options::<Options>(&options).unwrap().settings();
        let plain = settings(json!({}));
        for session in
            [json!({"cuda_graph": false}), json!({"device_argmax": false}), json!({"timing_cache": "off"})]
        {
            assert_eq!(settings(session), plain);
        }
        for build in [
            json!({"tf32": true}),
            json!({"workspace_mb": 1}),
            json!({"builder_level": 2}),
            json!({"hardware_compatibility": "ampere+"}),
            json!({"version_compatible": true}),
        ] {
            assert_ne!(settings(build), plain);
        }
    }
}
