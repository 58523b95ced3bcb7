//! The library and the driver, found or not: every way in which they can be missing is one line that says what and how to
//! mend it, and no order of calls crashes on a machine that has neither.
//!
//! The variables and the working folder are a process's own, so each case runs in a child: this test program again, with
//! what to ask in `ASK`. TensorRT's lean libraries (`scripts/runtimes.sh tensorrt-lean`) are taken where they are.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use inferhost_plugin_api::{Description, Error, ErrorKind, ModelForm, Plugin};
use inferhost_plugin_tensorrt::TensorRt;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The options to ask with, as JSON; where it is set, this process is a child.
const ASK: &str = "INFERHOST_TEST_ASK";
/// Where the child writes its answer.
const ANSWER: &str = "INFERHOST_TEST_ANSWER";

/// A line on the terminal itself: the test harness swallows what a passing test prints.
fn skipped(line: &str) {
    let mut terminal = std::io::stderr();
    writeln!(terminal, "skipped: {line}").unwrap();
}

/// What a child found.
#[derive(serde::Serialize, serde::Deserialize)]
struct Answer {
    description: Description,
    /// Of opening, of asking what a build would be, of building; twice each.
    errors: Vec<Error>,
}

#[test]
fn child() {
    let Ok(options) = std::env::var(ASK) else { return };
    let options: Value = serde_json::from_str(&options).unwrap();
    let plugin = Plugin::in_process::<TensorRt>();
    let builder = plugin.builder().unwrap().unwrap();
    let mut errors = Vec::new();
    for _ in 0..2 {
        errors.extend(plugin.open(Path::new("."), ModelForm::EnginePlan, &options).err());
        errors.extend(builder.identity(&options).err());
    }
    let answer = Answer { description: plugin.describe(&options).unwrap(), errors };
    std::fs::write(std::env::var(ANSWER).unwrap(), serde_json::to_string(&answer).unwrap()).unwrap();
}

/// Asks in a process of its own, in `folder`, with `variables` and no others that matter.
fn ask(folder: &Path, options: &Value, variables: &[(&str, &Path)]) -> Answer {
    let to = folder.join("answer.json");
    // Elsewhere, so that it finds no runtimes above itself.
    let (own, program) = (std::env::current_exe().unwrap(), folder.join("asks"));
    if !program.exists() && std::fs::hard_link(&own, &program).is_err() {
        std::fs::copy(&own, &program).unwrap();
    }
    let mut command = Command::new(program);
    command.args(["--exact", "child", "--nocapture"]).current_dir(folder);
    command.env_remove("INFERHOST_TENSORRT").env_remove("LD_LIBRARY_PATH");
    command.env("INFERHOST_RUNTIMES", folder.join("none")).envs(variables.iter().copied());
    let output = command.env(ASK, options.to_string()).env(ANSWER, &to).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}\n{stdout}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    // What a native library prints to stdout would be taken for the plugin's answer.
    let noise = stdout.lines().filter(|line| {
        !line.trim().is_empty() && !line.starts_with("running 1 test") && !line.starts_with("test ")
    });
    assert_eq!(noise.collect::<Vec<_>>(), Vec::<&str>::new(), "noise");
    serde_json::from_str(&std::fs::read_to_string(to).unwrap()).unwrap()
}

/// `folder` with the runtimes that this repository's script fetched.
fn fetched() -> PathBuf {
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.runtimes");
    std::env::var_os("INFERHOST_RUNTIMES").map_or(usual, PathBuf::from)
}

/// The lean libraries that are here, by version.
fn lean() -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(fetched().join("tensorrt-lean")).into_iter().flatten().flatten();
    let mut found: Vec<(String, PathBuf)> =
        entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect();
    found.retain(|(version, _)| version.starts_with("11."));
    found.sort();
    if found.is_empty() {
        skipped("TensorRT's lean libraries: none is here; run scripts/runtimes.sh tensorrt-lean");
    }
    found
}

