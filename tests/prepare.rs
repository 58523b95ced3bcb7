//! `inferhost prepare` and `inferhost artifacts`: what is built is what was asked for, runs, and agrees with its model.

use crate::support::{Host, TINY, config, has_onnx_runtime, shared, skipped};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PRECISIONS: [&str; 9] = [
    "fp32",
    "fp16",
    "bf16",
    "int8-dynamic",
    "int8-dynamic?per_channel=true",
    "int8-weight?block=32",
    "int4-weight",
    "int8-qdq?samples=2",
    "fp8-qdq?samples=2",
];
/// Heads of 16, which `GroupQueryAttention` takes.
const LLAMA: &str = "synthetic:llama?layers=2&embd=64&heads=4&kv_heads=2&vocab=97&ctx=64&inner=96";

fn prepare(host: &Host, more: &[&str]) -> Value {
    let ended = host.run(&[&["prepare", "--json"], more].concat());
    serde_json::from_str(&ended.succeeds().stdout).unwrap()
}

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(case)
}

#[test]
fn every_precision_of_every_family_agrees_with_its_model() {
    if !has_onnx_runtime() {
        return;
    }
    let host = Host::new();
    let cases = ["gpt2-untied", "llama-gqa", "qwen2-bias", "mistral-window"].map(golden);
    let mut models: Vec<String> = cases.iter().map(|case| case.display().to_string()).collect();
    models.extend([LLAMA.to_string(), "synthetic:gpt2?layers=2&embd=48&heads=3&vocab=97&ctx=64".into()]);
    for model in &models {
        for (precision, dialect) in PRECISIONS.iter().flat_map(|p| [(p, "ort"), (p, "portable")]) {
            let joint = if precision.contains('?') { '&' } else { '?' };
            let artifact = format!("onnx-{precision}{joint}dialect={dialect}");
            let report = prepare(&host, &["--model", model, "--artifact", &artifact]);
            // ONNX Runtime has no bf16 products on the CPU: such a graph is for others.
            let runs_here = (*precision, dialect) != ("bf16", "portable");
            assert_eq!(report["agreement"].is_object(), runs_here, "{model} {artifact}: {report}");
            assert!(report["artifact"]["coverage"]["products"].is_object());
        }
    }
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let sha256 = |precision: &str| {
        let host = Host::new();
        let artifact = format!("onnx-{precision}");
        let ended = host
            .command(&["prepare", "--json", "--no-check", "--model", LLAMA, "--artifact", &artifact])
            .env("INFERHOST_CACHE_DIR", host.path("cache"))
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
        report["artifact"]["sha256"].as_str().unwrap().to_string()
    };
    for precision in ["fp32", "fp16", "int8-dynamic", "int4-weight"] {
        assert_eq!(sha256(precision), sha256(precision), "{precision}");
    }
}

#[test]
fn a_copy_is_whole_and_runs() {
    if !has_onnx_runtime() {
        return;
    }
    let host = Host::new();
    host.write("tokens.json", "[[1, 2, 3], [4]]");
    prepare(&host, &["--model", LLAMA, "--out", "copy/here"]);
    let logits = |model: &str| {
        let ended =
            host.run(&["prefill", "--plugin", "ort", "--model", model, "--tokens", "tokens.json", "--json"]);
        ended.succeeds().stdout.clone()
    };
    assert_eq!(logits("copy/here"), logits(LLAMA));
    assert!(host.path("copy/here/artifact.json").is_file());
    host.run(&["prepare", "--model", LLAMA, "--out", "copy/here"]).fails(2, &["copy/here", "not empty"]);
}

#[test]
fn a_cache_that_grows_in_place_gives_what_whole_rows_give() {
    if !has_onnx_runtime() {
        return;
    }
    let host = Host::new();
    host.write("tokens.json", "[[1, 2, 3, 4, 5, 6, 7], [8], [9, 10, 11]]");
    for artifact in ["onnx-fp32", "onnx-fp32?dialect=portable"] {
        let tokens = |more: &[&str]| {
            let fixed =
                ["generate", "--model", LLAMA, "--tokens", "tokens.json", "--max-new-tokens", "20", "--json"];
            host.run(&[&fixed[..], more].concat()).succeeds().stdout.clone()
        };
        let cached = tokens(&["--plugin", "ort", "--artifact", artifact]);
        assert_eq!(cached, tokens(&["--plugin", "ort", "--artifact", artifact, "--no-cache"]), "{artifact}");
        assert_eq!(cached, tokens(&["--plugin", "candle", "--option", "dtype=f64"]), "{artifact}");
    }
}

