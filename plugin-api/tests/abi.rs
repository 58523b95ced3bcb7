//! Today's interface against other versions of it (`tests/fixtures`) and against files that are no plugin. What a
//! released plugin or host relies on must still hold here; a test that fails says that the interface was changed.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy exempts test functions only, not what they call"
)]

use abi_stable::library::RootModule;
use inferhost_plugin_api::{
    ErrorKind, GenerateOptions, LoadError, Logits, ModelForm, Plugin, Positions, RVec, Rows, Token, TokenSink,
};
use serde_json::json;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX, EXE_SUFFIX};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Declares the newer fixture's extension as a host that knows it does. The layout check compares package names, and
/// this file belongs to the package `inferhost-plugin-api`.
macro_rules! probe {
    ($module:ident, $number:ty) => {
        mod $module {
            #![expect(non_camel_case_types, reason = "expanded by abi_stable 0.11's derive macros")]
            use abi_stable::StableAbi;
            use abi_stable::library::RootModule;
            use abi_stable::package_version_strings;
            use abi_stable::sabi_types::VersionStrings;

            #[repr(C)]
            #[derive(StableAbi)]
            #[sabi(kind(Prefix(prefix_ref = ProbeModule_Ref, prefix_fields = ProbeModule_Prefix)))]
            pub(crate) struct ProbeModule {
                #[sabi(last_prefix_field)]
                pub(crate) number: extern "C" fn() -> $number,
            }

            impl RootModule for ProbeModule_Ref {
                abi_stable::declare_root_module_statics! {ProbeModule_Ref}
                const BASE_NAME: &'static str = "inferhost_probe";
                const NAME: &'static str = "inferhost probe extension";
                const VERSION_STRINGS: VersionStrings = package_version_strings!();
            }
        }
    };
}
probe!(probe, u32);
// The same name with another type: an extension that was changed where it should have been renamed.
probe!(changed_probe, u64);

struct Tokens(Vec<Token>);

impl TokenSink for Tokens {
    fn step(&mut self, tokens: &[Token]) -> bool {
        self.0.extend_from_slice(tokens);
        true
    }
}

/// The folder of this build's libraries, `target/debug`.
fn build_folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().into()
}

fn built(path: PathBuf) -> PathBuf {
    assert!(path.is_file(), "{} is not built; run scripts/fixtures.sh, or scripts/test.sh", path.display());
    path
}

fn fixture(file: &str) -> PathBuf {
    built(build_folder().join("../fixtures/debug/examples").join(file))
}

fn fixture_library(name: &str) -> PathBuf {
    fixture(&format!("{DLL_PREFIX}{name}{DLL_SUFFIX}"))
}

fn todays_plugin() -> PathBuf {
    let path = build_folder().join(format!("{DLL_PREFIX}inferhost_plugin_faulty{DLL_SUFFIX}"));
    assert!(path.is_file(), "{} is not built; run cargo build --workspace first", path.display());
    path
}

/// A model folder that both the fixtures' constant model, which reads nothing, and `faulty` open.
fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/faulty/tests/model")
}

fn refusal(path: &Path) -> LoadError {
    Plugin::load(path).err().expect("refused")
}

