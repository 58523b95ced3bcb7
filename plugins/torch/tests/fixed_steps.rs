//! Decode steps of fixed shapes, which CUDA graphs capture, compute what other steps compute: here on the CPU, where
//! nothing is captured. A program of its own, as the environment variable that asks for them holds for a whole process.

use inferhost_plugin_api::conformance::{Suite, Tolerance, built_library, golden_dirs};
use inferhost_plugin_api::{ModelForm, Plugin};
use serde_json::json;
use std::io::Write;

#[test]
fn fixed_steps_compute_the_same() {
    // SAFETY: the only test of this program, and no other thread of it reads the environment.
    unsafe { std::env::set_var("INFERHOST_TORCH_FIXED_STEPS", "1") };
    let plugin = Plugin::load(&built_library("torch")).unwrap();
    if let Some(problem) = plugin.describe(&json!({})).unwrap().runtime.problem {
        return std::io::stderr().write_all(format!("skipped: {problem}\n").as_bytes()).unwrap();
    }
    let mut golden = golden_dirs(&["gpt2", "llama", "mistral", "qwen2"]);
    golden.found.retain(|case| case.components().any(|part| part.as_os_str() == "tests"));
    let options = json!({"dtype": "f64", "threads": 1});
    let prepare = |folder: &std::path::Path| Ok((folder.to_path_buf(), ModelForm::HuggingFace));
    Suite { plugin, options, tolerance: Tolerance::F64, prepare: &prepare }
        .run(&golden.found)
        .assert_passed();
}
