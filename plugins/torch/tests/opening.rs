//! What cannot be opened says why in one line.
#![expect(clippy::unwrap_used, reason = "a test's helpers may do what a test may")]

use inferhost_plugin_api::conformance::built_library;
use inferhost_plugin_api::{Error, ErrorKind, ModelForm, Plugin};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

fn open(options: &Value) -> Result<(), Error> {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/gpt2-erf");
    let plugin = Plugin::load(&built_library("torch")).unwrap();
    plugin.open(&model, ModelForm::HuggingFace, options).map(drop)
}

/// Whether libtorch and the engine are here; says so where they are not.
fn is_there() -> bool {
    let plugin = Plugin::load(&built_library("torch")).unwrap();
    let problem = plugin.describe(&json!({})).unwrap().runtime.problem;
    if let Some(problem) = &problem {
        std::io::stderr().write_all(format!("skipped: {problem}\n").as_bytes()).unwrap();
    }
    problem.is_none()
}

#[test]
fn options_are_refused_before_anything_is_loaded() {
    for (options, kind, expected) in [
        (json!({"treads": 2}), ErrorKind::InvalidInput, "treads"),
        (json!({"tf32": true}), ErrorKind::Unsupported, "needs a CUDA device"),
        (json!({"quantize": "int8-dynamic", "dtype": "f16"}), ErrorKind::Unsupported, "dtype is f16"),
        (json!({"library": "/nowhere"}), ErrorKind::RuntimeMissing, "/nowhere, which does not exist"),
    ] {
        let error = open(&options).unwrap_err();
        assert!(error.kind == kind && error.message.contains(expected), "{error}");
        assert_eq!(error.message.lines().count(), 1, "{error}");
    }
}

#[test]
fn cuda_that_is_not_there_is_a_missing_runtime() {
    if !is_there() {
        return;
    }
    let Err(error) = open(&json!({"device": "cuda:250"})) else {
        panic!("there is no such device");
    };
    assert_eq!(error.kind, ErrorKind::RuntimeMissing, "{error}");
    assert!(error.message.contains("cuda:250") && error.message.lines().count() == 1, "{error}");
}

#[test]
fn the_description_tells_version_file_and_what_is_missing() {
    let plugin = Plugin::load(&built_library("torch")).unwrap();
    let missing = plugin.describe(&json!({"library": "/nowhere"})).unwrap().runtime;
    assert!(missing.problem.unwrap().contains("scripts/runtimes.sh torch"));
    if is_there() {
        let runtime = plugin.describe(&json!({})).unwrap().runtime;
        assert!(runtime.version.unwrap().starts_with("2.11.0"));
        assert!(runtime.library.unwrap().contains("torch_cpu"));
    }
}
