//! Models that cannot be opened: each says in one line what was found, where, and what was expected.
#![expect(clippy::unwrap_used, reason = "a test's helpers may panic as the test may")]

use inferhost_plugin_api::{Error, ErrorKind, Logits, ModelForm, OpenSession, Plugin, Positions, Rows};
use inferhost_plugin_candle::Candle;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

fn open(folder: &Path, form: ModelForm, options: &Value) -> Result<OpenSession, Error> {
    Plugin::in_process::<Candle>().open(folder, form, options)
}

/// A copy of a golden model with one change.
fn changed(name: &str, change: impl FnOnce(&Path)) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(golden(name)).unwrap().flatten() {
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    change(copy.path());
    copy
}

fn set(folder: &Path, key: &str, value: Value) {
    let path = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config[key] = value;
    fs::write(path, config.to_string()).unwrap();
}

type Change = fn(&Path);

#[test]
fn a_broken_folder_says_what_is_wrong_with_which_file() {
    let cases: [(&str, Change, ErrorKind, &[&str]); 12] = [
        (
            "gpt2-erf",
            |f| fs::remove_file(f.join("config.json")).unwrap(),
            ErrorKind::InvalidInput,
            &["config.json"],
        ),
        (
            "gpt2-erf",
            |f| fs::write(f.join("config.json"), "{").unwrap(),
            ErrorKind::InvalidInput,
            &["config.json"],
        ),
        (
            "gpt2-erf",
            |f| set(f, "model_type", json!("bert")),
            ErrorKind::Unsupported,
            &["bert", "gpt2, llama"],
        ),
        (
            "gpt2-erf",
            |f| fs::remove_file(f.join("model.safetensors")).unwrap(),
            ErrorKind::InvalidInput,
            &["no model.safetensors"],
        ),
        ("gpt2-erf", |f| truncate(f, 5), ErrorKind::InvalidInput, &["too short"]),
        ("gpt2-erf", |f| truncate(f, 300), ErrorKind::InvalidInput, &["truncated"]),
        (
            "gpt2-erf",
            |f| truncate(f, 60_000),
            ErrorKind::InvalidInput,
            &["truncated: 60000 bytes, expected 73760"],
        ),
        (
            "gpt2-erf",
            |f| set(f, "n_inner", json!(66)),
            ErrorKind::InvalidInput,
            &["transformer.h.0.mlp.c_fc.weight", "[24, 67]", "[24, 66]"],
        ),
        (
            "gpt2-erf",
            |f| set(f, "n_layer", json!(3)),
            ErrorKind::InvalidInput,
            &["no tensor transformer.h.2.attn.c_attn.weight"],
        ),
        (
            "gpt2-untied",
            |f| fs::remove_file(f.join("model-00002-of-00002.safetensors")).unwrap(),
            ErrorKind::InvalidInput,
            &["model-00002-of-00002.safetensors"],
        ),
        (
            "llama-gqa",
            |f| set(f, "num_key_value_heads", json!(5)),
            ErrorKind::InvalidInput,
            &["model.layers.0.self_attn.k_proj.weight", "[6, 20]", "[30, 20]"],
        ),
        (
            "mistral-window",
            |f| set(f, "model_type", json!("qwen2")),
            ErrorKind::InvalidInput,
            &["no tensor model.layers.0.self_attn.q_proj.bias"],
        ),
    ];
    for (name, change, kind, parts) in cases {
        let folder = changed(name, change);
        let error = open(folder.path(), ModelForm::HuggingFace, &json!({})).err().expect("a broken folder");
        assert_eq!(error.kind, kind, "{error}");
        assert_eq!(error.message.lines().count(), 1, "{error}");
        for part in parts {
            assert!(error.message.contains(part), "{error} lacks {part}");
        }
    }
}

fn truncate(folder: &Path, bytes: usize) {
    let path = folder.join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    fs::write(path, &whole[..bytes]).unwrap();
}

#[test]
fn bad_options_and_forms_are_refused() {
    let folder = golden("gpt2-erf");
    let message =
        |options| open(&folder, ModelForm::HuggingFace, &options).err().expect("bad options").message;
    assert!(message(json!({"dtype": "f16"})).contains("f16"));
    assert!(message(json!({"threads": 0})).contains("threads is 0, expected 1 to 1024"));
    assert!(message(json!({"thread": 1})).contains("thread"));
    let error = open(&folder, ModelForm::Onnx, &json!({})).err().expect("no ONNX");
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::Unsupported, "candle opens the form \"hf\", not \"onnx\"",)
    );
}

#[test]
fn each_session_has_the_threads_it_asked_for() {
    let threads =
        |options| open(&golden("gpt2-erf"), ModelForm::HuggingFace, &options).unwrap().info().threads;
    let available = std::thread::available_parallelism().unwrap().get() as u32;
    assert_eq!(threads(json!({})), Some(available));
    assert_eq!(threads(json!({"threads": available + 1})), Some(available + 1));
}

/// Files saved from the bare decoder have no prefix, and half-precision weights are widened.
#[test]
fn names_without_prefix_and_half_precision_open() {
    opens_bare_and_narrowed("gpt2-erf", "transformer.");
    opens_bare_and_narrowed("qwen2-bias", "model.");
}

fn opens_bare_and_narrowed(name: &str, prefix: &str) {
    use safetensors::{Dtype, SafeTensors, tensor::TensorView};
    let folder = changed(name, |folder| {
        let path = folder.join("model.safetensors");
        let bytes = fs::read(&path).unwrap();
        let narrowed: Vec<(String, Vec<usize>, Vec<u8>)> = SafeTensors::deserialize(&bytes)
            .unwrap()
            .tensors()
            .into_iter()
            .map(|(name, view)| {
                // bfloat16 is the upper half of an f32.
                let upper = view.data().chunks(4).flat_map(|f32| [f32[2], f32[3]]).collect();
                (name.trim_start_matches(prefix).to_string(), view.shape().to_vec(), upper)
            })
            .collect();
        let views = narrowed.iter().map(|(name, shape, data)| {
            (name.as_str(), TensorView::new(Dtype::BF16, shape.clone(), data).unwrap())
        });
        fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    });
    let logits = |folder: &Path| {
        let mut session = open(folder, ModelForm::HuggingFace, &json!({})).unwrap();
        let mut logits = Logits::default();
        session.prefill(Rows::new(&[[1, 2, 3]]).batch(), Positions::Last, &mut logits).unwrap();
        logits.rows_f64().concat()
    };
    let (exact, narrowed) = (logits(&golden(name)), logits(folder.path()));
    let largest = exact.iter().zip(&narrowed).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(largest > 1e-4 && largest < 0.3, "bfloat16 moved the logits by {largest}");
}
