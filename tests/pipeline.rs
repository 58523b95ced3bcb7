//! From a config to a report on real runtimes, and one-off calls against what transformers computes in float64.

use crate::support::{Host, TINY, config, faulty, has_onnx_runtime, shared};
use inferhost::record::{DegradedKind, Mode, Stage, Status};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};

const CANDLE: &str = "[[backends]]\nname = \"candle-f64\"\nplugin = \"candle\"\noptions = { dtype = \"f64\" }\n\
    [[backends]]\nname = \"candle-f32\"\nplugin = \"candle\"\n";
const ORT: &str = "[[backends]]\nname = \"ort-cpu-fp32\"\nplugin = \"ort\"\nartifact = \"onnx-fp32\"\n";

#[test]
fn a_mixed_matrix_ends_in_a_report_and_its_backends_agree() {
    let backends = if has_onnx_runtime() { format!("{CANDLE}{ORT}") } else { CANDLE.into() };
    let host = Host::new();
    let run = "modes = [\"prefill\", \"generate\", \"logprobs\"]\nuse_cache = [true, false]\nrepetitions = 2\nrounds = 2";
    let (ended, records) = host.matrix(&config(run, &backends));
    ended.succeeds();
    assert!(records.iter().all(|r| r.status == Status::Ok), "{records:?}");
    let mut digests = BTreeMap::<_, HashSet<_>>::new();
    for record in &records {
        digests.entry(record.mode).or_default().insert(record.output_digest.clone().unwrap());
        assert!(record.latency_ms.unwrap() > 0.0 && record.telemetry.is_some());
        let steps = if record.mode == Mode::Generate { 4 } else { 0 };
        assert_eq!((record.token_ms.len(), record.ttft_ms.is_some()), (steps, steps > 0));
        let tokens = if record.mode == Mode::Generate { 2 * (5 + 4) } else { 2 * 5 };
        assert_eq!(record.tokens_processed, Some(tokens));
    }
    assert!(digests.values().all(|of_mode| of_mode.len() == 1), "every backend gives the same: {digests:?}");
    let workers: HashSet<_> = records.iter().map(|r| (r.round, &r.backend, r.worker_pid)).collect();
    assert_eq!(workers.len(), 2 * backends.matches("[[backends]]").count(), "one worker a backend and round");
    let report = std::fs::read_to_string(host.path("out/report.md")).unwrap();
    assert!(
        report.contains("candle-f64") && report.contains("The outputs are the same on all backends"),
        "{report}"
    );
    assert!(host.path("out/summary.csv").is_file());
    let mut files: Vec<String> = std::fs::read_dir(host.path("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    // There as soon as a worker has lived for a tenth of a second.
    files.retain(|name| name != "telemetry.csv");
    let expected = "analysis.json comparisons.csv logs manifest.json plots records.jsonl report.html report.md run.lock \
        summary.csv";
    assert_eq!(files.join(" "), expected);
}

/// The golden cases of this repository and, where they are there, those of GPT-2 beside it: in others from elsewhere,
/// transformers' float64 is not float64 throughout.
fn golden() -> Vec<PathBuf> {
    let cases = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let own = cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden"));
    assert!(own.len() >= 7);
    let beside = shared("golden").map(|folder| cases(&folder)).unwrap_or_default();
    own.into_iter().chain(beside.into_iter().filter(|case| is_gpt2(case))).collect()
}

fn is_gpt2(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join("config.json")).is_ok_and(|c| c.contains("\"gpt2\""))
}

/// What a one-off call prints as JSON.
fn call(host: &Host, command: &str, backend: &[&str], model: &Path, more: &[&str]) -> Value {
    let fixed = [command, "--model", model.to_str().unwrap(), "--tokens", "prompts.json", "--json"];
    let ended = host.run(&[&fixed[..], backend, more].concat());
    serde_json::from_str(&ended.succeeds().stdout).unwrap()
}

/// The largest difference between two nested lists of numbers of the same shape.
fn difference(a: &Value, b: &Value) -> f64 {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len());
            a.iter().zip(b).map(|(a, b)| difference(a, b)).fold(0.0, f64::max)
        }
        _ => (a.as_f64().unwrap() - b.as_f64().unwrap()).abs(),
    }
}

#[track_caller]
fn agrees(host: &Host, backend: &[&str], model: &Path, expected: &Value, tolerance: f64) {
    host.write("prompts.json", &expected["prompts"].to_string());
    let logprobs = call(host, "logprobs", backend, model, &[]);
    let off = difference(&logprobs["logprobs"], &expected["logprobs"]);
    assert!(off <= tolerance, "{backend:?} on {}: log-probabilities differ by {off}", model.display());
    let new = expected["max_new_tokens"].to_string();
    for more in [vec!["--max-new-tokens", &new], vec!["--max-new-tokens", &new, "--no-cache"]] {
        let tokens = call(host, "generate", backend, model, &more);
        assert_eq!(tokens["tokens"], expected["greedy"], "{backend:?} on {}", model.display());
    }
    let logits = call(host, "prefill", backend, model, &[]);
    let off = difference(&logits["logits"], &expected["last_logits"]);
    assert!(off <= tolerance, "{backend:?} on {}: logits differ by {off}", model.display());
}

