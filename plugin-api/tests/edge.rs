//! The edges of the ABI: panics and mistakes on the plugin's side, files that are no plugin on the host's.

use inferhost_plugin_api::{
    Backend, Batch, Description, Error, ErrorKind, GenerateOptions, LoadError, Logits, ModelForm,
    OpenRequest, OpenSession, Plugin, Positions, RVec, Rows, Runtime, Session, SessionInfo, Token, TokenSink,
    conformance,
};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// Panics in the call that its option `panic` names, and counts its calls.
struct Panicky;

struct PanickySession(String);

fn panic_if(asked: &str, here: &str) {
    assert!(asked != here, "{here} went wrong");
}

fn asked(options: &Value) -> String {
    options["panic"].as_str().unwrap_or_default().to_string()
}

impl Backend for Panicky {
    type Session = PanickySession;

    fn describe(options: &Value) -> Result<Description, Error> {
        panic_if(&asked(options), "describe");
        Ok(Description {
            name: "panicky".into(),
            version: "1".into(),
            runtime: Runtime { name: "none".into(), version: None, library: None, problem: None },
            devices: vec!["cpu".into()],
            precisions: vec!["f32".into()],
            forms: vec![ModelForm::HuggingFace],
            options: vec![],
        })
    }

    fn open(request: &OpenRequest<'_>) -> Result<PanickySession, Error> {
        panic_if(&asked(request.options), "open");
        Ok(PanickySession(asked(request.options)))
    }
}

impl Drop for PanickySession {
    fn drop(&mut self) {
        panic_if(&self.0, "drop");
    }
}

impl Session for PanickySession {
    fn info(&self) -> SessionInfo {
        panic_if(&self.0, "info");
        SessionInfo { vocab_size: 10, context_length: Some(4), ..SessionInfo::default() }
    }

    fn prefill(&mut self, batch: Batch<'_>, positions: Positions, logits: &mut Logits) -> Result<(), Error> {
        panic_if(&self.0, "prefill");
        logits.as_f32_mut(10, positions.count(batch) * 10).fill(0.0);
        Ok(())
    }

    fn generate(
        &mut self,
        _: Batch<'_>,
        _: &GenerateOptions<'_>,
        sink: &mut dyn TokenSink,
    ) -> Result<(), Error> {
        panic_if(&self.0, "generate");
        sink.step(&[Token { row: 0, id: 1 }]);
        Ok(())
    }

    fn logprobs(&mut self, batch: Batch<'_>, logprobs: &mut RVec<f64>) -> Result<(), Error> {
        panic_if(&self.0, "logprobs");
        logprobs.extend(vec![0.0; batch.total_tokens() - batch.rows()]);
        Ok(())
    }
}

struct Ignored;

impl TokenSink for Ignored {
    fn step(&mut self, _: &[Token]) -> bool {
        true
    }
}

fn open(panic: &str) -> Result<OpenSession, Error> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Plugin::in_process::<Panicky>().open(here, ModelForm::HuggingFace, &json!({ "panic": panic }))
}

fn greedy() -> GenerateOptions<'static> {
    GenerateOptions {
        max_new_tokens: 1,
        use_cache: true,
        stop_tokens: [][..].into(),
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        seed: 0,
    }
}

fn prefill(session: &mut OpenSession, rows: &[Vec<u32>]) -> Result<(), Error> {
    session.prefill(Rows::new(rows).batch(), Positions::Last, &mut Logits::default())
}

#[test]
fn a_panic_becomes_an_error_with_its_text_at_every_edge() {
    let rows = Rows::new(&[[1, 2]]);
    let at = |call: &str| match call {
        "describe" => Plugin::in_process::<Panicky>().describe(&json!({"panic": call})).map(drop),
        "open" | "info" => open(call).map(drop),
        "prefill" => prefill(&mut open(call)?, &[vec![1, 2]]),
        "generate" => open(call)?.generate(rows.batch(), &greedy(), &mut Ignored),
        _ => open(call)?.logprobs(rows.batch(), &mut RVec::new()),
    };
    for call in ["describe", "open", "info", "prefill", "generate", "logprobs"] {
        let error = at(call).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal, "{call}");
        assert_eq!(error.message, format!("the plugin panicked: {call} went wrong"));
    }
}

