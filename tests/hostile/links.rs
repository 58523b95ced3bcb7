//! Folders in which something else lies where a file is expected: links to elsewhere, pipes, devices, folders.

use super::support::{copy, one_line, seed};
use crate::support::{Host, TINY};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Puts something else in the place of `path`.
type Replace = fn(path: &Path, outside: &Path);

const REPLACEMENTS: [(&str, Replace); 5] = [
    ("a link to a file elsewhere", |path, outside| symlink(outside, path).unwrap()),
    ("a link to itself", |path, _| symlink(path.file_name().unwrap(), path).unwrap()),
    ("a device without end", |path, _| symlink("/dev/zero", path).unwrap()),
    ("a folder", |path, _| fs::create_dir(path).unwrap()),
    ("a pipe", |path, _| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
];

/// Runs the program; it ends, with a documented exit code and one line, and what lies outside is as it was.
fn ends(host: &Host, args: &[&str], outside: &Path, what: &str) {
    let before = fs::read(outside).unwrap();
    let mut command = host.command(&["20", env!("CARGO_BIN_EXE_inferhost")]);
    command = {
        let mut bounded = Command::new("timeout");
        bounded.args(command.get_args()).args(args);
        bounded.current_dir(command.get_current_dir().unwrap());
        bounded.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        bounded
    };
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0..=3)), "{what}: {args:?}: {}: {said}", output.status);
    assert!(!said.contains("internal error"), "{what}: {said}");
    said.lines().for_each(one_line);
    assert_eq!(fs::read(outside).unwrap(), before, "{what}: {args:?} wrote outside");
}

#[test]
fn nothing_in_a_run_folder_is_written_through_a_link_or_waited_for() {
    let config = String::from_utf8(seed("../configs/quickstart.toml")).unwrap();
    let files = [
        "manifest.json",
        "records.jsonl",
        "accuracy.jsonl",
        "run.lock",
        "telemetry.csv",
        "gpu.csv",
        "logs",
        "plots",
        "report.md",
        "report.html",
    ];
    for file in files {
        for (what, replace) in REPLACEMENTS {
            let host = Host::new();
            host.write("config.toml", &config);
            let outside = host.write("outside", "precious");
            let run = host.path("run");
            copy("../tests/hostile/run", &run);
            let path = run.join(file);
            let _ = fs::remove_file(&path);
            replace(&path, &outside);
            let what = format!("{what} as {file}");
            ends(&host, &["report", "run"], &outside, &what);
            ends(&host, &["compare", "run", "run", "--backend", "candle-f32=ort-fp32"], &outside, &what);
            ends(&host, &["merge", "run", "--out", "both"], &outside, &what);
            ends(&host, &["run", "config.toml", "--out", "run", "--resume"], &outside, &what);
        }
    }
}

#[test]
fn nothing_in_a_models_folder_is_waited_for() {
    let files = [
        "config.json",
        "generation_config.json",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "tokenizer.json",
        "genai_config.json",
        "model.onnx",
        "model.pt2",
    ];
    for file in files {
        for (what, replace) in REPLACEMENTS {
            let host = Host::new();
            let outside = host.write("outside", "precious");
            let model = host.path("model");
            copy("../tests/golden/gpt2-untied", &model);
            let path = model.join(file);
            let _ = fs::remove_file(&path);
            replace(&path, &outside);
            let args = ["prefill", "--plugin", "candle", "--model", "model", "--prompt", "a"];
            ends(&host, &args, &outside, &format!("{what} as {file}"));
        }
    }
}

#[test]
fn tokens_and_configs_that_are_no_files_are_one_line() {
    for (what, replace) in REPLACEMENTS {
        let host = Host::new();
        let outside = host.write("outside", "precious");
        replace(&host.path("ids.json"), &outside);
        let args = ["prefill", "--plugin", "candle", "--model", TINY, "--tokens", "ids.json"];
        if !matches!(what, "a pipe" | "a device without end") {
            // What a user names on the command line may be a pipe on purpose.
            ends(&host, &args, &outside, what);
            ends(&host, &["plan", "ids.json"], &outside, what);
        }
    }
}