#[test]
fn two_processes_build_an_artifact_once() {
    let host = Host::new();
    let args = ["prepare", "--no-check", "--model", "synthetic:gpt2-5m", "--artifact", "onnx-int8-weight"];
    let start = || {
        let mut command = host.command(&args);
        command.env("INFERHOST_CACHE_DIR", host.path("cache")).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let said: Vec<String> = [start(), start()]
        .map(|child| String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap())
        .into();
    assert!(said.iter().all(|said| said.contains("100.0% int8")), "{said:?}");
    let folders = fs::read_dir(host.path("cache/artifacts")).unwrap().flatten();
    assert_eq!(folders.filter(|entry| entry.path().is_dir()).count(), 1);
}

#[test]
fn a_damaged_artifact_is_found_and_built_again() {
    let host = Host::new();
    let run = |args: &[&str]| {
        let ended = host.command(args).env("INFERHOST_CACHE_DIR", host.path("cache")).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (ended.status.code(), text(ended.stdout), text(ended.stderr))
    };
    let build = ["prepare", "--no-check", "--model", TINY];
    assert_eq!(run(&build).0, Some(0));
    let listed = run(&["artifacts", "list"]);
    assert!(
        listed.1.contains("onnx-fp32 of synthetic:gpt2") && listed.1.contains("1 artifacts"),
        "{}",
        listed.1
    );
    assert_eq!(run(&["artifacts", "verify"]).0, Some(0));

    let artifact = fs::read_dir(host.path("cache/artifacts")).unwrap().flatten();
    let folder = artifact.map(|entry| entry.path()).find(|path| path.is_dir()).unwrap();
    let graph = folder.join("model.onnx");
    let mut bytes = fs::read(&graph).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&graph, &bytes).unwrap();
    let (code, out, err) = run(&["artifacts", "verify"]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("DAMAGED: model.onnx is not as it was written"), "{out}");
    let (code, _, err) = run(&build);
    assert_eq!(code, Some(0));
    assert!(err.contains("note: onnx-fp32 of") && err.contains("damaged in the cache"), "{err}");
    assert_eq!(run(&["artifacts", "verify"]).0, Some(0));
    assert!(run(&["artifacts", "prune", "--older-than", "1"]).1.starts_with("0 artifacts removed"));
    assert!(run(&["artifacts", "prune"]).1.starts_with("1 artifacts removed"));
}

#[test]
fn a_matrix_runs_the_artifacts_that_its_backends_name() {
    if !has_onnx_runtime() {
        return;
    }
    let host = Host::new();
    host.write("corpus.json", &format!("{:?}", (0..600).map(|i| i * 7 % 16).collect::<Vec<_>>()));
    let backend = |name: &str, artifact: &str| {
        format!("[[backends]]\nname = \"{name}\"\nplugin = \"ort\"\nartifact = \"{artifact}\"\n")
    };
    let backends = backend("fp32", "onnx-fp32")
        + &backend("int8", "onnx-int8-dynamic?per_channel=true")
        + &backend("qdq", "onnx-int8-qdq?calibration=entropy&samples=2&corpus=corpus.json");
    let (ended, records) = host.matrix(&config("repetitions = 1", &backends));
    ended.succeeds();
    assert!(records.iter().all(|record| record.degraded.is_none()) && records.len() == 6);
    let manifest = fs::read_to_string(host.path("out/manifest.json")).unwrap();
    assert!(manifest.contains("onnx-int8-dynamic?per_channel=true"), "{manifest}");
}

/// A folder with the files of a golden case, its one weight file changed.
fn damaged(host: &Host, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let (from, to) = (golden("gpt2-tanh"), host.path(name));
    fs::create_dir(&to).unwrap();
    fs::copy(from.join("config.json"), to.join("config.json")).unwrap();
    let mut weights = fs::read(from.join("model.safetensors")).unwrap();
    change(&mut weights);
    fs::write(to.join("model.safetensors"), weights).unwrap();
    to.display().to_string()
}