/// A panic that left `drop` would end the process: it crosses `extern "C"`.
#[test]
fn a_panic_in_drop_stays_in_the_plugin() {
    drop(open("drop").unwrap());
    assert!(prefill(&mut open("").unwrap(), &[vec![1]]).is_ok());
}

#[test]
fn a_bad_batch_never_reaches_the_session() {
    // A session that panics shows that it was not asked.
    let mut session = open("prefill").unwrap();
    let cases: [(&[Vec<u32>], &str); 4] = [
        (&[], "the batch has no rows; give at least one row of token ids"),
        (&[vec![1], vec![]], "row 1 is empty; every row needs at least one token id"),
        (&[vec![1, 10]], "row 0 holds token id 10, but the vocabulary has 10"),
        (
            &[vec![1; 5]],
            "row 0 needs 5 positions, but the model's context is 4; shorten the prompt or ask for fewer new tokens",
        ),
    ];
    for (rows, message) in cases {
        let error = prefill(&mut session, rows).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::InvalidInput, message));
    }
}

#[test]
fn the_last_new_token_needs_no_position() {
    let mut session = open("").unwrap();
    let rows = Rows::new(&[[1, 2]]);
    let mut generate = |max_new_tokens| {
        session.generate(rows.batch(), &GenerateOptions { max_new_tokens, ..greedy() }, &mut Ignored)
    };
    assert!(generate(3).is_ok());
    assert_eq!(generate(4).unwrap_err().kind, ErrorKind::InvalidInput);
    assert_eq!(generate(0).unwrap_err().kind, ErrorKind::InvalidInput);
}

/// A backend whose answers are all zero fails the suite by its answers, line by line, and does not end it.
#[test]
fn the_suite_reports_a_wrong_backend_without_a_panic() {
    let golden = conformance::golden_dirs(&["gpt2"]).found;
    assert!(!golden.is_empty(), "tests/golden holds GPT-2 cases");
    let suite = conformance::Suite {
        plugin: Plugin::in_process::<Panicky>(),
        options: json!({}),
        tolerance: conformance::Tolerance::F32,
        prepare: &|folder| Ok((folder.to_path_buf(), ModelForm::HuggingFace)),
    };
    let report = suite.run(&golden[..1]);
    let failed = |name: &str| {
        let is_failed = |c: &conformance::Check| matches!(c.outcome, conformance::Outcome::Failed(_));
        report.checks.iter().any(|check| check.name == name && is_failed(check))
    };
    for name in ["session info", "logits of the last position", "greedy tokens, cached", "logprobs"] {
        assert!(failed(name), "{name} should fail\n{report}");
    }
    assert!(failed("describe refuses an unknown option"), "{report}");
    assert!(!suite.run(&[]).passed(), "a run without answers to compare proves nothing");
}

#[test]
fn files_that_are_no_plugin_are_told_apart() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let error = |path: &Path| Plugin::load(path).err().expect("no plugin");
    let missing = error(&here.join("no_such_plugin.so"));
    assert!(
        matches!(missing, LoadError::Unreadable { .. }) && missing.to_string().contains("no_such_plugin.so")
    );
    let folder = error(here);
    assert!(folder.to_string().ends_with("it is a folder"), "{folder}");
    let text = error(&here.join("Cargo.toml"));
    assert!(matches!(text, LoadError::NotALibrary { .. }), "{text}");
    for error in [missing, folder, text] {
        assert_eq!(error.to_string().lines().count(), 1);
    }
}

#[test]
fn a_library_without_the_symbol_is_no_plugin() {
    let places = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6"];
    let Some(library) = places.iter().map(Path::new).find(|path| path.exists()) else {
        std::io::stderr()
            .write_all(format!("skipped: no libm.so.6 in any of {places:?}\n").as_bytes())
            .unwrap();
        return;
    };
    let error = Plugin::load(library).err().expect("libm is no plugin");
    assert!(matches!(error, LoadError::NoPlugin { .. }), "{error}");
}
