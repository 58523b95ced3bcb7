//! What is wrong with a machine and its plugins, told by the real program where nothing works.

use crate::support::{Ended, Host, has_onnx_runtime, skipped};
use inferhost::doctor::answer::{LOGITS, MODEL, PROMPTS, TOKENS};
use serde_json::Value;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};
use std::process::Command;

fn library(name: &str) -> String {
    format!("{DLL_PREFIX}inferhost_plugin_{name}{DLL_SUFFIX}")
}

/// Beside the program under test.
fn built(file: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_inferhost")).with_file_name(file)
}

/// The report of one plugin and its only entry.
#[track_caller]
fn look(host: &Host, plugin: &str, variables: &[(&str, &str)]) -> (Ended, Value) {
    let mut command = host.command(&["doctor", "--plugin", plugin, "--json", "--deadline-s", "20"]);
    command.env_remove("LIBTORCH").env_remove("LD_LIBRARY_PATH").envs(variables.iter().copied());
    let ended = Ended::of(command.output().unwrap());
    let report: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {}", ended.stderr));
    assert_eq!((&report["schema"], report["plugins"].as_array().unwrap().len()), (&1.into(), 1), "{report}");
    let plugin = report["plugins"][0].clone();
    (ended, plugin)
}

/// The check of that name, which is there once.
#[track_caller]
fn check<'a>(of: &'a Value, name: &str) -> &'a Value {
    let mut found = of["checks"].as_array().unwrap().iter().filter(|check| check["name"] == name);
    let check = found.next().unwrap_or_else(|| panic!("no check `{name}` in {of}"));
    assert!(found.next().is_none(), "{of}");
    check
}

#[track_caller]
fn says(check: &Value, level: &str, parts: &[&str]) {
    assert_eq!(check["level"], level, "{check}");
    for part in parts {
        let text =
            format!("{} {}", check["message"].as_str().unwrap(), check["fix"].as_str().unwrap_or_default());
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

/// A library made of C `source` in the host's folder; none, with the reason printed, where there is no compiler.
fn compiled(host: &Host, name: &str, source: &str, arguments: &[&str]) -> Option<PathBuf> {
    let path = host.path(name);
    let from = host.write(&format!("{name}.c"), source);
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-o"]).arg(&path).arg(from).args(arguments).current_dir(host.path("."));
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(path)
        }
        Err(error) => {
            skipped(&format!("cc cannot be run ({error})"));
            None
        }
    }
}

#[test]
fn the_known_answer_is_what_candle_computes_in_64_bits() {
    let host = Host::new();
    host.write("tokens.json", &serde_json::to_string(&PROMPTS).unwrap());
    let common = [
        "--plugin",
        "candle",
        "--option",
        "dtype=f64",
        "--model",
        MODEL,
        "--tokens",
        "tokens.json",
        "--json",
    ];
    let prefill = host.run(&[&["prefill"], &common[..]].concat());
    let found: Value = serde_json::from_str(&prefill.succeeds().stdout).unwrap();
    let found: Vec<Vec<f64>> = serde_json::from_value(found["logits"].clone()).unwrap();
    for (found, known) in found.iter().flatten().zip(LOGITS.iter().flatten()) {
        assert!((found - known).abs() < 1e-9, "{found} {known}");
    }
    let steps = TOKENS[0].len().to_string();
    let generate = host.run(&[&["generate", "--max-new-tokens", &steps], &common[..]].concat());
    let found: Value = serde_json::from_str(&generate.succeeds().stdout).unwrap();
    assert_eq!(found["tokens"], serde_json::to_value(TOKENS).unwrap());
}

