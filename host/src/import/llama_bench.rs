//! Results of llama.cpp's `llama-bench`: a JSON array (`-o json`) or an object a line (`-o jsonl`), one for each test,
//! with the nanoseconds of every repetition in `samples_ns`.
//!
//! A test of `n_prompt` tokens alone is a prefill. One of `n_gen` tokens alone is a generation from no prompt, so that
//! its tokens a second are of decode steps; one of both is a generation of one decode step more than inferhost makes.
//! `n_depth` tokens are in the cache before the time begins. Fields that came or went over the years: `backends` stands
//! for `cuda`, `metal`, `blas` and their like of before 2024-11, and `n_depth` is since 2025.

use super::ImportError;
use super::names::sound;
use super::read::Text;
use super::series::{Backend, Model, Run, Series, Shape, Source};
use crate::environment::{Gpu, Machine};
use crate::record::Mode;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) const TOOL: &str = "llama-bench";

/// One test. What is not listed decides how fast it was, or is derived from the samples.
#[derive(Debug, Deserialize)]
struct Test {
    n_prompt: u32,
    n_gen: u32,
    #[serde(default)]
    n_depth: u32,
    samples_ns: Vec<u64>,
    test_time: Option<String>,
    build_commit: Option<String>,
    build_number: Option<u64>,
    cpu_info: Option<String>,
    gpu_info: Option<String>,
    backends: Option<String>,
    model_filename: Option<String>,
    model_type: Option<String>,
    model_size: Option<u64>,
    model_n_params: Option<u64>,
    n_threads: Option<u32>,
    #[serde(flatten)]
    settings: BTreeMap<String, Value>,
}

const DERIVED: [&str; 5] = ["avg_ns", "stddev_ns", "avg_ts", "stddev_ts", "samples_ts"];

/// What older builds said instead of `backends`, the first that was on.
const FLAGS: [(&str, &str); 9] = [
    ("cuda", "CUDA"),
    ("vulkan", "Vulkan"),
    ("kompute", "Kompute"),
    ("metal", "Metal"),
    ("sycl", "SYCL"),
    ("opencl", "OpenCL"),
    ("rpc", "RPC"),
    ("gpu_blas", "GPU BLAS"),
    ("blas", "BLAS"),
];

/// The tests of a file.
pub(super) fn read(text: &Text<'_>) -> Result<Vec<Series>, ImportError> {
    let tests = tests(text)?;
    if tests.is_empty() {
        return Err(text.malformed("it holds no test; the run may have ended before the first"));
    }
    tests.into_iter().map(|(place, test)| series(text, &place, test)).collect()
}

/// Each with its place in the file.
fn tests(text: &Text<'_>) -> Result<Vec<(String, Test)>, ImportError> {
    let content = &text.content;
    let malformed = |error: serde_json::Error| text.malformed(error.to_string());
    if content.trim_start().starts_with('[') {
        let tests: Vec<Test> = serde_json::from_str(content).map_err(malformed)?;
        return Ok((1..).map(|number| format!("test {number}")).zip(tests).collect());
    }
    let mut stream = serde_json::Deserializer::from_str(content).into_iter::<Test>();
    let (mut tests, mut line, mut read) = (Vec::new(), 1, 0);
    while let Some(test) = stream.next() {
        let test = test.map_err(malformed)?;
        let end = stream.byte_offset();
        line += content.as_bytes()[read..end].iter().filter(|&&byte| byte == b'\n').count();
        read = end;
        tests.push((format!("line {line}"), test));
    }
    Ok(tests)
}

fn series(text: &Text<'_>, place: &str, test: Test) -> Result<Series, ImportError> {
    let malformed = |reason: &str| text.malformed(format!("{place}: {reason}"));
    let shape =
        shape(&test).ok_or_else(|| malformed("n_prompt and n_gen are both 0, so nothing was measured"))?;
    if test.samples_ns.is_empty() {
        return Err(malformed("samples_ns is empty; each repetition must be there"));
    }
    if test.samples_ns.contains(&0) {
        return Err(malformed("samples_ns holds a 0, which no run can have taken"));
    }
    let filename = test.model_filename.clone().or_else(|| test.model_type.clone());
    let spec = filename.ok_or_else(|| malformed("neither model_filename nor model_type is there"))?;
    let started_at = match &test.test_time {
        None => text.written_at.clone(),
        Some(time) => {
            let time: jiff::Timestamp =
                time.parse().map_err(|_| malformed(&format!("test_time is `{time}`, which is no time")))?;
            format!("{time:.3}")
        }
    };
    let (note, backend) = (note(shape), backend(&test));
    Ok(Series {
        source: Source { tool: TOOL, tool_version: version(&test), file: text.name() },
        model: Model {
            name: sound(model_name(&spec)),
            spec,
            parameters: test.model_n_params,
            bytes: test.model_size,
        },
        backend,
        machine: machine(&test),
        shape,
        runs: test.samples_ns.iter().map(|&ns| Run::lasting(ns as f64 / 1e6)).collect(),
        telemetry: None,
        started_at,
        note,
    })
}

