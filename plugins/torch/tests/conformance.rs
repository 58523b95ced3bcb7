//! The shared suite, over the built libraries, in every precision. Tolerances are those of the precision on the golden
//! cases; `scripts/golden.py` makes transformers compute the Llama family's norms and softmax in float64, so that the
//! cases here hold f64 to 1e-9, while cases from elsewhere have float32 in them.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test's helpers may do what a test may")]

use inferhost_plugin_api::conformance::{Suite, Tolerance, built_library, golden_dirs};
use inferhost_plugin_api::{ModelForm, Plugin};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

const FAMILIES: [&str; 4] = ["gpt2", "llama", "mistral", "qwen2"];

/// Of what transformers itself computes for a float64 model of the Llama family, where norms and softmax are float32.
const AS_TRANSFORMERS: Tolerance = Tolerance { logits: 2e-5, logprobs: 2e-5 };

/// On the terminal itself: the test harness swallows what a passing test prints.
fn say(line: &str) {
    std::io::stderr().write_all(format!("skipped: {line}\n").as_bytes()).unwrap();
}

/// Runs the suite on the golden cases of `families` that lie in this repository, or on those beside it.
fn conforms(options: &Value, families: &[&str], own: bool, tolerance: Tolerance) {
    let plugin = Plugin::load(&built_library("torch")).unwrap();
    if let Some(problem) = plugin.describe(options).unwrap().runtime.problem {
        return say(&problem);
    }
    let mut golden = golden_dirs(families);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").canonicalize().unwrap();
    golden.found.retain(|case| case.canonicalize().unwrap().starts_with(&repository) == own);
    if golden.found.is_empty() {
        golden.absent.iter().for_each(|absent| say(absent));
        assert!(!own, "tests/golden has cases of every family");
        return;
    }
    let prepare = |folder: &Path| Ok((folder.to_path_buf(), ModelForm::HuggingFace));
    let report = Suite { plugin, options: options.clone(), tolerance, prepare: &prepare }.run(&golden.found);
    println!("{report}");
    report.assert_passed();
}

fn everywhere(options: &Value, tolerance: Tolerance) {
    conforms(options, &FAMILIES, true, tolerance);
    conforms(options, &FAMILIES, false, tolerance);
}

#[test]
fn f64_conforms() {
    let options = json!({"dtype": "f64", "threads": 2});
    conforms(&options, &FAMILIES, true, Tolerance::F64);
    conforms(&options, &FAMILIES[..1], false, Tolerance::F64);
    conforms(&options, &FAMILIES[1..], false, AS_TRANSFORMERS);
}

#[test]
fn f32_conforms() {
    everywhere(&json!({"threads": 2}), Tolerance::F32);
}

#[test]
fn halves_conform() {
    everywhere(&json!({"dtype": "bf16", "threads": 2}), Tolerance::BF16);
    everywhere(&json!({"dtype": "f16", "threads": 2}), Tolerance::BF16);
}

#[test]
fn int8_conforms() {
    everywhere(&json!({"quantize": "int8-dynamic", "threads": 2}), Tolerance::INT8);
    everywhere(&json!({"quantize": "int8-weight", "threads": 2}), Tolerance::INT8);
    everywhere(&json!({"quantize": "int8-weight", "dtype": "f32", "threads": 2}), Tolerance::INT8);
}