#[test]
fn healthy_plugins_have_nothing_to_do() {
    let host = Host::new();
    let (ended, candle) = look(&host, "candle", &[]);
    ended.succeeds();
    says(check(&candle, "known answer"), "ok", &["right in f32", "tokens equal"]);
    says(check(&candle, "interface"), "ok", &["built against 1.", "takes 1.x"]);
    assert_eq!((&candle["level"], &candle["fix"]), (&"ok".into(), &Value::Null));
    assert_eq!(candle["sha256"].as_str().unwrap().len(), 64);
    if !has_onnx_runtime() {
        return;
    }
    let (ended, ort) = look(&host, "ort", &[]);
    ended.succeeds();
    says(check(&ort, "runtime"), "ok", &["ONNX Runtime 1.", "libonnxruntime", "(by INFERHOST_RUNTIMES)"]);
    says(check(&ort, "known answer"), "ok", &["right in f32"]);
    if cfg!(target_os = "linux") {
        says(check(&ort, "runtime libs"), "ok", &["all found"]);
        assert!(ort["dependencies"][1]["resolved"].as_u64().unwrap() > 0, "{ort}");
    }
}

#[test]
fn the_report_for_people_is_short_and_names_what_fails() {
    let host = Host::new();
    let ended = host.run(&["doctor", "--plugin", "candle"]);
    let lines = ended.succeeds().stdout.lines().count();
    assert!(lines <= 30, "{}", ended.stdout);
    assert!(ended.stdout.contains("candle  ok: nothing to do"), "{}", ended.stdout);
    // Built for tests, it lies beside the program, and runs no model.
    let ended = host.run(&["doctor", "--plugin", "faulty"]);
    ended.fails(3, &["1 of 1 plugins do not work"]);
    assert!(ended.stdout.contains("FAIL  it does not compute the model"), "{}", ended.stdout);
}

#[test]
fn a_runtime_library_that_is_not_there_is_named_with_the_variable_that_hides_it() {
    let (ended, ort) = look(&Host::new(), "ort", &[("ORT_DYLIB_PATH", "/nowhere/at/all")]);
    ended.fails(3, &["1 of 1 plugins"]);
    says(check(&ort, "runtime"), "fail", &["/nowhere/at/all", "unset ORT_DYLIB_PATH"]);
    assert_eq!(ort["fix"], check(&ort, "runtime")["fix"]);
    let host = Host::new();
    let wrong = host.write(&format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}"), "no library");
    let (_, ort) = look(&host, "ort", &[("ORT_DYLIB_PATH", wrong.to_str().unwrap())]);
    says(check(&ort, "runtime"), "fail", &["cannot use ONNX Runtime at", "unset ORT_DYLIB_PATH"]);
    says(check(&ort, "runtime libs"), "warn", &["cannot be told", "no shared library"]);
    let (_, ort) = look(&host, "ort", &[("INFERHOST_RUNTIMES", "/nowhere/at/all")]);
    // A library of the system's, or a .runtimes folder above the program, may serve in its place.
    if ort["level"] == "fail" {
        says(check(&ort, "runtime"), "fail", &["/nowhere/at/all/onnxruntime", "scripts/runtimes.sh ort"]);
    }
}

