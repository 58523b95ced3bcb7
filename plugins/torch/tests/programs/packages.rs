//! AOTInductor. A package is machine code for the processor that made it, so there are none to keep: where
//! `INFERHOST_TORCH_PYTHON` names a Python with torch and transformers, some are made, which takes minutes.

use crate::support::{conforms, generate, plugin, skipped, tests};
use inferhost_plugin_api::conformance::Golden;
use inferhost_plugin_api::{ErrorKind, ModelForm};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles the golden case into a folder below `to`.
fn export(python: &Path, case: &str, to: &Path, more: &[&str]) -> PathBuf {
    let out = to.join([&[case], more].concat().join(""));
    let script = tests().join("../scripts/export/torch_export.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .arg(tests().join("golden").join(case))
        .arg(&out)
        .args(["--form", "aotinductor"])
        .args(more);
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    out
}

fn python() -> Option<PathBuf> {
    let python = std::env::var_os("INFERHOST_TORCH_PYTHON").map(PathBuf::from);
    if python.is_none() {
        skipped(
            "INFERHOST_TORCH_PYTHON names no Python with torch and transformers to compile packages with",
        );
    }
    python
}

#[test]
fn packages_conform_and_leave_nothing_behind() {
    let (Some(plugin), Some(python)) = (plugin(), python()) else { return };
    let made = tempfile::tempdir().unwrap();
    let folders = ["gpt2-erf", "llama-gqa"].map(|case| export(&python, case, made.path(), &[]));
    let program = |golden: &Path| made.path().join(golden.file_name().unwrap());
    conforms(plugin, &["gpt2-erf", "llama-gqa"], &program, ModelForm::AotInductor);
    in_half_precision_and_by_options(&python, made.path());
    cut_short(&folders[0].join("model.pt2"));
    #[cfg(target_os = "linux")]
    {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mapped = |part: &str| {
            let paths = maps
                .lines()
                .filter_map(|line| line.split_whitespace().nth(5))
                .filter(|path| path.contains(part));
            paths.collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(mapped("omp").len(), 1, "one OpenMP runtime: {:?}", mapped("omp"));
        assert!(mapped("libtorch_cuda").is_empty());
        let left = |path: &&str| Path::new(path).exists();
        assert_eq!(mapped("/data/aotinductor/").into_iter().find(left), None);
        assert_eq!(mapped("inferhost-torch-").into_iter().find(left), None);
    }
}

fn in_half_precision_and_by_options(python: &Path, made: &Path) {
    let plugin = plugin().unwrap();
    let folder = export(python, "llama-gqa", made, &["--dtype", "bf16"]);
    let open = |options| plugin.open(&folder, ModelForm::AotInductor, &options);
    let session = open(json!({"dtype": "bf16", "threads": 1})).unwrap();
    let info = session.info();
    assert_eq!((info.precision.as_str(), info.details["form"].as_str()), ("bf16", "aotinductor"));
    assert!(info.details["compiled_by"].starts_with("torch 2."), "{info:?}");
    let error = open(json!({"dtype": "f32"})).err().unwrap();
    assert!(error.kind == ErrorKind::Unsupported && error.message.contains("exported in bf16"), "{error}");
    let golden = Golden::read(&tests().join("golden/llama-gqa")).unwrap();
    let mut session = session;
    let cached = generate(&mut session, &golden.prompts, 4, true);
    assert!(
        cached.iter().all(|row| row.len() == 4 && row.iter().all(|&id| (id as usize) < golden.vocab_size))
    );
    // Alone it says its sizes itself.
    let alone = made.join("alone.pt2");
    fs::copy(folder.join("model.pt2"), &alone).unwrap();
    let session = plugin.open(&alone, ModelForm::AotInductor, &json!({})).unwrap();
    assert_eq!(session.info().context_length, u32::try_from(golden.context_length).ok());
    without_a_word_of_ours(python, &folder);
}

/// As somebody else compiles a model: names alone, and the `config.json` beside it.
fn without_a_word_of_ours(python: &Path, folder: &Path) {
    const STRIP: &str = "import json, sys, zipfile
package = zipfile.ZipFile(sys.argv[1])
stripped = zipfile.ZipFile(sys.argv[2], 'w')
for name in package.namelist():
    data = package.read(name)
    if name.endswith('_metadata.json'):
        said = json.loads(data)
        del said['inferhost']
        data = json.dumps(said)
    stripped.writestr(name, data)
stripped.close()";
    let stripped = tempfile::tempdir().unwrap();
    let file = stripped.path().join("model.pt2");
    let status = Command::new(python).args(["-c", STRIP]).args([&folder.join("model.pt2"), &file]).status();
    assert!(status.unwrap().success());
    let plugin = plugin().unwrap();
    let open = || plugin.open(&file, ModelForm::AotInductor, &json!({"threads": 2}));
    let error = open().err().unwrap();
    assert!(error.message.contains("does not tell how many positions it has"), "{error}");
    fs::copy(folder.join("config.json"), stripped.path().join("config.json")).unwrap();
    let mut session = open().unwrap();
    let own = || plugin.open(folder, ModelForm::AotInductor, &json!({"threads": 2})).unwrap();
    let rows = [vec![1, 2, 3], vec![4; 9]];
    assert_eq!(session.info().precision, "bf16");
    assert_eq!(generate(&mut session, &rows, 5, true), generate(&mut own(), &rows, 5, true));
}

fn cut_short(package: &Path) {
    let plugin = plugin().unwrap();
    let bytes = fs::read(package).unwrap();
    fs::write(package, &bytes[..bytes.len() - 1000]).unwrap();
    let error = plugin.open(package, ModelForm::AotInductor, &json!({})).err().unwrap();
    assert!(error.message.contains("is cut short or damaged"), "{error}");
}