fn scratch(name: &str, content: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[track_caller]
fn assert_mentions(error: &LoadError, parts: &[&str]) {
    let text = error.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{parts:?} not all in: {text}");
    assert!(!text.contains('\n'), "one line: {text}");
}

/// What the constant model of both fixture plugins gives through today's host.
fn runs_the_constant_model(plugin: Plugin, version: &str) {
    let description = plugin.describe(&json!({})).unwrap();
    assert_eq!((description.name.as_str(), description.version.as_str()), ("constant", version));
    let mut session = plugin.open(&model(), ModelForm::HuggingFace, &json!({})).unwrap();
    assert_eq!(session.info().vocab_size, 8);
    let rows = Rows::new(&[[1, 2].as_slice(), &[3]]);

    let mut logits = Logits::default();
    session.prefill(rows.batch(), Positions::Last, &mut logits).unwrap();
    let expected: Vec<f64> = (0..8).map(f64::from).collect();
    assert_eq!(logits.rows_f64(), [expected.clone(), expected.clone()]);

    let mut logprobs = RVec::new();
    session.logprobs(rows.batch(), &mut logprobs).unwrap();
    let normaliser = expected.iter().map(|x| x.exp()).sum::<f64>().ln();
    assert!(logprobs.len() == 1 && (logprobs[0] - (2.0 - normaliser)).abs() < 1e-12, "{logprobs:?}");

    let options = GenerateOptions {
        max_new_tokens: 2,
        use_cache: true,
        stop_tokens: [].as_slice().into(),
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        seed: 0,
    };
    let mut tokens = Tokens(Vec::new());
    session.generate(rows.batch(), &options, &mut tokens).unwrap();
    assert_eq!(tokens.0, [(0, 7), (1, 7), (0, 7), (1, 7)].map(|(row, id)| Token { row, id }));

    let error = plugin.open(&model(), ModelForm::HuggingFace, &json!({"x": 1})).err().expect("refused");
    assert_eq!(error.kind, ErrorKind::InvalidInput);
}

fn extension<M: RootModule>(plugin: Plugin, name: &str) -> Option<M> {
    plugin.extension(name).unwrap()
}

#[test]
fn an_older_plugin_runs_and_has_no_extension() {
    let plugin = Plugin::load(&fixture_library("older_plugin")).unwrap();
    runs_the_constant_model(plugin, "1.0.0");
    assert!(extension::<probe::ProbeModule_Ref>(plugin, "probe/1").is_none());
}

#[test]
fn a_newer_plugin_runs_and_its_extension_can_be_had_by_who_knows_it() {
    let plugin = Plugin::load(&fixture_library("newer_plugin")).unwrap();
    runs_the_constant_model(plugin, "1.9.0");
    assert_eq!(extension::<probe::ProbeModule_Ref>(plugin, "probe/1").unwrap().number()(), 1900);
    assert!(extension::<probe::ProbeModule_Ref>(plugin, "probe/2").is_none());
    let changed = plugin.extension::<changed_probe::ProbeModule_Ref>("probe/1");
    let error = changed.map(|found| found.map(|module| module.number()())).unwrap_err();
    assert!(error.message.contains("probe/1"), "{}", error.message);
}

/// Output lines of a fixture host for a plugin.
fn hosted(host: &str, plugin: &Path) -> Vec<String> {
    let host = fixture(&format!("{host}{EXE_SUFFIX}"));
    let output = Command::new(host).arg(plugin).arg(model()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(String::from).collect()
}

#[test]
fn every_host_of_major_1_runs_every_plugin_of_major_1() {
    let (older, newer) = (fixture_library("older_plugin"), fixture_library("newer_plugin"));
    for (host, plugin, extension) in [
        ("older_host", &older, "never/1 absent"),
        ("older_host", &newer, "never/1 absent"),
        ("older_host", &todays_plugin(), "never/1 absent"),
        ("newer_host", &older, "probe/1 absent"),
        ("newer_host", &newer, "probe/1 1900"),
        ("newer_host", &todays_plugin(), "probe/1 absent"),
    ] {
        let lines = hosted(host, plugin);
        for line in ["prefill 4 positions", "generate 6 tokens", "logprobs 2 values", extension] {
            assert!(lines.iter().any(|found| found == line), "{host} {}: {lines:?}", plugin.display());
        }
    }
}

#[test]
fn todays_plugin_loads_as_a_library() {
    let plugin = Plugin::load(&todays_plugin()).unwrap();
    assert_eq!(plugin.describe(&json!({})).unwrap().name, "faulty");
}

#[test]
fn each_way_not_to_be_a_plugin_is_told_apart() {
    let missing = Path::new("no/such/plugin.so");
    let error = refusal(missing);
    assert!(matches!(error, LoadError::Unreadable { .. }), "{error}");
    assert_mentions(&error, &["no/such/plugin.so", "No such file"]);

    let error = refusal(&model());
    assert!(matches!(error, LoadError::Unreadable { .. }), "{error}");
    assert_mentions(&error, &["folder"]);

    let text = scratch("text.so", b"not a library");
    let error = refusal(&text);
    assert!(matches!(error, LoadError::NotALibrary { .. }), "{error}");
    assert_mentions(&error, &["text.so", "[6e, 6f, 74, 20]"]);

    let whole = std::fs::read(fixture_library("no_plugin")).unwrap();
    let error = refusal(&scratch("torn.so", &whole[..whole.len().min(100)]));
    assert!(matches!(error, LoadError::Refused { .. }), "{error}");
    assert_mentions(&error, &["torn.so"]);

    let error = refusal(&fixture_library("no_plugin"));
    assert!(matches!(error, LoadError::NoPlugin { .. }), "{error}");
    assert_mentions(&error, &["no_plugin", "export_backend!"]);
}

#[test]
fn another_interface_is_refused_with_both_sides_named() {
    let error = refusal(&fixture_library("major_2"));
    assert!(matches!(error, LoadError::Version { .. }), "{error}");
    assert_mentions(&error, &["major_2", "2.0.0", env!("CARGO_PKG_VERSION")]);

    let error = refusal(&fixture_library("changed_layout"));
    assert!(matches!(error, LoadError::Layout { .. }), "{error}");
    assert_mentions(&error, &["changed_layout", "1.0.0", "field seed", "Expected: u64 Found: u32"]);
}
