//! The config of a benchmark: what was run, in which shape, on what.

use super::Shape;
use super::report::Report;
use crate::environment::{Gpu, Machine};
use crate::import::names::sound;
use crate::import::series::{Backend, Model};
use crate::record::Mode;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// `benchmark_config.json`. Before 0.3 the scenario was called benchmark.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    backend: Map<String, Value>,
    #[serde(alias = "benchmark")]
    scenario: Scenario,
    #[serde(default)]
    environment: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Scenario {
    #[serde(default)]
    input_shapes: Map<String, Value>,
    #[serde(default)]
    generate_kwargs: Map<String, Value>,
    #[serde(default)]
    new_tokens: Option<u32>,
}

/// Tasks whose input is a row of tokens.
const TASKS_ON_TEXT: [&str; 9] = [
    "text-generation",
    "conversational",
    "text2text-generation",
    "feature-extraction",
    "fill-mask",
    "text-classification",
    "token-classification",
    "question-answering",
    "sentence-similarity",
];

/// What says nothing of how fast a backend is, is said elsewhere, or may be secret.
const NO_SETTINGS: [&str; 13] = [
    "name",
    "version",
    "_target_",
    "model",
    "processor",
    "task",
    "library",
    "model_type",
    "seed",
    "ports",
    "volumes",
    "environment",
    "shm_size",
];

impl Config {
    pub(super) fn task(&self) -> Option<&str> {
        self.backend.get("task").and_then(Value::as_str)
    }

    pub(super) fn check_task(&self) -> Result<(), String> {
        match self.task().filter(|task| !TASKS_ON_TEXT.contains(task)) {
            None => Ok(()),
            Some(task) => {
                Err(format!("its task `{task}` is not one on text alone, so its runs are no cells of ours"))
            }
        }
    }

    /// Of a call, `new_tokens` of it generated.
    pub(super) fn shape(&self, mode: Mode, new_tokens: u32) -> Result<Shape, String> {
        let shapes = &self.scenario.input_shapes;
        let length = |key: &str| {
            let value = shapes.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
            value
                .filter(|n| *n > 0)
                .ok_or_else(|| format!("input_shapes.{key} of the config is no number above 0"))
        };
        Ok(Shape {
            mode,
            use_cache: (mode == Mode::Generate).then(|| self.use_cache()),
            batch: length("batch_size")?,
            prompt_tokens: length("sequence_length")?,
            new_tokens,
            context: 0,
        })
    }

    fn use_cache(&self) -> bool {
        let said = |of: &Map<String, Value>| of.get("use_cache").and_then(Value::as_bool);
        said(&self.scenario.generate_kwargs).or_else(|| said(&self.backend)).unwrap_or(true)
    }

    fn generated(&self, key: &str) -> Option<u32> {
        self.scenario.generate_kwargs.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok())
    }

    /// As set, else as follows from the throughput of `decode`: rows x (new tokens - 1) tokens in the mean latency.
    pub(super) fn new_tokens(&self, report: &Report) -> Result<u32, String> {
        let set = self.generated("max_new_tokens").or_else(|| self.generated("min_new_tokens"));
        let set = set.or(self.scenario.new_tokens).filter(|n| *n > 0);
        let rows = self.shape(Mode::Prefill, 0)?.batch * self.generated("num_beams").unwrap_or(1).max(1);
        set.or_else(|| report.decode_steps(rows).map(|steps| steps + 1)).ok_or_else(|| {
            "the config sets no generate_kwargs.max_new_tokens, and decode has no throughput that tells; add it".into()
        })
    }

    pub(super) fn note(&self) -> Option<String> {
        let beams = self.generated("num_beams").filter(|beams| *beams > 1)?;
        Some(format!("a search with {beams} beams"))
    }

    pub(super) fn tool_version(&self) -> Option<String> {
        self.environment.get("optimum_benchmark_version").and_then(Value::as_str).map(str::to_string)
    }

    pub(super) fn model(&self) -> Model {
        let spec = self.text("model").unwrap_or("unknown");
        let name = spec.trim_end_matches('/').rsplit('/').next().unwrap_or(spec);
        Model { name: sound(name), spec: spec.into(), parameters: None, bytes: None }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.backend.get(key).and_then(Value::as_str)
    }

    pub(super) fn backend(&self, tool: &str) -> Backend {
        let name = self.text("name").unwrap_or("unknown");
        let short = tool.split('-').next().unwrap_or(tool);
        let threads = self.backend.get("intra_op_num_threads").and_then(Value::as_u64);
        let precision = self.text("torch_dtype").or_else(|| self.text("dtype")).unwrap_or_default();
        Backend {
            name: sound(&format!("{short}-{name}")),
            runtime: name.into(),
            runtime_version: self.text("version").map(str::to_string),
            device: self.text("device").unwrap_or_default().into(),
            precision: precision.into(),
            threads: threads.and_then(|n| u32::try_from(n).ok()),
            settings: self.settings(),
        }
    }

    fn settings(&self) -> BTreeMap<String, String> {
        let is_set = |value: &Value| match value {
            Value::Null => false,
            Value::Object(map) => !map.is_empty(),
            _ => true,
        };
        let lengths = ["max_new_tokens", "min_new_tokens", "logits_processor", "use_cache"];
        let generation = self.scenario.generate_kwargs.iter();
        let generation = generation.filter(|(key, _)| !lengths.contains(&key.as_str()));
        let backend = self.backend.iter().filter(|(key, _)| !NO_SETTINGS.contains(&key.as_str()));
        let all = backend.chain(generation).filter(|(_, value)| is_set(value));
        all.map(|(key, value)| {
            (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_string))
        })
        .collect()
    }

    pub(super) fn machine(&self) -> Machine {
        let of = &self.environment;
        let text = |key: &str| of.get(key).and_then(Value::as_str).map(str::trim).map(str::to_string);
        let gpus = match of.get("gpu") {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_string).collect(),
            Some(Value::String(name)) => vec![name.clone()],
            _ => Vec::new(),
        };
        let megabytes = of.get("cpu_ram_mb").and_then(Value::as_f64).filter(|mb| *mb > 0.0);
        Machine {
            os: text("system"),
            arch: text("machine"),
            cpu: text("cpu").filter(|cpu| !cpu.is_empty()),
            logical_cores: of.get("cpu_count").and_then(Value::as_u64),
            memory_bytes: megabytes.map(|mb| (mb * 1e6).round() as u64),
            gpus: gpus.into_iter().map(|name| Gpu { name, memory_bytes: None }).collect(),
            ..Machine::default()
        }
    }
}
