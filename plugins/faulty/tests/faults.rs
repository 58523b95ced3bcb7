//! The fake model as a plugin, and every fault as its caller meets it. Faults that end the process run in a child:
//! this test binary again, told by the environment which options to take.
#![expect(clippy::unwrap_used, reason = "clippy exempts test functions only, not what they call")]

use inferhost_plugin_api::{
    Error, ErrorKind, GenerateOptions, Logits, ModelForm, OpenSession, Plugin, Positions, RVec, Rows, Token,
    TokenSink,
};
use inferhost_plugin_faulty::Faulty;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

const VOCAB: usize = 11;
const ROWS: [&[u32]; 3] = [&[1, 2, 3], &[4], &[5, 6]];
const CHILD_OPTIONS: &str = "FAULTY_TEST_OPTIONS";

struct Tokens(Vec<Token>);

impl TokenSink for Tokens {
    fn step(&mut self, tokens: &[Token]) -> bool {
        self.0.extend_from_slice(tokens);
        true
    }
}

fn model() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/model"))
}

fn open(options: Value) -> Result<OpenSession, Error> {
    Plugin::in_process::<Faulty>().open(model(), ModelForm::HuggingFace, &options)
}

fn prefill(session: &mut OpenSession, rows: &[&[u32]], positions: Positions) -> Result<Logits, Error> {
    let mut logits = Logits::default();
    session.prefill(Rows::new(rows).batch(), positions, &mut logits).map(|()| logits)
}

fn generate(session: &mut OpenSession, rows: &[&[u32]], use_cache: bool) -> Result<Vec<Token>, Error> {
    let options = GenerateOptions {
        max_new_tokens: 4,
        use_cache,
        stop_tokens: [].as_slice().into(),
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        seed: 0,
    };
    let mut tokens = Tokens(Vec::new());
    session.generate(Rows::new(rows).batch(), &options, &mut tokens).map(|()| tokens.0)
}

fn logprobs(session: &mut OpenSession, rows: &[&[u32]]) -> Result<Vec<f64>, Error> {
    let mut values = RVec::new();
    session.logprobs(Rows::new(rows).batch(), &mut values).map(|()| values.into())
}

fn prefill_once(options: Value) -> Result<Logits, Error> {
    prefill(&mut open(options)?, &ROWS, Positions::Last)
}

#[test]
fn rows_are_independent_and_cached_equals_uncached() {
    let mut session = open(json!({})).unwrap();
    assert_eq!((session.info().vocab_size, session.info().context_length), (11, Some(16)));
    let all = prefill(&mut session, &ROWS, Positions::All).unwrap().rows_f64();
    let last = prefill(&mut session, &ROWS, Positions::Last).unwrap().rows_f64();
    assert_eq!(last, [&all[2], &all[3], &all[5]].map(Clone::clone));
    let together = generate(&mut session, &ROWS, true).unwrap();
    assert_eq!(generate(&mut session, &ROWS, false).unwrap(), together);
    for (row, tokens) in ROWS.iter().enumerate() {
        let alone = generate(&mut session, &[tokens], true).unwrap();
        let expected = together.iter().filter(|token| token.row as usize == row).map(|token| token.id);
        assert!(alone.iter().map(|token| token.id).eq(expected), "row {row}");
        assert_eq!(
            prefill(&mut session, &[tokens], Positions::Last).unwrap().rows_f64(),
            [last[row].clone()]
        );
    }
}

