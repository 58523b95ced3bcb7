//! Results of Hugging Face's `optimum-benchmark`: `benchmark_report.json` with a section for each part of the work, and
//! `benchmark.json`, which holds the config too. Lengths and the batch are in the config alone: in the same file, or in
//! `benchmark_config.json` (before 0.3: `experiment_config.json`) beside the report.
//!
//! For text generation, `prefill` is a prefill. A generation is `generate` where the file has it (since 0.6), else
//! `prefill` and `decode` together, from which `decode` was cut. With a `per_token` section both are of the same calls,
//! so that `prefill` is each generation's time to its first logits; without one they are of different calls, and TTFT
//! stays null. For other tasks on text, `forward` is a prefill. Loading and first calls are left out.

mod config;
mod report;

use super::ImportError;
use super::read::Text;
use super::series::{Run, Series, Shape, Source};
use crate::record::{Mode, Telemetry};
use config::Config;
use report::{Generations, Report};
use serde::Deserialize;
use std::fs;

pub(super) const TOOL: &str = "optimum-benchmark";

/// `benchmark.json`.
#[derive(Debug, Deserialize)]
struct Whole {
    config: Config,
    report: Report,
}

/// The runs of a file, and what of it is left out.
pub(super) fn read(text: &Text<'_>) -> Result<(Vec<Series>, Vec<String>), ImportError> {
    let (config, report) = config_and_report(text)?;
    let malformed = |reason: String| text.malformed(reason);
    config.check_task().map_err(malformed)?;
    let mut all = Vec::new();
    for measured in [forward(&config, &report), prefill(&config, &report), generate(&config, &report)] {
        if let Some(measured) = measured.map_err(malformed)? {
            all.push(series(text, &config, measured));
        }
    }
    if all.is_empty() {
        return Err(text.malformed("it holds no latency of prefill, decode, generate or forward"));
    }
    let left_out = report
        .left_out()
        .map(|sections| format!("{}: left out {sections}: no runs of their own", text.name()));
    Ok((all, left_out.into_iter().collect()))
}

fn config_and_report(text: &Text<'_>) -> Result<(Config, Report), ImportError> {
    let malformed = |error: serde_json::Error| text.malformed(error.to_string());
    let is_whole = serde_json::from_str::<serde_json::Value>(&text.content)
        .map_err(malformed)?
        .get("report")
        .is_some_and(serde_json::Value::is_object);
    if is_whole {
        let whole: Whole = serde_json::from_str(&text.content).map_err(malformed)?;
        return Ok((whole.config, whole.report));
    }
    let report: Report = serde_json::from_str(&text.content).map_err(malformed)?;
    Ok((config_beside(text)?, report))
}

fn config_beside(text: &Text<'_>) -> Result<Config, ImportError> {
    let own = text.name().replace("report", "config");
    for name in [own.as_str(), "benchmark_config.json", "experiment_config.json"] {
        let path = text.path.with_file_name(name);
        if path == text.path || !path.is_file() {
            continue;
        }
        let content = fs::read_to_string(&path)
            .map_err(|source| ImportError::Unreadable { path: path.clone(), source })?;
        return serde_json::from_str(&content)
            .map_err(|error| ImportError::Malformed { path: path.clone(), reason: error.to_string() });
    }
    Err(text.malformed(format!(
        "the batch and lengths are in the config, and there is no {own} beside it; put it there, or give benchmark.json"
    )))
}

/// One of the file's measurements.
struct Measured {
    shape: Shape,
    runs: Vec<Run>,
    telemetry: Option<Telemetry>,
    notes: Vec<String>,
}

fn series(text: &Text<'_>, config: &Config, measured: Measured) -> Series {
    let Measured { shape, runs, telemetry, mut notes } = measured;
    let has = |value: fn(&Telemetry) -> Option<f64>| telemetry.as_ref().is_some_and(|t| value(t).is_some());
    if has(|telemetry| telemetry.rss_peak_mb) {
        notes.push("memory is the peak of a further call".into());
    }
    if has(|telemetry| telemetry.energy_j) {
        notes.push(
            "energy is the mean of further calls by codecarbon, which estimates what it cannot count".into(),
        );
    }
    notes.extend(config.note());
    Series {
        source: Source { tool: TOOL, tool_version: config.tool_version(), file: text.name() },
        model: config.model(),
        backend: config.backend(TOOL),
        machine: config.machine(),
        shape,
        runs,
        telemetry,
        started_at: text.written_at.clone(),
        note: (!notes.is_empty()).then(|| notes.join("; ")),
    }
}

fn forward(config: &Config, report: &Report) -> Result<Option<Measured>, String> {
    let Some(section) = report.measured("forward") else { return Ok(None) };
    let task = config.task().unwrap_or("an unknown task");
    let shape = config.shape(Mode::Prefill, 0)?;
    let notes = vec![format!("a forward pass for {task}")];
    Ok(Some(Measured { shape, runs: section.runs("forward")?, telemetry: section.telemetry(), notes }))
}