fn has_driver() -> bool {
    Path::new("/proc/driver/nvidia/version").exists()
}

/// A library made from `source`; none without a C compiler, which is said.
fn compiled(folder: &Path, name: &str, source: &str, more: &[&str]) -> Option<PathBuf> {
    let (file, library) = (folder.join("source.c"), folder.join(name));
    std::fs::write(&file, source).unwrap();
    let made =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&file).args(more).status();
    if !made.is_ok_and(|status| status.success()) {
        skipped("stand-ins for TensorRT's library: no C compiler");
        return None;
    }
    Some(library)
}

fn one_line(text: &str) -> &str {
    assert!(!text.contains('\n') && !text.contains("Os {") && text.len() < 1500, "{text}");
    text
}

#[test]
fn every_lean_library_tells_its_version_and_that_it_builds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (version, place) in lean() {
        for library in [place.clone(), place.join("libnvinfer_lean.so.11")] {
            let answer = ask(folder.path(), &json!({"library": library}), &[]);
            let runtime = answer.description.runtime;
            assert_eq!(runtime.version.unwrap(), format!("{version} lean"));
            assert_eq!(runtime.library.unwrap(), place.join("libnvinfer_lean.so.11").display().to_string());
            if !has_driver() {
                let problem = runtime.problem.unwrap();
                assert!(
                    one_line(&problem).starts_with("no CUDA driver: libcuda.so.1 was not found; install"),
                    "{problem}"
                );
            }
        }
    }
}

#[test]
fn without_a_driver_nothing_crashes_and_the_driver_is_named() {
    if has_driver() {
        return skipped("a machine without a driver: this one has one");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut cases = vec![json!({}), json!({"device": "cuda:7"})];
    cases.extend(lean().into_iter().map(|(_, place)| json!({"library": place})));
    for options in cases {
        let answer = ask(folder.path(), &options, &[]);
        assert_eq!(answer.errors.len(), 4);
        for error in answer.errors {
            assert_eq!(error.kind, ErrorKind::RuntimeMissing, "{error}");
            assert!(one_line(&error.message).starts_with("no CUDA driver: libcuda.so.1"), "{error}");
        }
        assert_eq!(answer.description.devices, ["cuda:0"]);
        assert!(answer.description.precisions.contains(&"fp8".to_string()));
    }
}

#[test]
fn the_first_of_the_ways_to_name_a_library_wins() {
    let lean = lean();
    let [(old, old_place), .., (new, new_place)] = lean.as_slice() else {
        return skipped("the search order: it takes two lean libraries");
    };
    let folder = tempfile::tempdir().unwrap();
    let version = |options: &Value, variables: &[(&str, &Path)]| {
        ask(folder.path(), options, variables).description.runtime.version.unwrap_or_default()
    };
    let by_option = json!({"library": old_place});
    assert_eq!(version(&by_option, &[("INFERHOST_TENSORRT", new_place)]), format!("{old} lean"));
    let runtimes = fetched();
    let by_variable: [(&str, &Path); 2] =
        [("INFERHOST_TENSORRT", old_place), ("INFERHOST_RUNTIMES", &runtimes)];
    assert_eq!(version(&json!({}), &by_variable), format!("{old} lean"));
    assert_eq!(version(&json!({}), &[("INFERHOST_RUNTIMES", &runtimes)]), format!("{new} lean"));
    assert_eq!(version(&json!({}), &[("LD_LIBRARY_PATH", old_place)]), format!("{old} lean"));
}

#[test]
fn what_is_no_library_of_tensorrt_11_is_told_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, text) = (folder.path().join("empty.so"), folder.path().join("text.so"));
    std::fs::write(&empty, "").unwrap();
    std::fs::write(
        &text,
        "not a library, but a text that is long enough for the head of one, which has 64 bytes",
    )
    .unwrap();
    let mut cases: Vec<(PathBuf, &str)> = vec![
        (folder.path().join("absent"), "which does not exist, expected a folder or libnvinfer.so.11"),
        (TempDir::keep(tempfile::tempdir_in(folder.path()).unwrap()), "which holds no libnvinfer.so.11"),
        (empty, "file too short"),
        (text, "invalid ELF header"),
    ];
    let version = |number: u32| format!("int getInferLibVersion(void) {{ return {number}; }}\n");
    let build = "int getInferLibBuildVersion(void) { return 26; }\n";
    let runtime = "void *createInferRuntime_INTERNAL(void *l, int v) { return 0; }\n";
    let stand_ins = [
        ("ten.so", version(100_300) + build, "is TensorRT 10.3.0.26, but this plugin speaks TensorRT 11"),
        ("eight.so", version(8601), "is TensorRT 8.6.1.0, but this plugin speaks TensorRT 11"),
        ("twelve.so", version(120_000) + runtime, "is TensorRT 12.0.0.0, but this plugin speaks TensorRT 11"),
        ("other.so", "int other;\n".into(), "it exports no getInferLibVersion, so it is not TensorRT"),
        ("half.so", version(110_400), "it exports no createInferRuntime_INTERNAL"),
    ];
    for (name, source, told) in stand_ins {
        let Some(library) = compiled(folder.path(), name, &source, &[]) else { return };
        cases.push((library, told));
    }
    let needed = compiled(folder.path(), "libneeded-by-it.so", "int needed;\n", &[]).unwrap();
    let at = format!("-L{}", folder.path().display());
    let more = [at.as_str(), "-Wl,--no-as-needed", "-lneeded-by-it"];
    cases.push((
        compiled(folder.path(), "dependent.so", &version(110_400), &more).unwrap(),
        "libneeded-by-it.so",
    ));
    std::fs::remove_file(needed).unwrap();
    for (library, told) in cases {
        let runtime = ask(folder.path(), &json!({"library": library}), &[]).description.runtime;
        let problem = runtime.problem.unwrap();
        assert!(one_line(&problem).contains(told), "{problem}");
        assert!(problem.contains(&library.display().to_string()), "{problem}");
        assert!(problem.contains("set library=… or INFERHOST_TENSORRT"), "{problem}");
        assert_eq!(runtime.version, None);
    }
}