#[test]
fn mistakes_are_one_clear_line() {
    let host = Host::new();
    let nan = damaged(&host, "nan", |bytes| {
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    let short = damaged(&host, "short", |bytes| bytes.truncate(bytes.len() - 100));
    let renamed = damaged(&host, "renamed", |bytes| {
        let name = b"h.0.ln_1.weight";
        let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
        bytes[at] = b'x';
    });
    host.write("short.json", "[1, 2, 3]");
    host.write("wild.json", "[1, 99999]");
    host.write("text.txt", "no tokenizer reads this");
    let graph = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/optimum/gpt2").display().to_string();
    let cases: [(&str, &str, i32, &[&str]); 11] = [
        (&nan, "onnx-fp32", 2, &["holds NaN or infinity", "model.safetensors"]),
        (&nan, "onnx-int8-weight", 2, &["holds NaN or infinity"]),
        (&short, "onnx-fp32", 2, &["truncated or damaged"]),
        (&renamed, "onnx-fp32", 2, &["h.0.ln_1.weight", "is missing"]),
        (&graph, "onnx-fp32", 2, &["ONNX already"]),
        (TINY, "onnx-fp3", 2, &["did you mean onnx-fp32?"]),
        (TINY, "onnx-int4-weight?block=31", 2, &["block=31"]),
        (TINY, "onnx-int8-qdq?corpus=none.txt", 2, &["corpus none.txt", "No such file"]),
        (TINY, "onnx-int8-qdq?corpus=short.json", 2, &["corpus has 3 tokens"]),
        (TINY, "onnx-int8-qdq?corpus=wild.json", 2, &["token id 99999 is outside the vocabulary of 16"]),
        (TINY, "onnx-int8-qdq?corpus=text.txt", 2, &["corpus text.txt", "no tokenizer"]),
    ];
    for (model, artifact, code, parts) in cases {
        host.run(&["prepare", "--model", model, "--artifact", artifact]).fails(code, parts);
    }
}

/// In namespaces of its own, where this user may mount a file system of 24 MB.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_nothing_half_done() {
    let host = Host::new();
    let small = host.path("small");
    fs::create_dir(&small).unwrap();
    let script = "mount -t tmpfs -o size=24m none small || exit 77; \"$0\" \"$@\"; code=$?; \
                  ls small/artifacts; exit $code";
    let inferhost = host.command(&["prepare", "--no-check", "--model", "synthetic:gpt2-5m"]);
    let mut command = Command::new("unshare");
    command.args(["-r", "-m", "sh", "-c", script]).arg(inferhost.get_program()).args(inferhost.get_args());
    command.current_dir(host.path("")).env("INFERHOST_CACHE_DIR", &small);
    let ended = command.output();
    let Ok(ended) = ended.map_err(|e| e.to_string()) else {
        return skipped("there is no unshare here");
    };
    if matches!(ended.status.code(), Some(77) | None)
        || ended.stdout.is_empty() && ended.status.code() != Some(1)
    {
        return skipped("this user may not mount a small file system");
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device") && said.lines().count() == 1, "{said}");
    let left = String::from_utf8_lossy(&ended.stdout);
    assert!(left.lines().all(|name| name.ends_with(".lock")), "{left}");
}

/// The trained model and its text, where they are there.
#[test]
fn calibration_runs_on_text() {
    let (Some(model), Some(text)) = (shared("models/gpt2-wikitext-7m"), shared("data/wikitext-2-test-a.txt"))
    else {
        return;
    };
    if !has_onnx_runtime() {
        return;
    }
    let host = Host::new();
    let model = model.display().to_string();
    for (precision, method) in
        ["int8", "fp8"].iter().flat_map(|p| ["minmax", "percentile", "entropy"].map(|method| (p, method)))
    {
        let artifact =
            format!("onnx-{precision}-qdq?calibration={method}&samples=3&corpus={}", text.display());
        let report = prepare(&host, &["--model", &model, "--artifact", &artifact]);
        assert_eq!(report["artifact"]["calibration"]["tokens"], 3 * 8 * 128, "{report}");
        assert_eq!(report["artifact"]["coverage"]["products"][precision], 17, "{report}");
    }
}