#[test]
fn logprobs_are_those_of_the_logits() {
    let mut session = open(json!({})).unwrap();
    let logits = prefill(&mut session, &[&[1, 2, 3]], Positions::All).unwrap().rows_f64();
    let expected = [2, 3].map(|id| {
        let row = &logits[id - 2];
        row[id] - row.iter().map(|x| x.exp()).sum::<f64>().ln()
    });
    let found = logprobs(&mut session, &ROWS).unwrap();
    assert_eq!(found.len(), 3);
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn a_mistake_in_the_options_names_the_key_or_value() {
    for (options, part) in [
        (json!({"falt": "nan"}), "unknown field `falt`"),
        (json!({"fault": "sigsegv"}), "unknown variant `sigsegv`"),
        (json!({"every": 0}), "nonzero"),
        (json!({"fault": "nan", "stage": "open"}), "stage = open"),
        (json!({"fault": "hang", "once_file": "/no/such/folder/x", "stage": "open"}), "/no/such/folder/x"),
    ] {
        let error = open(options).err().expect("refused");
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        assert!(error.message.contains(part), "{}", error.message);
    }
}

#[test]
fn what_it_cannot_open_is_named() {
    let plugin = Plugin::in_process::<Faulty>();
    let error = plugin.open(model(), ModelForm::TorchScript, &json!({})).err().expect("refused");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    let error = plugin.open(model(), ModelForm::EnginePlan, &json!({})).err().expect("refused");
    assert!(error.kind == ErrorKind::InvalidInput && error.message.contains("engine.json"), "{error}");
    let no_model = Path::new(env!("CARGO_MANIFEST_DIR"));
    let error = plugin.open(no_model, ModelForm::HuggingFace, &json!({})).err().expect("refused");
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    assert!(error.message.contains("config.json"), "{}", error.message);
    let file = model().join("config.json");
    assert!(
        plugin.open(&file, ModelForm::Onnx, &json!({})).is_ok(),
        "a file stands for the folder it lies in"
    );
}

#[test]
fn describe_lists_every_option_and_a_missing_runtime() {
    let plugin = Plugin::in_process::<Faulty>();
    let description = plugin.describe(&json!({})).unwrap();
    assert!(description.runtime.problem.is_none());
    for option in description.options.iter().filter(|option| option.name != "once_file") {
        let value: Value = serde_json::from_str(&option.default).unwrap_or_else(|_| json!(option.default));
        plugin.describe(&json!({ option.name.clone(): value })).unwrap();
    }
    assert!(plugin.describe(&json!({"fault": "missing_runtime"})).unwrap().runtime.problem.is_some());
    assert!(plugin.describe(&json!({"falt": "nan"})).is_err());
}

#[test]
fn errors_have_their_kind() {
    for (fault, kind) in [
        ("panic", ErrorKind::Internal),
        ("error", ErrorKind::NumericalFault),
        ("missing_runtime", ErrorKind::RuntimeMissing),
        ("out_of_memory_error", ErrorKind::OutOfMemory),
        ("unsupported", ErrorKind::Unsupported),
        ("shape_not_covered", ErrorKind::ShapeNotCovered),
    ] {
        let options = json!({"fault": fault, "error_kind": "NumericalFault"});
        assert_eq!(prefill_once(options).unwrap_err().kind, kind, "{fault}");
        let at_open = json!({"fault": fault, "error_kind": "NumericalFault", "stage": "open"});
        assert_eq!(open(at_open).err().expect("refused").kind, kind, "{fault} at open");
    }
}

#[test]
fn after_every_and_stage_choose_the_calls() {
    let mut session = open(json!({"fault": "error", "stage": "prefill", "after": 2, "every": 3})).unwrap();
    let failed: Vec<usize> =
        (0..9).filter(|_| prefill(&mut session, &ROWS, Positions::Last).is_err()).collect();
    assert_eq!(failed, [2, 5, 8]);
    assert!(logprobs(&mut session, &ROWS).is_ok());
    assert!(generate(&mut session, &ROWS, true).is_ok());
}

#[test]
fn once_file_lets_the_next_worker_succeed() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("once");
    let _ = std::fs::remove_file(&file);
    let options = json!({"fault": "error", "once_file": file});
    assert!(prefill_once(options.clone()).is_err());
    assert!(prefill_once(options).is_ok());
}

#[test]
fn faults_at_random_are_the_same_each_time_and_differ_between_sessions() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("count");
    let met = |options: &Value| {
        let mut session = open(options.clone()).unwrap();
        let mut kind = || prefill(&mut session, &ROWS, Positions::Last).err().map(|error| error.kind);
        (0..200).map(|_| kind()).collect::<Vec<_>>()
    };
    let drawn = json!({"faults": ["unsupported", "out_of_memory_error"], "rate": 0.25, "seed": 3});
    let first = met(&drawn);
    assert_eq!(first, met(&drawn));
    let failed = first.iter().flatten().count();
    assert!((25..75).contains(&failed), "{failed} of 200 at a rate of 0.25");
    assert!([ErrorKind::Unsupported, ErrorKind::OutOfMemory].iter().all(|&kind| first.contains(&Some(kind))));
    let mut counted = drawn.clone();
    counted["count_file"] = json!(file);
    let _ = std::fs::remove_file(&file);
    let (second, third) = (met(&counted), met(&counted));
    assert_ne!(second, third);
    let _ = std::fs::remove_file(&file);
    assert_eq!((second, third), (met(&counted), met(&counted)));
}