#[test]
fn a_folder_with_a_builder_and_a_lean_runtime_gives_the_builder() {
    let folder = tempfile::tempdir().unwrap();
    let source = "int getInferLibVersion(void) { return 110400; }\nint getInferLibBuildVersion(void) { return 106; }\n\
        void *createInferRuntime_INTERNAL(void *l, int v) { return 0; }\n";
    let builder = format!("{source}void *createInferBuilder_INTERNAL(void *l, int v) {{ return 0; }}\n");
    let packages = folder.path().join("site-packages");
    for (package, name, source) in [
        ("tensorrt_lean_libs", "libnvinfer_lean.so.11", source),
        ("tensorrt_libs", "libnvinfer.so.11", builder.as_str()),
    ] {
        let place = packages.join(package);
        std::fs::create_dir_all(&place).unwrap();
        if compiled(&place, name, source, &[]).is_none() {
            return;
        }
        let runtime = ask(folder.path(), &json!({"library": packages}), &[]).description.runtime;
        let lean = if name.contains("lean") { " lean" } else { "" };
        assert_eq!(runtime.version.unwrap(), format!("11.4.0.106{lean}"));
        assert_eq!(runtime.library.unwrap(), place.join(name).display().to_string());
    }
}

#[test]
fn options_that_are_none_are_refused() {
    let plugin = Plugin::in_process::<TensorRt>();
    for (options, told) in
        [(json!({"device": "cpu"}), "NVIDIA GPUs alone"), (json!({"threads": 1}), "threads")]
    {
        let error = plugin.describe(&options).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        assert!(error.message.contains(told), "{error}");
    }
}