fn shape(test: &Test) -> Option<Shape> {
    let Test { n_prompt, n_gen, n_depth, .. } = *test;
    let (mode, use_cache) = match (n_prompt, n_gen) {
        (0, 0) => return None,
        (_, 0) => (Mode::Prefill, None),
        (_, _) => (Mode::Generate, Some(true)),
    };
    Some(Shape { mode, use_cache, batch: 1, prompt_tokens: n_prompt, new_tokens: n_gen, context: n_depth })
}

fn note(shape: Shape) -> Option<String> {
    let Shape { prompt_tokens, new_tokens, context, .. } = shape;
    let steps = match (prompt_tokens, new_tokens) {
        (_, 0) => None,
        (0, n) => Some(format!(
            "no prompt in the time: its tok/s are of {n} decode steps of given tokens, none sampled"
        )),
        (_, n) => Some(format!(
            "{n} decode steps of given tokens after the prompt, one more than inferhost makes, none sampled"
        )),
    };
    let context = (context > 0).then(|| format!("{context} tokens were in the cache before"));
    let parts: Vec<String> = steps.into_iter().chain(context).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn version(test: &Test) -> Option<String> {
    match (&test.build_number, &test.build_commit) {
        (Some(number), Some(commit)) => Some(format!("{number} ({commit})")),
        (Some(number), None) => Some(number.to_string()),
        (None, commit) => commit.clone(),
    }
}

/// The file's name without folders and ending; a description, as old files hold, as it is.
fn model_name(spec: &str) -> &str {
    let name = spec.rsplit(['/', '\\']).next().unwrap_or(spec);
    name.strip_suffix(".gguf").unwrap_or(name)
}

fn backend(test: &Test) -> Backend {
    let is_on =
        |key: &str| matches!(test.settings.get(key), Some(Value::Bool(true))) || number_is_on(test, key);
    let of_flags = || FLAGS.iter().find(|(key, _)| is_on(key)).map_or("CPU", |(_, name)| name).to_string();
    let runs_on = test.backends.clone().filter(|name| !name.is_empty()).unwrap_or_else(of_flags);
    let is_setting = |key: &&String| !DERIVED.contains(&key.as_str());
    let mut settings: BTreeMap<String, String> = test
        .settings
        .iter()
        .filter(|(key, _)| is_setting(key))
        .map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_string)))
        .collect();
    settings.extend(test.n_threads.map(|n| ("n_threads".to_string(), n.to_string())));
    let device = runs_on.to_lowercase();
    Backend {
        name: sound(&format!("{TOOL}-{device}")),
        runtime: "llama.cpp".into(),
        runtime_version: version(test),
        device,
        precision: test.model_type.as_deref().map(quantisation).unwrap_or_default().into(),
        threads: test.n_threads,
        settings,
    }
}

fn number_is_on(test: &Test, key: &str) -> bool {
    test.settings.get(key).and_then(Value::as_i64).is_some_and(|number| number != 0)
}

/// What follows the size in `qwen2 7B Q4_K - Medium` and `llama 7B mostly Q4_0`.
fn quantisation(model_type: &str) -> &str {
    let is_size = |word: &str| {
        let digits = word.strip_suffix(['K', 'M', 'B', 'T']).unwrap_or_default();
        digits == "?" || (!digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '.'))
    };
    let size = model_type.split(' ').find(|word| is_size(word));
    let after = size.and_then(|size| model_type.split_once(&format!("{size} "))).map(|(_, after)| after);
    after.map(|after| after.strip_prefix("mostly ").unwrap_or(after)).unwrap_or_default()
}