fn prefill(config: &Config, report: &Report) -> Result<Option<Measured>, String> {
    let Some(section) = report.measured("prefill") else { return Ok(None) };
    let shape = config.shape(Mode::Prefill, 0)?;
    let note = match report.measured("per_token") {
        Some(_) => "the first part of a generation, to its first logits",
        None => "a generation of one token",
    };
    let notes = vec![note.to_string()];
    Ok(Some(Measured { shape, runs: section.runs("prefill")?, telemetry: section.telemetry(), notes }))
}

fn generate(config: &Config, report: &Report) -> Result<Option<Measured>, String> {
    if report.measured("generate").is_none() && report.measured("decode").is_none() {
        return Ok(None);
    }
    let new_tokens = config.new_tokens(report)?;
    let shape = config.shape(Mode::Generate, new_tokens)?;
    let Generations { runs, note } = report.generations(new_tokens)?;
    let notes = note.into_iter().collect();
    Ok(Some(Measured { shape, runs, telemetry: report.telemetry_of_generation(), notes }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::path::Path;

    fn section(values: &[f64]) -> Value {
        json!({"memory": null, "latency": {"unit": "s", "values": values, "count": values.len()}, "throughput": null,
            "energy": null, "efficiency": null})
    }

    fn whole(report: Value) -> Value {
        json!({"config": {"name": "x",
            "backend": {"name": "pytorch", "version": "2.5.0", "task": "text-generation", "model": "org/gpt2",
                "device": "cpu", "intra_op_num_threads": 2, "torch_dtype": "float32", "environment": ["TOKEN"]},
            "scenario": {"name": "inference", "input_shapes": {"batch_size": 4, "sequence_length": 16},
                "generate_kwargs": {"max_new_tokens": 3, "min_new_tokens": 3}},
            "environment": {"cpu": " A CPU", "cpu_count": 2, "cpu_ram_mb": 8000.5, "gpu": ["B GPU"],
                "optimum_benchmark_version": "0.5.0"}},
            "report": report})
    }

    fn read_value(value: &Value) -> Result<(Vec<Series>, Vec<String>), ImportError> {
        let path = Path::new("x/benchmark.json");
        read(&Text { path, content: value.to_string(), written_at: "2026-01-01T00:00:00.000Z".into() })
    }

    fn latencies(series: &Series) -> Vec<f64> {
        series.runs.iter().map(|run| (run.latency_ms * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn per_token_times_belong_to_their_generation() {
        let report = json!({"load_model": section(&[9.0]), "prefill": section(&[0.5, 0.25]),
            "decode": section(&[0.75, 0.5]), "per_token": section(&[0.25, 0.5, 0.125, 0.375])});
        let (found, left_out) = read_value(&whole(report)).unwrap();
        let [prefill, generate] = &found[..] else { panic!("{found:?}") };
        assert_eq!((latencies(prefill), prefill.shape.mode), (vec![500.0, 250.0], Mode::Prefill));
        assert_eq!((prefill.shape.batch, prefill.shape.prompt_tokens, prefill.shape.new_tokens), (4, 16, 0));
        assert_eq!(latencies(generate), [1250.0, 750.0]);
        assert_eq!(generate.runs[1].ttft_ms, Some(250.0));
        assert_eq!(generate.runs[1].token_ms, [250.0, 125.0, 375.0]);
        assert_eq!((generate.shape.new_tokens, generate.shape.use_cache), (3, Some(true)));
        assert_eq!(left_out, ["benchmark.json: left out load_model: no runs of their own"]);
    }

    #[test]
    fn per_token_times_are_found_in_every_order_that_was_written() {
        // Two runs of two steps each; 9.0 is the time between them.
        let (first, second, between) = ([0.25, 0.5], [0.125, 0.375], [9.0]);
        let all = [&first[..], &between, &second].concat();
        for (per_token, known) in [
            ([first, second].concat(), true),
            (all.clone(), true),
            ([&first[..], &all].concat(), true),
            (vec![0.1; 6], false),
            (vec![0.6; 4], false),
        ] {
            let report = json!({"prefill": section(&[0.5, 0.25]), "decode": section(&[0.75, 0.5]),
                "per_token": section(&per_token)});
            let (found, _) = read_value(&whole(report)).unwrap();
            let expected: [&[f64]; 2] =
                if known { [&[500.0, 250.0, 500.0], &[250.0, 125.0, 375.0]] } else { [&[], &[]] };
            for (run, expected) in found[1].runs.iter().zip(expected) {
                assert_eq!(run.token_ms, expected, "{per_token:?}");
                assert!(run.ttft_ms.is_some());
            }
            let is_told = found[1].note.as_ref().unwrap().contains("per_token are is unknown");
            assert_eq!(is_told, !known, "{:?}", found[1].note);
        }
    }

    #[test]
    fn without_per_token_times_the_generation_is_put_together_and_ttft_unknown() {
        let report = json!({"prefill": section(&[0.5, 0.25]), "decode": section(&[0.75, 0.5, 0.625])});
        let (found, _) = read_value(&whole(report)).unwrap();
        assert_eq!(latencies(&found[1]), [1125.0, 875.0, 1000.0], "the mean of prefill was taken off");
        assert!(found[1].runs.iter().all(|run| run.ttft_ms.is_none() && run.token_ms.is_empty()));
        let report =
            json!({"prefill": section(&[0.5]), "generate": section(&[2.0]), "decode": section(&[1.5])});
        assert_eq!(latencies(&read_value(&whole(report)).unwrap().0[1]), [2000.0]);
    }

    #[test]
    fn memory_and_energy_are_in_our_units() {
        let mut report = json!({"prefill": section(&[0.5]), "decode": section(&[0.75])});
        report["prefill"]["memory"] = json!({"unit": "MB", "max_ram": 512.5, "max_global_vram": null});
        report["decode"]["memory"] = json!({"unit": "MB", "max_ram": 600.0});
        report["prefill"]["energy"] =
            json!({"unit": "kWh", "cpu": 1e-6, "ram": 0.0, "gpu": 0.0, "total": 1e-6});
        report["decode"]["energy"] =
            json!({"unit": "kWh", "cpu": 2e-6, "ram": 0.0, "gpu": 0.0, "total": 2e-6});
        let (found, _) = read_value(&whole(report)).unwrap();
        let [prefill, generate] = [&found[0], &found[1]].map(|of| of.telemetry.clone().unwrap());
        assert_eq!((prefill.rss_peak_mb, generate.rss_peak_mb), (Some(512.5), Some(600.0)));
        let joules = [prefill, generate].map(|of| (of.energy_j.unwrap() * 1e6).round() / 1e6);
        assert_eq!(joules, [3.6, 10.8], "generation is both parts");
    }

    #[test]
    fn what_the_config_says_of_model_backend_and_machine() {
        let (found, _) = read_value(&whole(json!({"prefill": section(&[0.5])}))).unwrap();
        let Series { source, model, backend, machine, .. } = &found[0];
        assert_eq!((model.name.as_str(), model.spec.as_str()), ("gpt2", "org/gpt2"));
        assert_eq!(
            (backend.name.as_str(), backend.runtime_version.as_deref()),
            ("optimum-pytorch", Some("2.5.0"))
        );
        assert_eq!((backend.threads, backend.precision.as_str()), (Some(2), "float32"));
        assert!(!backend.settings.contains_key("environment"), "it may hold secrets");
        assert_eq!((machine.cpu.as_deref(), machine.memory_bytes), (Some("A CPU"), Some(8_000_500_000)));
        assert_eq!((machine.gpus[0].name.as_str(), source.tool_version.as_deref()), ("B GPU", Some("0.5.0")));
    }

    #[test]
    fn the_number_of_new_tokens_follows_from_the_decode_throughput_where_the_config_leaves_it_open() {
        let mut report = json!({"prefill": section(&[0.5]), "decode": section(&[2.0, 4.0])});
        report["decode"]["throughput"] = json!({"unit": "tokens/s", "value": 4.0 * 99.0 / 3.0});
        let mut value = whole(report);
        value["config"]["scenario"]["generate_kwargs"] = json!({});
        assert_eq!(read_value(&value).unwrap().0[1].shape.new_tokens, 100);
        value["report"]["decode"]["throughput"] = Value::Null;
        let message = read_value(&value).unwrap_err().to_string();
        assert!(message.contains("max_new_tokens"), "{message}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let report = || json!({"prefill": section(&[0.5]), "decode": section(&[0.5])});
        let with = |pointer: &str, value: Value| {
            let mut whole = whole(report());
            *whole.pointer_mut(pointer).unwrap() = value;
            whole
        };
        for (bad, part) in [
            (with("/config/backend/task", json!("text-to-image")), "`text-to-image`"),
            (with("/config/scenario/input_shapes", json!({})), "batch_size"),
            (with("/report/prefill/latency/unit", json!("ms")), "`ms`"),
            (with("/report/prefill/latency/values", json!([])), "prefill"),
            (with("/report/prefill/latency/values", json!([0.5, -1.0])), "-1"),
            (with("/report/prefill/latency/values", json!("x")), "invalid type"),
            (with("/report", json!({"load": section(&[1.0])})), "no latency of prefill"),
            (with("/report/decode", json!({"latency": null})), ""),
        ] {
            match read_value(&bad) {
                Ok(_) => assert_eq!(part, "", "{bad}"),
                Err(error) => {
                    let message = error.to_string();
                    assert!(message.starts_with("x/benchmark.json: ") && message.contains(part), "{message}");
                }
            }
        }
    }
}
