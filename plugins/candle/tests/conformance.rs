//! The shared suite, over the built library: one call a precision.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test's helpers may do what a test may")]

use inferhost_plugin_api::{ModelForm, Plugin, conformance};
use serde_json::json;
use std::io::Write;

fn conforms(dtype: &str, tolerance: conformance::Tolerance) {
    let golden = conformance::golden_dirs(&["gpt2"]);
    // On the terminal itself: the test harness swallows what a passing test prints.
    golden
        .absent
        .iter()
        .for_each(|absent| std::io::stderr().write_all(format!("skipped: {absent}\n").as_bytes()).unwrap());
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
    conforms("f32", conformance::Tolerance::F32);
}

#[test]
fn f64_conforms() {
    conforms("f64", conformance::Tolerance::F64);
}