/// `expected.json` of a golden case, with the logits of each prompt's last position as `last_logits`.
fn expected(case: &Path) -> Value {
    let text = std::fs::read_to_string(case.join("expected.json")).unwrap();
    let mut expected: Value = serde_json::from_str(&text).unwrap();
    let bytes = std::fs::read(case.join("expected_logits.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let prompts = expected["prompts"].as_array().unwrap().len();
    expected["last_logits"] = (0..prompts).map(|row| last_position(&tensors, row)).collect();
    expected
}

fn last_position(tensors: &SafeTensors<'_>, row: usize) -> Vec<f64> {
    let logits = tensors.tensor(&format!("logits.{row}")).unwrap();
    let (Dtype::F64, [_, vocab]) = (logits.dtype(), logits.shape()) else { panic!("{logits:?}") };
    let values = logits.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
    values.collect::<Vec<_>>().split_off(logits.data().len() / 8 - vocab)
}

#[test]
fn one_off_calls_give_what_transformers_computes_in_float64() {
    let host = Host::new();
    let ort = has_onnx_runtime();
    for case in golden() {
        let expected = expected(&case);
        agrees(&host, &["--plugin", "candle", "--option", "dtype=f64"], &case, &expected, 1e-9);
        agrees(&host, &["--plugin", "candle"], &case, &expected, 2e-5);
        if ort {
            agrees(&host, &["--plugin", "ort", "--option", "threads=1"], &case, &expected, 2e-5);
        }
    }
}

#[test]
fn a_graph_exported_by_optimum_runs_as_it_is() {
    if !has_onnx_runtime() {
        return;
    }
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/optimum/gpt2").canonicalize().unwrap();
    let host = Host::new();
    agrees(&host, &["--plugin", "ort"], &case, &expected(&case), 2e-5);
    agrees(&host, &["--plugin", "ort"], &case.join("model.onnx"), &expected(&case), 2e-5);
    let candle =
        ["prefill", "--plugin", "candle", "--model", case.to_str().unwrap(), "--tokens", "prompts.json"];
    host.run(&candle).fails(2, &["it is ONNX", "opens only hf"]);
}

#[test]
fn a_plugin_dropped_into_a_folder_is_found_and_runs() {
    let host = Host::new();
    let folder = host.path("plugins");
    std::fs::create_dir(&folder).unwrap();
    let beside = Path::new(env!("CARGO_BIN_EXE_inferhost")).parent().unwrap();
    let library = |name: &str| format!("{DLL_PREFIX}inferhost_plugin_{name}{DLL_SUFFIX}");
    for name in ["dropped", "candle"] {
        std::fs::copy(beside.join(library("faulty")), folder.join(library(name))).unwrap();
    }
    let dirs = ["--plugin-dir", folder.to_str().unwrap()];
    let listed = host.run(&[&["backends"][..], &dirs].concat());
    let text = &listed.succeeds().stdout;
    assert!(text.contains("dropped") && text.contains("found twice; the first is used"), "{text}");
    host.write(
        "config.toml",
        &config("repetitions = 1", &faulty("new", "").replace("\"faulty\"", "\"dropped\"")),
    );
    host.run(&[&["run", "config.toml", "--out", "out"][..], &dirs].concat()).succeeds();
    assert!(host.records().iter().all(|r| r.status == Status::Ok && r.backend == "new"));
}

#[test]
fn the_nearest_plugin_folder_wins() {
    let host = Host::new();
    let faulty = format!("{DLL_PREFIX}inferhost_plugin_faulty{DLL_SUFFIX}");
    let beside = Path::new(env!("CARGO_BIN_EXE_inferhost")).parent().unwrap();
    for folder in ["argument", "variable"] {
        std::fs::create_dir(host.path(folder)).unwrap();
        std::fs::copy(beside.join(&faulty), host.path(folder).join(&faulty)).unwrap();
    }
    let used = |args: &[&str], variable: &str| {
        let mut command = host.command(&[&["backends", "--json"], args].concat());
        let output = command.env("INFERHOST_PLUGIN_DIR", variable).output().unwrap();
        let listed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let paths: Vec<PathBuf> = listed
            .iter()
            .filter(|backend| backend["name"] == "faulty")
            .map(|backend| backend["path"].as_str().unwrap().into())
            .collect();
        assert_eq!(paths.len(), 1, "{listed:?}");
        std::path::absolute(paths[0].parent().unwrap()).unwrap().canonicalize().unwrap()
    };
    let folder = |name: &str| host.path(name).canonicalize().unwrap();
    let paths = ["argument", "variable"].map(|name| host.path(name).to_str().unwrap().to_string());
    assert_eq!(used(&["--plugin-dir", &paths[0]], &paths[1]), folder("argument"));
    assert_eq!(used(&[], &paths[1]), folder("variable"));
    assert_eq!(used(&[], ""), beside.canonicalize().unwrap());
}

#[test]
fn a_library_that_is_no_plugin_is_incompatible_and_the_matrix_goes_on() {
    let host = Host::new();
    let path = host.path(&format!("{DLL_PREFIX}inferhost_plugin_text{DLL_SUFFIX}"));
    std::fs::write(&path, "not a library").unwrap();
    let backend = format!("[[backends]]\nname = \"text\"\nplugin = {:?}\n", path.display().to_string());
    let (ended, records) = host.matrix(&config("repetitions = 1", &(backend + &faulty("good", ""))));
    ended.succeeds();
    let (text, good): (Vec<_>, Vec<_>) = records.into_iter().partition(|r| r.backend == "text");
    assert!(good.iter().all(|r| r.status == Status::Ok));
    for record in text {
        let degraded = record.degraded.unwrap();
        assert_eq!(degraded.kind, DegradedKind::Incompatible);
        assert!(degraded.message.contains("not a shared library"), "{}", degraded.message);
    }
}

/// A host of its own, with no plugin beside it but `faulty`.
#[test]
fn a_plugin_of_ours_that_is_not_built_costs_its_own_runs() {
    let host = Host::new();
    let built = Path::new(env!("CARGO_BIN_EXE_inferhost"));
    let (program, library) =
        (host.path("inferhost"), format!("{DLL_PREFIX}inferhost_plugin_faulty{DLL_SUFFIX}"));
    std::fs::copy(built, &program).unwrap();
    std::fs::copy(built.parent().unwrap().join(&library), host.path(&library)).unwrap();
    let run = |plugin: &str| {
        let backends =
            faulty("good", "") + &faulty("absent", "").replace("\"faulty\"", &format!("{plugin:?}"));
        host.write("config.toml", &config("repetitions = 1", &backends));
        let mut command = std::process::Command::new(&program);
        command.args(["run", "config.toml", "--out", "out"]).current_dir(program.parent().unwrap());
        command.env("INFERHOST_CACHE_DIR", host.path("cache")).env("XDG_DATA_HOME", host.path("data"));
        command.env_remove("INFERHOST_PLUGIN_DIR").output().unwrap()
    };
    let mistyped = String::from_utf8(run("torhc").stderr).unwrap();
    assert!(
        mistyped.contains("backend `absent`: no plugin named `torhc` (did you mean `torch`?)"),
        "{mistyped}"
    );
    let told = String::from_utf8(run("torch").stderr).unwrap();
    assert!(told.contains("note: the plugin torch is not there: runs of absent are recorded as"), "{told}");
    let (absent, good): (Vec<_>, Vec<_>) = host.records().into_iter().partition(|r| r.backend == "absent");
    assert!(!good.is_empty() && absent.len() == good.len());
    assert!(good.iter().all(|r| r.status == Status::Ok), "{good:?}");
    for record in absent {
        let degraded = record.degraded.unwrap();
        let (kind, stage) = (DegradedKind::RuntimeMissing, Stage::Load);
        assert_eq!((degraded.kind, degraded.stage), (kind, stage), "{}", degraded.message);
        assert!(degraded.message.contains("cargo build --release -p inferhost-plugin-torch"));
    }
}

#[test]
fn prompts_can_come_from_a_text() {
    let Some(model) = shared("models/gpt2-wikitext-7m") else { return };
    let host = Host::new();
    host.write("text.txt", &"The quick brown fox jumps over the lazy dog. ".repeat(8));
    let text =
        config("repetitions = 1\nprompt_text = \"text.txt\"", CANDLE).replace(TINY, model.to_str().unwrap());
    host.matrix(&text).0.succeeds();
    let prompt =
        ["generate", "--plugin", "candle", "--model", model.to_str().unwrap(), "--prompt", "The game was"];
    let text = host.run(&[&prompt[..], &["--max-new-tokens", "8"]].concat()).succeeds().stdout.clone();
    assert!(text.trim().split(' ').count() >= 4, "{text}");
}

/// A golden model of 211 ids with a tokenizer that gives each id one byte: most of what it says is broken UTF-8.
fn model_of_bytes(host: &Host) -> PathBuf {
    let model = host.path("bytes");
    std::fs::create_dir(&model).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/gpt2-erf");
    for entry in std::fs::read_dir(golden).unwrap().flatten() {
        std::fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
    }
    // GPT-2's alphabet: visible Latin-1 stands for itself, the other bytes for characters from 256 on.
    let is_visible = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let hidden = (0..256).filter(|&byte| !is_visible(byte)).zip(256..);
    let names: BTreeMap<u32, u32> =
        (0..256).filter(|&byte| is_visible(byte)).map(|byte| (byte, byte)).chain(hidden).collect();
    let name = |byte: u32| char::from_u32(names[&byte]).unwrap().to_string();
    // Letters first, then what begins and continues two-byte characters.
    let bytes = (32..127).chain(0xc2..0xd0).chain(0x80..0xc0).chain(0..32).take(211);
    let vocab: BTreeMap<String, u32> = bytes.map(name).zip(0..).collect();
    host.write("bytes/vocab.json", &serde_json::to_string(&vocab).unwrap());
    host.write("bytes/merges.txt", "#version: 0.2\n");
    model
}

#[test]
fn a_prompt_is_continued_as_text_and_its_speed_told() {
    let host = Host::new();
    let model = model_of_bytes(&host);
    let tokenizer = inferhost::model::TokenizerFiles::find(&model).unwrap().load().unwrap();
    for (seed, prompt) in ["hello", "a b", "Zz"].into_iter().enumerate() {
        let seed = seed.to_string();
        let call = ["generate", "--plugin", "candle", "--model", model.to_str().unwrap(), "--prompt", prompt];
        let sampled = ["--max-new-tokens", "30", "--temperature", "1", "--seed", &seed];
        let json = host.run(&[&call[..], &sampled, &["--json"]].concat()).succeeds().stdout.clone();
        let json: Value = serde_json::from_str(&json).unwrap();
        let ids: Vec<Vec<u32>> = serde_json::from_value(json["tokens"].clone()).unwrap();
        let text = host.run(&[&call[..], &sampled].concat());
        assert_eq!(text.succeeds().stdout, tokenizer.decode(&ids[0]).unwrap() + "\n");
        let told = text.stderr.lines().last().unwrap();
        assert!(
            told.starts_with(&format!("{} prompt tokens, 30 new tokens, first token after ", prompt.len()))
        );
        assert!(told.contains(" ms, then ") && told.ends_with(" tokens/s"), "{told}");
        let one = host.run(&[&call[..], &["--max-new-tokens", "1", "--isolation", "none"]].concat());
        assert!(one.succeeds().stderr.trim_end().ends_with(" ms"), "one token has no rate: {}", one.stderr);
    }
}

#[test]
fn what_a_program_reads_is_json() {
    let host = Host::new();
    host.write("config.toml", &config("repetitions = 1", &faulty("good", "")));
    let parse = |args: &[&str]| serde_json::from_str::<Value>(&host.run(args).succeeds().stdout).unwrap();
    assert_eq!(parse(&["plan", "config.toml", "--json"])["runs"], 2);
    let run = parse(&["run", "config.toml", "--out", "out", "--json"]);
    assert_eq!((&run["planned"], &run["ok"]), (&Value::from(2), &Value::from(2)));
    assert_eq!(parse(&["report", "out", "--json"])["runs"]["planned"], 2);
    assert!(parse(&["backends", "--json"]).as_array().unwrap().iter().any(|b| b["name"] == "faulty"));
}

#[test]
fn what_the_cache_holds_is_made_again_where_it_was_damaged() {
    let host = Host::new();
    let cache = host.path("cache");
    let call = |command: &str| {
        let model = "synthetic:gpt2?layers=1&embd=4&heads=2&vocab=64&ctx=8";
        let args = [command, "--plugin", "ort", "--model", model, "--tokens", "tokens.json", "--json"];
        host.command(&args).env("INFERHOST_CACHE_DIR", &cache).output().unwrap()
    };
    host.write("tokens.json", "[[1, 2, 3]]");
    if !has_onnx_runtime() {
        return;
    }
    let sound = call("prefill");
    assert!(sound.status.success());
    for (folder, file) in [("artifacts", "model.onnx"), ("synthetic", "model.safetensors")] {
        let folder = std::fs::read_dir(cache.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let path = folder.map(|folder| folder.join(file)).find(|path| path.is_file()).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(call("prefill").stdout, sound.stdout, "{}", path.display());
    }
}

#[test]
fn two_runs_of_one_second_get_two_folders() {
    let host = Host::new();
    host.write("config.toml", &config("repetitions = 1", &faulty("good", "")));
    let mut hosts: Vec<_> = (0..3).map(|_| host.start(&["run", "config.toml"])).collect();
    assert!(hosts.iter_mut().all(|host| host.wait().unwrap().success()));
    assert_eq!(std::fs::read_dir(host.path("runs")).unwrap().count(), 3);
}
