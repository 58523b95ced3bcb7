//! Files that are no program of a language model, and requests that do not fit one: one line each.

use crate::support::{plugin, tests, zip};
use inferhost_plugin_api::{ErrorKind, ModelForm};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn package(metadata: &Value) -> Vec<u8> {
    let metadata = metadata.to_string();
    zip(&[
        ("x/data/aotinductor/model/a.wrapper.cpp", ""),
        ("x/data/aotinductor/model/a.wrapper_metadata.json", &metadata),
        ("x/data/aotinductor/model/a.wrapper.so", "no library"),
    ])
}

#[test]
fn files_that_are_no_program_are_named() {
    use ErrorKind::{InvalidInput, Unsupported};
    use ModelForm::{AotInductor, EnginePlan, TorchScript};
    let Some(plugin) = plugin() else { return };
    let script = fs::read(tests().join("torch/gpt2-erf/model.ts")).unwrap();
    let other = fs::read(tests().join("torch/other.ts")).unwrap();
    let machine = std::env::consts::ARCH;
    let cases: Vec<(&str, Vec<u8>, ModelForm, ErrorKind, &str)> = vec![
        (
            "other.ts",
            other,
            TorchScript,
            InvalidInput,
            "takes pixel_values, scale: 'pixel_values' is not understood; expected input_ids, and no",
        ),
        (
            "text.ts",
            b"text".to_vec(),
            TorchScript,
            InvalidInput,
            "is not a ZIP archive; export the model with",
        ),
        ("cut.ts", script[..script.len() / 2].to_vec(), TorchScript, InvalidInput, "is cut short or damaged"),
        (
            "saved.pt2",
            zip(&[("x/models/model.json", "{}")]),
            AotInductor,
            InvalidInput,
            "was not compiled (torch.export.save); compile it with",
        ),
        (
            "weights.pt",
            zip(&[("x/data.pkl", "")]),
            TorchScript,
            InvalidInput,
            "holds tensors or objects that torch.save wrote",
        ),
        (
            "script.pt2",
            script.clone(),
            AotInductor,
            InvalidInput,
            "is of the form torchscript, not aotinductor",
        ),
        (
            "package.ts",
            package(&json!({})),
            TorchScript,
            InvalidInput,
            "is of the form aotinductor, not torchscript",
        ),
        (
            "cuda.pt2",
            package(&json!({"AOTI_DEVICE_KEY": "cuda"})),
            AotInductor,
            Unsupported,
            "was compiled for cuda, but device is cpu; set device = \"cuda\"",
        ),
        (
            "elsewhere.pt2",
            package(&json!({"AOTI_DEVICE_KEY": "cpu", "AOTI_PLATFORM": "plan9", "AOTI_MACHINE": machine})),
            AotInductor,
            Unsupported,
            "was compiled for plan9 on",
        ),
        (
            "sizes.pt2",
            package(&json!({"AOTI_DEVICE_KEY": "cpu"})),
            AotInductor,
            InvalidInput,
            "does not tell how many positions it has",
        ),
        (
            "form.ts",
            script,
            EnginePlan,
            Unsupported,
            "torch opens the forms \"hf\", \"torchscript\" and \"aotinductor\", not \"plan\"",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, form, kind, expected) in cases {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        let error = plugin.open(&file, form, &json!({})).err().expect(name);
        assert!(error.message.contains(expected), "{name}: {error}");
        assert!(
            error.message.lines().count() == 1 && error.kind == kind,
            "{name}: {error} ({:?})",
            error.kind
        );
        assert!(form == EnginePlan || error.message.contains(name), "{error}");
    }
}

/// With a `config.json`, so that all the checks before the loader pass.
#[cfg(target_os = "linux")]
#[test]
fn a_package_for_another_processor_or_without_its_library_does_not_end_the_process() {
    let Some(plugin) = plugin() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::copy(tests().join("golden/gpt2-erf/config.json"), folder.path().join("config.json")).unwrap();
    let open = |metadata: &Value| {
        let file = folder.path().join("model.pt2");
        fs::write(&file, package(metadata)).unwrap();
        plugin.open(&file, ModelForm::AotInductor, &json!({})).err().unwrap()
    };
    // No processor has both.
    let error = open(&json!({"AOTI_DEVICE_KEY": "cpu", "AOTI_CPU_ISA": "AVX2 SVE256"}));
    assert!(
        error.kind == ErrorKind::Unsupported && error.message.contains("of which this processor lacks "),
        "{error}"
    );
    let error = open(&json!({"AOTI_DEVICE_KEY": "cpu"}));
    let message = &error.message;
    assert!(message.starts_with("cannot load ") && message.lines().count() == 1, "{error}");
    // The loader names the library in the folder to which it unpacks, /tmp/XXXXXX.
    let unpacked = message.split_whitespace().find(|word| word.contains("/data/aotinductor/")).unwrap();
    let unpacked: String = unpacked.split_inclusive('/').take(3).collect();
    assert!(unpacked.starts_with("/tmp/") && !Path::new(&unpacked).exists(), "{message}");
}

#[test]
fn options_that_a_program_cannot_follow_are_refused() {
    let Some(plugin) = plugin() else { return };
    let file = tests().join("torch/gpt2-erf/model.ts");
    for (options, expected) in [
        (json!({"dtype": "bf16"}), "was exported in f32; leave dtype out, or export it with --dtype bf16"),
        (json!({"quantize": "int8-dynamic"}), "quantize = \"int8-dynamic\" was asked for, but"),
        (json!({"linear": "plain"}), "linear = \"plain\" was asked for, but"),
        (json!({"quantize": "int4-weight"}), "is a program (torchscript), which is run as it was exported"),
    ] {
        let error = plugin.open(&file, ModelForm::TorchScript, &options).err().unwrap();
        assert!(error.kind == ErrorKind::Unsupported && error.message.contains(expected), "{error}");
    }
}

/// A program and a `config.json` of another model.
#[test]
fn a_config_of_another_model_is_told() {
    let Some(plugin) = plugin() else { return };
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &Path, name: &str| fs::copy(from, folder.path().join(name)).unwrap();
    copy(&tests().join("torch/gpt2-erf/model.ts"), "model.ts");
    fs::write(folder.path().join("config.json"), r#"{"vocab_size": 7, "n_positions": 45}"#).unwrap();
    let error = plugin.open(folder.path(), ModelForm::TorchScript, &json!({})).err().unwrap();
    assert!(
        error.message.contains("gives logits of 211 tokens, but the config.json beside it says vocab_size 7"),
        "{error}"
    );
    copy(&tests().join("torch/gpt2-erf/model.ts"), "again.ts");
    let error = plugin.open(folder.path(), ModelForm::TorchScript, &json!({})).err().unwrap();
    assert!(error.message.ends_with("holds again.ts, model.ts; name the one to open"), "{error}");
}
