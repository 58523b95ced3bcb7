//! Graphs that optimum exported, and the mistakes a user can make with a library, a device or a graph.

use crate::support::{Check, Collected, Expected, F32, fixtures, open, plugin};
use inferhost_plugin_api::{ErrorKind, GenerateOptions, ModelForm, Plugin, Rows};
use inferhost_plugin_ort::Ort;
use serde_json::{Value, json};
use std::path::Path;

#[test]
fn a_graph_with_past_agrees_with_transformers() {
    let Some(plugin) = plugin() else { return };
    let folder = fixtures().join("optimum/gpt2");
    let mut session = open(&plugin, &folder);
    let info = session.info().clone();
    assert_eq!((info.vocab_size, info.context_length, info.threads), (97, Some(48), Some(1)));
    assert_eq!((info.device.as_str(), info.precision.as_str()), ("cpu", "f32"));
    assert_eq!(info.model_bytes, Some(std::fs::metadata(folder.join("model.onnx")).unwrap().len()));
    assert_eq!(info.details["provider"], "CPUExecutionProvider");
    Check { tolerance: F32, cached: true }.session(&mut session, &Expected::read(&folder));
}

#[test]
fn a_graph_without_past_runs_uncached_and_says_why_not_cached() {
    let Some(plugin) = plugin() else { return };
    let mut session = open(&plugin, &fixtures().join("optimum/gpt2-no-past/model.onnx"));
    let expected = Expected::read(&fixtures().join("optimum/gpt2"));
    Check { tolerance: F32, cached: false }.session(&mut session, &expected);
    let options = GenerateOptions {
        max_new_tokens: 2,
        use_cache: true,
        stop_tokens: abi_stable::std_types::RSlice::EMPTY,
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        seed: 0,
    };
    let rows = Rows::new(&[[1]]);
    let error = session.generate(rows.batch(), &options, &mut Collected(vec![vec![]])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.message.contains("use_cache"), "{error}");
}

#[test]
fn mistakes_have_their_kind_and_name_what_is_wrong() {
    let Some(plugin) = plugin() else { return };
    let good = fixtures().join("optimum/gpt2");
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.onnx");
    std::fs::write(&garbage, "not protobuf").unwrap();
    let nothing = folder.path().join("nothing");
    std::fs::create_dir(&nothing).unwrap();
    let absent = folder.path().join("libonnxruntime.so");
    let fake = folder.path().join("fake.so");
    std::fs::write(&fake, "no library").unwrap();
    // Where the one for GPUs was fetched too, that would be taken for cuda, and this process has the other already.
    let own = plugin.describe(&json!({})).unwrap().runtime.library;
    let cases: [(&Path, ModelForm, Value, ErrorKind, &str); 7] = [
        (&good, ModelForm::HuggingFace, json!({}), ErrorKind::Unsupported, "onnx"),
        (&nothing, ModelForm::Onnx, json!({}), ErrorKind::InvalidInput, "no .onnx file"),
        (&garbage, ModelForm::Onnx, json!({}), ErrorKind::InvalidInput, "garbage.onnx"),
        (&good, ModelForm::Onnx, json!({"thread": 1}), ErrorKind::InvalidInput, "thread"),
        (&good, ModelForm::Onnx, json!({"library": absent}), ErrorKind::RuntimeMissing, "runtimes.sh"),
        (&good, ModelForm::Onnx, json!({"library": fake}), ErrorKind::RuntimeMissing, "fake.so"),
        (
            &good,
            ModelForm::Onnx,
            json!({"device": "cuda:99", "library": own}),
            ErrorKind::RuntimeMissing,
            "cuda:99",
        ),
    ];
    for (path, form, options, kind, named) in cases {
        let error = plugin.open(path, form, &options).err().unwrap();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(named) && !error.message.contains('\n'), "{error}");
    }
}

#[test]
fn a_second_library_in_one_process_is_refused_and_a_link_to_the_first_is_not() {
    let Some(plugin) = plugin() else { return };
    let _session = open(&plugin, &fixtures().join("optimum/gpt2"));
    let library = plugin.describe(&json!({})).unwrap().runtime.library.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join(Path::new(&library).file_name().unwrap());
    std::fs::copy(&library, &copy).unwrap();
    let graph = fixtures().join("optimum/gpt2");
    let error = plugin.open(&graph, ModelForm::Onnx, &json!({"library": copy})).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.message.contains(&library) && error.message.contains("already runs"), "{error}");
    #[cfg(unix)]
    {
        let link = folder.path().join("link.so");
        std::os::unix::fs::symlink(&library, &link).unwrap();
        plugin.open(&graph, ModelForm::Onnx, &json!({"library": link})).unwrap();
    }
}

#[test]
fn a_missing_library_is_described_as_the_problem() {
    let described = Plugin::in_process::<Ort>().describe(&json!({"library": "/nowhere"})).unwrap();
    assert_eq!(described.runtime.version, None);
    assert!(described.runtime.problem.unwrap().contains("/nowhere"));
    assert_eq!(described.devices, ["cpu"]);
}