fn machine(test: &Test) -> Machine {
    let known = |text: &Option<String>| {
        text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_string)
    };
    let gpus = known(&test.gpu_info)
        .map(|gpus| gpus.split(", ").map(|name| Gpu { name: name.into(), memory_bytes: None }).collect());
    Machine { cpu: known(&test.cpu_info), gpus: gpus.unwrap_or_default(), ..Machine::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;

    fn text(content: &str) -> Text<'_> {
        Text {
            path: Path::new("x/bench.jsonl"),
            content: content.into(),
            written_at: "2026-01-01T00:00:00.000Z".into(),
        }
    }

    fn newer(n_prompt: u32, n_gen: u32) -> Value {
        json!({"build_commit": "abc", "build_number": 7, "cpu_info": "A CPU", "gpu_info": "", "backends": "CPU",
            "model_filename": "m/gpt2-Q8_0.gguf", "model_type": "gpt2 0.1B Q8_0", "model_n_params": 124, "n_threads": 2,
            "type_k": "f16", "use_mmap": true, "n_prompt": n_prompt, "n_gen": n_gen, "n_depth": 0,
            "test_time": "2025-04-24T11:58:50Z", "avg_ns": 5, "samples_ns": [2_000_000, 4_000_000], "samples_ts": [1.0, 2.0]})
    }

    #[test]
    fn the_three_kinds_of_test() {
        for (n_prompt, n_gen, mode, cache, note) in [
            (16, 0, Mode::Prefill, None, None),
            (0, 8, Mode::Generate, Some(true), Some("no prompt in the time")),
            (16, 8, Mode::Generate, Some(true), Some("one more than inferhost makes")),
        ] {
            let content = newer(n_prompt, n_gen).to_string();
            let found = read(&text(&content)).unwrap().remove(0);
            assert_eq!((found.shape.mode, found.shape.use_cache), (mode, cache));
            assert_eq!((found.shape.prompt_tokens, found.shape.new_tokens), (n_prompt, n_gen));
            assert_eq!(found.note.is_some(), note.is_some());
            assert!(found.note.unwrap_or_default().contains(note.unwrap_or_default()));
            let latencies: Vec<f64> = found.runs.iter().map(|run| run.latency_ms).collect();
            assert_eq!(latencies, [2.0, 4.0]);
        }
    }

    #[test]
    fn what_a_newer_file_says() {
        let content = newer(16, 0).to_string();
        let found = read(&text(&content)).unwrap().remove(0);
        assert_eq!((found.model.name.as_str(), found.model.parameters), ("gpt2-Q8_0", Some(124)));
        let Backend { name, precision, threads, runtime_version, settings, .. } = found.backend;
        assert_eq!((name.as_str(), precision.as_str(), threads), ("llama-bench-cpu", "Q8_0", Some(2)));
        assert_eq!(runtime_version.as_deref(), Some("7 (abc)"));
        let keys: Vec<&str> = settings.keys().map(String::as_str).collect();
        assert_eq!(keys, ["n_threads", "type_k", "use_mmap"], "nothing derived");
        assert_eq!(found.machine.cpu.as_deref(), Some("A CPU"));
        assert_eq!((found.machine.gpus.len(), found.started_at.as_str()), (0, "2025-04-24T11:58:50.000Z"));
    }

    #[test]
    fn an_older_file_is_read_too() {
        let content = json!([{"build_commit": "1", "build_number": 1275, "cuda": false, "gpu_blas": false, "blas": true,
            "cpu_info": "A CPU", "gpu_info": "", "model_filename": "m.gguf", "model_type": "llama 7B mostly Q4_0",
            "n_threads": 16, "f16_kv": true, "n_prompt": 512, "n_gen": 0, "samples_ns": [7]}])
        .to_string();
        let found = read(&text(&content)).unwrap().remove(0);
        assert_eq!(
            (found.backend.name.as_str(), found.backend.precision.as_str()),
            ("llama-bench-blas", "Q4_0")
        );
        assert_eq!((found.shape.context, found.started_at.as_str()), (0, "2026-01-01T00:00:00.000Z"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let good = newer(16, 0).to_string();
        let with = |key: &str, value: Value| {
            let mut test = newer(16, 0);
            test[key] = value;
            test.to_string()
        };
        for (bad, part) in [
            (format!("{good}\n{{\"n_prompt\": 3"), "EOF while parsing an object at line 2"),
            (format!("{good}\n\n{}", with("n_gen", json!("x"))), "expected u32 at line 3"),
            (
                format!("{good}\n{}", good.replace("samples_ns", "samples")),
                "missing field `samples_ns` at line 2",
            ),
            (format!("[{good},\n{{\"n_prompt\": 3}}]"), "missing field `n_gen` at line 2"),
            (with("samples_ns", json!([])), "line 1: samples_ns is empty"),
            (with("samples_ns", json!([1, 0])), "holds a 0"),
            (with("samples_ns", json!([-1])), "expected u64 at line 1"),
            (format!("{good}\n{}", with("samples_ns", json!([]))), "line 2: samples_ns is empty"),
            (with("n_prompt", json!(0)), "both 0"),
            (with("test_time", json!("yesterday")), "test_time is `yesterday`"),
            ("[]".into(), "no test"),
        ] {
            let message = read(&text(&bad)).unwrap_err().to_string();
            assert!(message.starts_with("x/bench.jsonl: ") && message.contains(part), "{message}");
        }
    }
}
