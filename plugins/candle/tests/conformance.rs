//! The shared suite, over the built library. `scripts/golden.py` makes transformers compute the Llama family's norms
//! and softmax in float64, so that the cases here hold f64 to 1e-9; cases from elsewhere have float32 in them.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test's helpers may do what a test may")]

use inferhost_plugin_api::{ModelForm, Plugin, conformance};
use serde_json::json;
use std::io::Write;
use std::path::Path;

const LLAMA: [&str; 3] = ["llama", "mistral", "qwen2"];

/// Of what transformers itself computes for a float64 model of the Llama family, where norms and softmax are float32.
const AS_TRANSFORMERS: conformance::Tolerance = conformance::Tolerance { logits: 2e-5, logprobs: 2e-5 };

/// Runs the suite on the golden cases of `families` that lie in this repository, or on those beside it.
fn conforms(dtype: &str, families: &[&str], own: bool, tolerance: conformance::Tolerance) {
    let mut golden = conformance::golden_dirs(families);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").canonicalize().unwrap();
    golden.found.retain(|case| case.canonicalize().unwrap().starts_with(&repository) == own);
    if golden.found.is_empty() {
        // On the terminal itself: the test harness swallows what a passing test prints.
        golden.absent.iter().for_each(|absent| {
            std::io::stderr().write_all(format!("skipped: {absent}\n").as_bytes()).unwrap()
        });
        assert!(!own, "tests/golden has cases of every family");
        return;
    }
    let report = conformance::Suite {
        plugin: Plugin::load(&conformance::built_library("candle")).unwrap(),
        options: json!({"dtype": dtype, "threads": 2}),
        tolerance,
        prepare: &|folder| Ok((folder.to_path_buf(), ModelForm::HuggingFace)),
    }
    .run(&golden.found);
    println!("{report}");
    report.assert_passed();
}

#[test]
fn f32_conforms() {
    let families = [&["gpt2"], &LLAMA[..]].concat();
    conforms("f32", &families, true, conformance::Tolerance::F32);
    conforms("f32", &families, false, conformance::Tolerance::F32);
}

#[test]
fn f64_conforms() {
    conforms("f64", &[&["gpt2"], &LLAMA[..]].concat(), true, conformance::Tolerance::F64);
    conforms("f64", &["gpt2"], false, conformance::Tolerance::F64);
    conforms("f64", &LLAMA, false, AS_TRANSFORMERS);
}