#[test]
fn output_is_spoilt_as_asked() {
    let spoilt = |fault: &str| open(json!({"fault": fault, "every": 1})).unwrap();
    let sizes = |fault| {
        let logits = prefill(&mut spoilt(fault), &ROWS, Positions::Last).unwrap();
        let tokens = generate(&mut spoilt(fault), &ROWS, true).map(|tokens| tokens.len()).ok();
        let values = logprobs(&mut spoilt(fault), &ROWS).unwrap();
        (logits.vocab_size as usize, logits.len(), tokens, values.len())
    };
    assert_eq!(sizes("none"), (VOCAB, 3 * VOCAB, Some(12), 3));
    assert_eq!(sizes("nan"), (VOCAB, 3 * VOCAB, None, 3));
    assert_eq!(sizes("short_output"), (VOCAB, 2 * VOCAB, Some(6), 2));
    assert_eq!(sizes("wrong_shape"), (VOCAB + 1, 3 * (VOCAB + 1), Some(12), 4));
    let nan = prefill(&mut spoilt("nan"), &ROWS, Positions::All).unwrap().rows_f64();
    assert!(nan.iter().flatten().all(|x| x.is_nan()));
    assert!(logprobs(&mut spoilt("nan"), &ROWS).unwrap().iter().all(|x| x.is_nan()));
    assert_eq!(generate(&mut spoilt("nan"), &ROWS, false).unwrap_err().kind, ErrorKind::NumericalFault);
    assert_eq!(generate(&mut spoilt("wrong_shape"), &ROWS, true).unwrap()[0].row, 3);
    assert_eq!(generate(&mut spoilt("token_out_of_range"), &ROWS, true).unwrap()[0].id, 11);
}

/// With options in the environment this is the child's part of the tests below; without, a plain call.
#[test]
fn one_call() {
    let options = std::env::var(CHILD_OPTIONS).unwrap_or_else(|_| "{}".into());
    assert!(prefill_once(serde_json::from_str(&options).unwrap()).is_ok());
}

fn in_child(mut command: Command, options: &Value) -> Output {
    command.env(CHILD_OPTIONS, options.to_string()).output().unwrap()
}

fn this_test() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "one_call", "--nocapture"]);
    command
}

#[test]
fn exit_and_flood_in_a_child() {
    let output = in_child(this_test(), &json!({"fault": "exit", "exit_code": 17}));
    assert_eq!(output.status.code(), Some(17));
    let output = in_child(this_test(), &json!({"fault": "print_flood", "flood_mb": 2}));
    assert!(output.status.success());
    assert!(output.stdout.len() > 1_900_000 && output.stderr.len() > 1_900_000, "two floods");
    assert!(in_child(this_test(), &json!({"fault": "slow", "delay_ms": 1})).status.success());
}

#[cfg(unix)]
#[test]
fn signals_in_a_child() {
    use std::os::unix::process::ExitStatusExt;
    const SIGABRT: i32 = 6;
    let signal = |command, fault| in_child(command, &json!({"fault": fault})).status.signal();
    let segfault = signal(this_test(), "segfault");
    assert!(matches!(segfault, Some(10 | 11)), "SIGSEGV, or SIGBUS on macOS: {segfault:?}");
    assert_eq!(signal(this_test(), "abort"), Some(SIGABRT));
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 1000000 && exec \"$0\" --exact one_call --nocapture"]);
    limited.arg(std::env::current_exe().unwrap());
    if cfg!(target_os = "linux") {
        assert_eq!(signal(limited, "leak"), Some(SIGABRT));
    } else {
        println!("leak is not run: only Linux enforces ulimit -v");
    }
}