#[test]
fn files_that_are_no_plugins_are_lines_of_the_report() {
    let host = Host::new();
    let whole = std::fs::read(built(&library("candle"))).unwrap();
    let other = Path::new(env!("CARGO_BIN_EXE_inferhost")).with_file_name("../fixtures/debug/examples");
    std::fs::write(host.path(&library("garbage")), "no library at all").unwrap();
    std::fs::write(host.path(&library("empty")), "").unwrap();
    std::fs::write(host.path(&library("cut")), &whole[..whole.len() / 8]).unwrap();
    std::fs::write(host.path(&library("head")), &whole[..100]).unwrap();
    std::fs::create_dir(host.path(&library("folder"))).unwrap();
    let mut cases = vec![
        ("garbage", "is not a shared library"),
        ("empty", "is not a shared library"),
        // The loader refuses it, or dies of what is not there.
        ("cut", ""),
        ("head", "could not load"),
        ("folder", "it is a folder"),
    ];
    let fixture = other.join(format!("{DLL_PREFIX}major_2{DLL_SUFFIX}"));
    if fixture.is_file() {
        std::fs::copy(fixture, host.path(&library("major"))).unwrap();
        cases.push(("major", "was built for plugin interface 2"));
    } else {
        skipped(&format!("{} is not there; run scripts/fixtures.sh", fixture.display()));
    }
    let folder = host.path(".");
    let ended = host.run(&["doctor", "--json", "--plugin-dir", folder.to_str().unwrap()]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let of = |name: &str| report["plugins"].as_array().unwrap().iter().find(|of| of["name"] == name).unwrap();
    for (name, said) in cases {
        let plugin = of(name);
        says(check(plugin, "interface"), "fail", &[said, "takes 1.x"]);
        assert!(plugin["fix"].is_string(), "{plugin}");
    }
    if cfg!(target_os = "linux") {
        says(check(of("cut"), "libraries"), "warn", &["it is cut short"]);
    }
    assert_eq!(of("candle")["level"], "ok", "the others hide nothing: {}", of("candle"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_missing_dependency_is_named_with_who_needs_it_and_where_it_was_sought() {
    let host = Host::new();
    let Some(gone) =
        compiled(&host, "libgone.so", "int gone(void) { return 1; }\n", &["-Wl,-soname,libgone.so.7"])
    else {
        return;
    };
    std::fs::create_dir(host.path("own")).unwrap();
    let needs = ["-L.", "-lgone", "-Wl,--no-as-needed"];
    let origin = [&needs[..], &["-Wl,-rpath,$ORIGIN/own"]].concat();
    let middle = "int gone(void); int middle(void) { return gone(); }\n";
    compiled(&host, "libmiddle.so", middle, &needs).unwrap();
    compiled(&host, &library("direct"), middle, &origin).unwrap();
    let through = "int middle(void); int through(void) { return middle(); }\n";
    let through_needs = ["-L.", "-lmiddle", "-Wl,-rpath,$ORIGIN", "-Wl,--allow-shlib-undefined"];
    compiled(&host, &library("through"), through, &through_needs).unwrap();
    std::fs::remove_file(&gone).unwrap();
    let path = |name: &str| host.path(&library(name)).display().to_string();
    let (ended, direct) = look(&host, &path("direct"), &[("LD_LIBRARY_PATH", "/nowhere/else")]);
    assert_eq!(ended.code, Some(3));
    let own = format!("RUNPATH {}", host.path("own").canonicalize().unwrap().display());
    let parts =
        ["libgone.so.7 is not found", &path("direct"), &own, "LD_LIBRARY_PATH /nowhere/else", "/usr/lib"];
    says(check(&direct, "libraries"), "fail", &parts);
    assert!(direct["fix"].as_str().unwrap().contains("install what holds libgone.so.7"), "{direct}");
    let (_, through) = look(&host, &path("through"), &[]);
    let missing = &through["dependencies"][0]["missing"][0];
    assert_eq!(missing["name"], "libgone.so.7", "{through}");
    assert!(missing["needed_by"].as_str().unwrap().ends_with("libmiddle.so"), "{through}");
    // Found where the plugin looks, it is no longer missing, and the file is still no plugin.
    std::fs::create_dir_all(host.path("own")).unwrap();
    compiled(&host, "own/libgone.so.7", "int gone(void) { return 1; }\n", &[]).unwrap();
    let (_, direct) = look(&host, &path("direct"), &[]);
    says(check(&direct, "libraries"), "ok", &["all found"]);
    says(check(&direct, "interface"), "fail", &["exports no inferhost plugin"]);
}

#[cfg(unix)]
#[test]
fn plugins_that_crash_hang_or_shout_are_lines_and_hide_no_other() {
    let host = Host::new();
    let constructor = |body: &str| {
        format!(
            "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n\
             __attribute__((constructor)) static void begin(void) {{ {body} }}\n"
        )
    };
    for (name, body) in [
        ("crashes", "abort();"),
        ("hangs", "for (;;) pause();"),
        ("exits", "printf(\"\\033[31mred\\007\\n\"); fflush(stdout); _exit(0);"),
    ] {
        if compiled(&host, &library(name), &constructor(body), &[]).is_none() {
            return;
        }
    }
    // What never ends when it is opened.
    let made = Command::new("mkfifo").arg(host.path(&library("pipe"))).status().unwrap();
    assert!(made.success());
    let folder = host.path(".");
    let arguments = ["doctor", "--deadline-s", "2", "--plugin-dir", folder.to_str().unwrap()];
    let ended = host.run(&arguments);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    for said in [
        "SIGABRT",
        "no answer within 2.0 s, so the worker was killed",
        "its file cannot be read: it is no regular file",
        "exited with code 0; its last words: red",
        "candle  ok: nothing to do",
    ] {
        assert!(ended.stdout.contains(said), "`{said}` is not in: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains('\u{1b}'), "{}", ended.stdout);
}

#[test]
fn a_machine_on_which_nothing_can_be_written_is_told_line_by_line() {
    let host = Host::new();
    let file = host.write("file", "");
    let mut command =
        host.command(&["doctor", "--plugin", "candle", "--json", "--plugin-dir", "/no/such/folder"]);
    command.env("INFERHOST_CACHE_DIR", &file).env("TMPDIR", &file).env("TEMP", &file).env_remove("HOME");
    let ended = Ended::of(command.output().unwrap());
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    says(check(&report, "plugin folders"), "warn", &["/no/such/folder is no folder"]);
    says(check(&report, "cache folder"), "fail", &["cannot be written", "INFERHOST_CACHE_DIR"]);
    says(check(&report, "temp folder"), "fail", &["cannot be written", "TMPDIR"]);
    says(check(&report, "worker"), "fail", &["no worker process can be started"]);
    let plugin = &report["plugins"][0];
    assert_eq!((&plugin["name"], &plugin["level"]), (&"candle".into(), &"warn".into()), "{plugin}");
    assert!(plugin["sha256"].is_string(), "{plugin}");
}

/// Without descriptors no worker can be started; as much as can be told without one is.
#[cfg(target_os = "linux")]
#[test]
fn a_host_without_descriptors_still_reports() {
    let host = Host::new();
    let program = env!("CARGO_BIN_EXE_inferhost");
    let mut command = Command::new("sh");
    let script = format!("ulimit -n 8; exec {program} doctor --plugin candle --json");
    command.args(["-c", &script]).current_dir(host.path(".")).env("INFERHOST_CACHE_DIR", host.path("cache"));
    let ended = Ended::of(command.output().unwrap());
    let report: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {}", ended.stderr));
    assert!(
        !ended.stderr.contains("panicked") && !ended.stderr.contains("internal error"),
        "{}",
        ended.stderr
    );
    says(check(&report, "worker"), "fail", &["no worker process can be started", "ulimit"]);
    says(check(&report, "limits"), "warn", &["8 file descriptors", "ulimit -n"]);
}

#[test]
fn a_plugin_that_is_not_there_fails_where_it_was_asked_for_and_warns_where_not() {
    let host = Host::new();
    let (ended, absent) = look(&host, "candel", &[]);
    assert_eq!(ended.code, Some(3));
    says(check(&absent, "file"), "fail", &["did you mean `candle`"]);
    // A program alone in a folder, with none of its plugins.
    let program = host.path("inferhost");
    std::fs::copy(env!("CARGO_BIN_EXE_inferhost"), &program).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(host.path(".")).env_remove("INFERHOST_PLUGIN_DIR");
        Ended::of(
            command
                .env("HOME", host.path("."))
                .env("INFERHOST_CACHE_DIR", host.path("cache"))
                .output()
                .unwrap(),
        )
    };
    let ended = run(&["doctor", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let levels: Vec<_> = report["plugins"].as_array().unwrap().iter().map(|of| of["level"].clone()).collect();
    assert_eq!(levels, ["warn", "warn", "warn"]);
    says(check(&report["plugins"][1], "file"), "warn", &["cargo build --release -p inferhost-plugin-ort"]);
    let ended = run(&["doctor", "--plugin", "ort"]);
    assert_eq!(ended.code, Some(3));
    assert!(ended.stdout.contains("fix: cargo build --release -p inferhost-plugin-ort"), "{}", ended.stdout);
}
