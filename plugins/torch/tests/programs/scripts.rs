//! TorchScript.

use crate::support::{agrees_uncached, conforms, greedy, plugin, tests};
use inferhost_plugin_api::conformance::Golden;
use inferhost_plugin_api::{Batch, ErrorKind, ModelForm, Rows, Token, TokenSink};
use serde_json::json;
use std::fs;

#[test]
fn scripts_of_our_own_conform() {
    let Some(plugin) = plugin() else { return };
    let program =
        |folder: &std::path::Path| tests().join("torch").join(folder.file_name().unwrap()).join("model.ts");
    conforms(plugin, &["gpt2-erf", "llama-gqa"], &program, ModelForm::TorchScript);
}

#[test]
fn a_folder_with_a_script_is_that_script() {
    let Some(plugin) = plugin() else { return };
    let folder = tests().join("torch/llama-gqa");
    let session =
        plugin.open(&folder, ModelForm::TorchScript, &json!({"threads": 1, "dtype": "f32"})).unwrap();
    let info = session.info();
    assert_eq!((info.precision.as_str(), info.device.as_str(), info.threads), ("f32", "cpu", Some(1)));
    let detail = |key: &str| info.details[key].as_str();
    assert_eq!(
        (detail("form"), detail("padding"), detail("kv_cache")),
        ("torchscript", "left", "past_key_values")
    );
    assert_eq!(detail("architecture"), "LlamaForCausalLM");
}

struct Nobody;

impl TokenSink for Nobody {
    fn step(&mut self, _: &[Token]) -> bool {
        false
    }
}

/// Made as transformers' own recipe says: token ids to logits of all positions, no names, no padding, no cache.
#[test]
fn a_script_of_somebody_else_runs_by_the_config_beside_it() {
    let Some(plugin) = plugin() else { return };
    let golden = Golden::read(&tests().join("golden/gpt2-tanh")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recipe.pt");
    fs::copy(tests().join("torch/recipe.pt"), &file).unwrap();
    let open = || plugin.open(&file, ModelForm::TorchScript, &json!({"threads": 2}));
    let message = open().err().unwrap().message;
    assert!(
        message.contains("does not tell the vocabulary's size (vocab_size), and no config.json"),
        "{message}"
    );
    fs::copy(golden.folder.join("config.json"), folder.path().join("config.json")).unwrap();
    let mut session = open().unwrap();
    assert_eq!(session.info().details["padding"], "none, rows of one length share a run");
    agrees_uncached(&mut session, &golden);
    let rows = Rows::new(&golden.prompts);
    let error = session.generate(rows.batch(), &greedy(2, true), &mut Nobody).unwrap_err();
    assert!(error.kind == ErrorKind::Unsupported && error.message.contains("--no-cache"), "{error}");
    let error = session.generate(Batch::new(&[9999], &[1]), &greedy(2, false), &mut Nobody).unwrap_err();
    assert!(error.kind == ErrorKind::InvalidInput, "{error}");
}
