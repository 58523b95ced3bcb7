//! Graphs that optimum exported, through the plugin's ABI, against what transformers computes in float64; and the
//! mistakes a user can make with a library, a device or a graph.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use inferhost_plugin_api::{
    ErrorKind, GenerateOptions, Logits, ModelForm, OpenSession, Plugin, Positions, RVec, Rows, Token,
    TokenSink,
};
use inferhost_plugin_ort::Ort;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Largest difference of an f32 graph from float64, for logits of the order of 1.
const TOLERANCE: f64 = 2e-5;

/// Values that transformers computed in float64.
struct Expected {
    prompts: Vec<Vec<u32>>,
    greedy: Vec<Vec<u32>>,
    logprobs: Vec<Vec<f64>>,
    /// Of each prompt, `[positions, vocab]`.
    logits: Vec<Vec<f64>>,
}

impl Expected {
    fn read(folder: &Path) -> Self {
        let json: Value =
            serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let bytes = std::fs::read(folder.join("expected_logits.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let get = |key: &str| json[key].clone();
        let prompts: Vec<Vec<u32>> = serde_json::from_value(get("prompts")).unwrap();
        let logits = (0..prompts.len()).map(|at| {
            let data = tensors.tensor(&format!("logits.{at}")).unwrap().data().to_vec();
            data.chunks_exact(8).map(|x| f64::from_le_bytes(x.try_into().unwrap())).collect()
        });
        Self {
            logits: logits.collect(),
            prompts,
            greedy: serde_json::from_value(get("greedy")).unwrap(),
            logprobs: serde_json::from_value(get("logprobs")).unwrap(),
        }
    }
}

struct Collected(Vec<Vec<u32>>);

impl TokenSink for Collected {
    fn step(&mut self, tokens: &[Token]) -> bool {
        tokens.iter().for_each(|token| self.0[token.row as usize].push(token.id));
        true
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/optimum")
}

/// The plugin, where its runtime can be found; says on the terminal itself why a test is skipped.
fn plugin() -> Option<Plugin> {
    let plugin = Plugin::in_process::<Ort>();
    let problem = plugin.describe(&json!({})).unwrap().runtime.problem;
    if let Some(problem) = &problem {
        let mut terminal = std::io::stderr();
        writeln!(terminal, "skipped: {problem}").unwrap();
    }
    problem.is_none().then_some(plugin)
}

fn open(plugin: &Plugin, graph: &Path) -> OpenSession {
    plugin.open(graph, ModelForm::Onnx, &json!({"threads": 1})).unwrap()
}

fn generate(session: &mut OpenSession, rows: &[Vec<u32>], new: usize, use_cache: bool) -> Vec<Vec<u32>> {
    let options = GenerateOptions {
        max_new_tokens: new as u32,
        use_cache,
        stop_tokens: abi_stable::std_types::RSlice::EMPTY,
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        seed: 0,
    };
    let mut sink = Collected(vec![Vec::new(); rows.len()]);
    session.generate(Rows::new(rows).batch(), &options, &mut sink).unwrap();
    sink.0
}

fn assert_close(found: impl IntoIterator<Item = f64>, expected: &[f64], what: &str) {
    let found: Vec<f64> = found.into_iter().collect();
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0f64, |most, x| most.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= TOLERANCE * largest, "{what}: {found} for {expected}");
    }
}

/// All that a session computes, for all rows at once (of different lengths, so padded or grouped) and one by one.
fn check_session(session: &mut OpenSession, expected: &Expected, cached: bool) {
    let vocab = session.info().vocab_size as usize;
    let alone = expected.prompts.iter().enumerate().map(|(at, row)| (at..at + 1, vec![row.clone()]));
    let batches = std::iter::once((0..expected.prompts.len(), expected.prompts.clone())).chain(alone);
    let mut logits = Logits::default();
    for (which, rows) in batches {
        let batch = Rows::new(&rows);
        session.prefill(batch.batch(), Positions::All, &mut logits).unwrap();
        assert_close(logits.rows_f64().concat(), &expected.logits[which.clone()].concat(), "all logits");
        session.prefill(batch.batch(), Positions::Last, &mut logits).unwrap();
        let last: Vec<f64> = expected.logits[which.clone()]
            .iter()
            .flat_map(|logits| logits[logits.len() - vocab..].to_vec())
            .collect();
        assert_close(logits.rows_f64().concat(), &last, "last logits");
        let mut logprobs = RVec::new();
        session.logprobs(batch.batch(), &mut logprobs).unwrap();
        assert_close(logprobs.iter().copied(), &expected.logprobs[which.clone()].concat(), "logprobs");
        let greedy = &expected.greedy[which];
        for use_cache in [false, true].into_iter().filter(|use_cache| cached || !use_cache) {
            assert_eq!(generate(session, &rows, greedy[0].len(), use_cache), greedy, "cache {use_cache}");
        }
    }
}

#[test]
fn a_graph_with_past_agrees_with_transformers() {
    let Some(plugin) = plugin() else { return };
    let folder = fixtures().join("gpt2");
    let mut session = open(&plugin, &folder);
    let info = session.info().clone();
    assert_eq!((info.vocab_size, info.context_length, info.threads), (97, Some(48), Some(1)));
    assert_eq!((info.device.as_str(), info.precision.as_str()), ("cpu", "f32"));
    assert_eq!(info.model_bytes, Some(std::fs::metadata(folder.join("model.onnx")).unwrap().len()));
    assert_eq!(info.details["provider"], "CPUExecutionProvider");
    check_session(&mut session, &Expected::read(&folder), true);
}

#[test]
fn a_graph_without_past_runs_uncached_and_says_why_not_cached() {
    let Some(plugin) = plugin() else { return };
    let mut session = open(&plugin, &fixtures().join("gpt2-no-past/model.onnx"));
    check_session(&mut session, &Expected::read(&fixtures().join("gpt2")), false);
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
    let good = fixtures().join("gpt2");
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.onnx");
    std::fs::write(&garbage, "not protobuf").unwrap();
    let nothing = folder.path().join("nothing");
    std::fs::create_dir(&nothing).unwrap();
    let absent = folder.path().join("libonnxruntime.so");
    let fake = folder.path().join("fake.so");
    std::fs::write(&fake, "no library").unwrap();
    let cases: [(&Path, ModelForm, Value, ErrorKind, &str); 7] = [
        (&good, ModelForm::HuggingFace, json!({}), ErrorKind::Unsupported, "onnx"),
        (&nothing, ModelForm::Onnx, json!({}), ErrorKind::InvalidInput, "no .onnx file"),
        (&garbage, ModelForm::Onnx, json!({}), ErrorKind::InvalidInput, "garbage.onnx"),
        (&good, ModelForm::Onnx, json!({"thread": 1}), ErrorKind::InvalidInput, "thread"),
        (&good, ModelForm::Onnx, json!({"library": absent}), ErrorKind::RuntimeMissing, "runtimes.sh"),
        (&good, ModelForm::Onnx, json!({"library": fake}), ErrorKind::RuntimeMissing, "fake.so"),
        (&good, ModelForm::Onnx, json!({"device": "cuda:99"}), ErrorKind::RuntimeMissing, "cuda:99"),
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
    let _session = open(&plugin, &fixtures().join("gpt2"));
    let library = plugin.describe(&json!({})).unwrap().runtime.library.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join(Path::new(&library).file_name().unwrap());
    std::fs::copy(&library, &copy).unwrap();
    let graph = fixtures().join("gpt2");
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
