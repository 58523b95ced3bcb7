//! What a worker says whose plugin has taken it over, and whole command lines on damaged files.

use super::models;
use super::mutate::Mutator;
use super::support::{copy, one_line, seed};
use inferhost::error::AppError;
use inferhost::plugins::PluginFile;
use inferhost::record::{DegradedKind, Stage};
use inferhost::run::describe;
use inferhost::worker::protocol::{
    EvaluateResult, Failure, FromWorker, Output, Reply, Request, RunResult, Sent,
};
use inferhost::worker::{Listener, Lost, Worker};
use ipc_channel::ipc::{self, IpcReceiver, IpcSender};
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::Formatter;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Bytes that are sent as they are, and taken as they come.
struct Raw(Vec<u8>);

/// More than any message here has.
const MOST: usize = 1 << 24;

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Raw;

            fn expecting(&self, to: &mut Formatter<'_>) -> std::fmt::Result {
                to.write_str("bytes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<Raw, A::Error> {
                Ok(Raw(std::iter::from_fn(|| bytes.next_element().ok().flatten()).collect()))
            }
        }
        deserializer.deserialize_tuple(MOST, All)
    }
}

/// A reply of every kind.
fn reply(input: &mut Mutator) -> FromWorker {
    let failure = Failure {
        stage: Stage::Run,
        kind: DegradedKind::Exception,
        message: input.text(),
        bad_input: input.one_in(2),
    };
    let ran = RunResult {
        latency_ns: input.number(),
        step_ends_ns: vec![input.number(); input.below(40)],
        tokens_processed: input.number(),
        output_digest: input.text(),
        telemetry: Box::default(),
        output: input.one_in(2).then(|| Output::Tokens(vec![vec![1, 2], vec![3]])),
    };
    FromWorker::Reply(Box::new(match input.below(7) {
        0 => loaded(),
        1 => Reply::Described(input.text()),
        2 => Reply::Opened(input.text()),
        3 => Reply::Observed(Vec::new()),
        4 => Reply::Evaluated(EvaluateResult { logprobs: vec![-1.0; input.below(40)], ..Default::default() }),
        5 => Reply::Failed(failure),
        _ => Reply::Ran(ran),
    }))
}

/// Bytes in place of a message: the host's end gives a message or an error, and never takes more memory than was sent.
pub(super) fn messages(input: &mut Mutator, _: &Path) {
    let (to, from) = channel::<Sent, Raw>();
    to.send(Sent::new(reply(input))).unwrap();
    let Raw(written) = from.recv().unwrap();
    let bytes = if input.one_in(10) { vec![0xff; input.below(64)] } else { input.bytes(&written) };
    let (to, from) = channel::<Raw, Sent>();
    to.send(Raw(bytes)).unwrap();
    if let Some(found) = Sent::receive(&from) {
        assert!(format!("{found:?}").len() < 100 * written.len().max(10_000));
    }
}

fn loaded() -> Reply {
    Reply::Loaded { interface: "1.0.0".into() }
}

/// A channel whose ends do not agree on what passes through it.
fn channel<A, B>() -> (IpcSender<A>, IpcReceiver<B>)
where
    A: Serialize + for<'de> Deserialize<'de>,
    B: for<'de> Deserialize<'de> + Serialize,
{
    let (sender, receiver) = ipc::channel::<()>().unwrap();
    (sender.to_opaque().to(), receiver.to_opaque().to())
}

/// A worker that gives these replies, whatever it is asked.
struct Liar(Vec<Reply>);

impl Worker for Liar {
    fn call_heard(&mut self, _: Request, _: Duration, _: &mut Listener<'_>) -> Result<Reply, Lost> {
        Ok(self.0.pop().unwrap_or(loaded()))
    }

    fn pid(&self) -> u32 {
        1
    }
}

const DESCRIPTION: &str = r#"{"name":"x","version":"1","runtime":{"name":"r","version":"2","library":"/l","problem":null},
"devices":["cpu"],"precisions":["f32"],"forms":["hugging_face"],"options":[{"name":"a","default":"b","help":"c"}],"capabilities":[]}"#;

pub(super) fn description(input: &mut Mutator, folder: &Path) {
    let text = String::from_utf8_lossy(&input.json(DESCRIPTION)).into_owned();
    let file = PluginFile { name: "x".into(), path: folder.join("x.so"), shadowed: Vec::new() };
    let mut worker = Liar(vec![Reply::Described(text), loaded()]);
    match describe(&mut worker, &file, "{}", Duration::from_secs(1)) {
        Ok(Err(failure)) => one_line(&AppError::backend(failure.message).message),
        Ok(Ok(description)) => drop(serde_json::to_string(&description).unwrap()),
        Err(_) => {}
    }
}

/// The program itself on damaged files: an exit code that is documented, and one line that says why.
pub(super) fn command_line(input: &mut Mutator, folder: &Path) {
    // No argument holds a zero byte, or is longer than the system takes.
    let value: String = input.text().chars().filter(|&c| c != '\0').take(4000).collect();
    let option = format!("{}={value}", input.pick(&["dtype", "threads", "fault", "x"]));
    let model = "synthetic:gpt2?layers=1&embd=4&heads=2&vocab=16&ctx=32&seed=1";
    fs::write(folder.join("ids.json"), input.json("[[1,2,3],[4,5]]")).unwrap();
    let config = seed("../configs/quickstart.toml");
    fs::write(folder.join("config.toml"), input.toml(&String::from_utf8_lossy(&config))).unwrap();
    copy("../tests/hostile/run", &folder.join("run"));
    let records = fs::read_to_string(folder.join("run/records.jsonl")).unwrap();
    fs::write(folder.join("run/records.jsonl"), input.bytes(records.as_bytes())).unwrap();
    let graph = seed("../tests/ort/genai/text.onnx");
    fs::write(folder.join("graph.onnx"), models::graph_messages(input, &graph)).unwrap();
    fs::write(folder.join("three.json"), "[[1,2,3]]").unwrap();
    let tokens = ["--plugin", "candle", "--model", model, "--tokens", "ids.json"];
    let lines: [Vec<&str>; 7] = [
        vec!["generate", "--plugin", "ort", "--model", "graph.onnx", "--tokens", "three.json"],
        vec!["plan", "config.toml"],
        vec!["report", "run"],
        vec!["run", "config.toml", "--out", "run", "--resume"],
        vec!["merge", "run", "run", "--out", "both"],
        [&["logprobs"], &tokens[..]].concat(),
        [&["prefill"], &tokens[..], &["--option", &option]].concat(),
    ];
    // A config that the changes left whole is resumed on another's records, which ends before anything runs.
    let output = Command::new(env!("CARGO_BIN_EXE_inferhost"))
        .args(&lines[input.below(lines.len())])
        .current_dir(folder)
        .env("INFERHOST_CACHE_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"))
        .env("INFERHOST_RUNTIMES", Path::new(env!("CARGO_MANIFEST_DIR")).join("../.runtimes"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0..=3)), "{}: {said}", output.status);
    assert!(!said.contains("internal error"), "{said}");
    let both = said + &String::from_utf8_lossy(&output.stdout);
    assert!(!both.contains(|c: char| c.is_control() && c != '\n'), "{both:?}");
}
