//! The shared suite on graphs that inferhost itself prepares from the golden Hugging Face folders.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use inferhost::model::resolve;
use inferhost::prepare::{Tools, prepare};
use inferhost_plugin_api::{ModelForm, Plugin, conformance};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A line on the terminal itself: the test harness swallows what a passing test prints.
fn say(line: &str) {
    let mut terminal = std::io::stderr();
    writeln!(terminal, "skipped: {line}").unwrap();
}

fn to_onnx(folder: &Path, cache: &Path) -> Result<(PathBuf, ModelForm), String> {
    let model = resolve(&folder.display().to_string(), cache).map_err(|e| e.to_string())?;
    let prepared = prepare(&model, &[ModelForm::Onnx], None, Tools { cache, observer: None, engines: None })
        .map_err(|e| e.to_string())?;
    Ok((prepared.path, prepared.form))
}

#[test]
fn f32_conforms() {
    let plugin = Plugin::load(&conformance::built_library("ort")).unwrap();
    if let Some(problem) = plugin.describe(&json!({})).unwrap().runtime.problem {
        return say(&problem);
    }
    let golden = conformance::golden_dirs(&["gpt2", "llama", "mistral", "qwen2"]);
    golden.absent.iter().for_each(|absent| say(absent));
    // Artifacts of a test do not belong in the user's cache.
    let cache = tempfile::tempdir().unwrap();
    let report = conformance::Suite {
        plugin,
        options: json!({"threads": 2}),
        tolerance: conformance::Tolerance::F32,
        prepare: &|folder| to_onnx(folder, cache.path()),
    }
    .run(&golden.found);
    println!("{report}");
    report.assert_passed();
}
