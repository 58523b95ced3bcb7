//! The accuracy gate: backends held against a baseline on the same tokens, by `eval` and by `run`.

use crate::support::{Ended, Host, TINY, config, faulty, has_onnx_runtime, shared, wait_until};
use inferhost::accuracy::{Evaluation, PrecisionClass, Verdict};
use inferhost::record::{DegradedKind, Stage};
use inferhost::store::read_evaluations;
use serde_json::Value;
use std::path::{Path, PathBuf};

const CANDLE: &str = "[[backends]]\nname = \"f64\"\nplugin = \"candle\"\noptions = { dtype = \"f64\" }\n\
    [[backends]]\nname = \"f32\"\nplugin = \"candle\"\n";
const ORT: &str =
    "[[backends]]\nname = \"ort\"\nplugin = \"ort\"\nartifact = \"onnx-fp32\"\noptions = { threads = 1 }\n";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/gpt2-erf").canonicalize().unwrap()
}

/// Writes `tokens.json`: rows that the model finds likely, because it made them itself.
fn likely_tokens(host: &Host, plugin: &str, model: &str) -> Vec<Vec<u32>> {
    let prompts = [vec![1, 2, 3], vec![4, 5, 6], vec![9, 9], vec![0]];
    host.write("prompts.json", &format!("{prompts:?}"));
    let call = ["generate", "--plugin", plugin, "--model", model, "--tokens", "prompts.json", "--json"];
    let made = host.run(&[&call[..], &["--max-new-tokens", "24"]].concat());
    let made: Value = serde_json::from_str(&made.succeeds().stdout).unwrap();
    let new: Vec<Vec<u32>> = serde_json::from_value(made["tokens"].clone()).unwrap();
    let rows: Vec<Vec<u32>> =
        prompts.iter().zip(new).map(|(prompt, new)| [prompt.clone(), new].concat()).collect();
    host.write("tokens.json", &format!("{rows:?}"));
    rows
}

/// A config of one model with an accuracy table.
fn gated(model: &str, backends: &str, accuracy: &str) -> String {
    let run = "repetitions = 1\nwarmups = 0\ndeadline_s = 20";
    config(run, backends).replace(TINY, model)
        + &format!("[accuracy]\ntokens = \"tokens.json\"\n{accuracy}\n")
}

fn eval(host: &Host, config: &str) -> (Ended, Vec<Evaluation>) {
    host.write("config.toml", config);
    let ended = host.run(&["eval", "config.toml", "--out", "out"]);
    (ended, evaluations(host))
}

fn evaluations(host: &Host) -> Vec<Evaluation> {
    read_evaluations(&host.path("out")).unwrap().evaluations
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance
}

/// exp(-mean) of what `logprobs` gives for the rows.
fn perplexity(host: &Host, model: &str) -> f64 {
    let call = ["logprobs", "--plugin", "candle", "--option", "dtype=f64", "--model", model];
    let found = host.run(&[&call[..], &["--tokens", "tokens.json", "--json"]].concat());
    let found: Value = serde_json::from_str(&found.succeeds().stdout).unwrap();
    let logprobs: Vec<Vec<f64>> = serde_json::from_value(found["logprobs"].clone()).unwrap();
    let all = logprobs.concat();
    (-all.iter().sum::<f64>() / all.len() as f64).exp()
}

#[test]
fn exact_backends_pass_with_their_distributions_compared_or_not() {
    let host = Host::new();
    let model = golden();
    let model = model.to_str().unwrap();
    let tokens = likely_tokens(&host, "candle", model).concat().len() as u64;
    let expected = perplexity(&host, model);
    let backends = if has_onnx_runtime() { format!("{CANDLE}{ORT}") } else { CANDLE.into() };
    let (ended, found) = eval(&host, &gated(model, &backends, "batch = 3"));
    ended.succeeds();
    assert_eq!(found.len(), backends.matches("[[backends]]").count());
    for of in &found {
        let figures = of.figures.as_ref().unwrap();
        assert!(close(figures.perplexity / expected, 1.0, 1e-6), "{of:?} is not {expected}");
        assert_eq!((figures.tokens, of.precision), (tokens - 4, Some(PrecisionClass::Fp32)));
        assert!(figures.logprob_min <= figures.logprob_mean && figures.logprob_mean <= figures.logprob_max);
        match (&figures.against, &figures.distributions) {
            (None, None) => assert_eq!((of.backend.as_str(), of.verdict), ("f64", Verdict::Baseline)),
            (Some(against), Some(distributions)) => {
                assert_eq!(of.verdict, Verdict::Pass);
                assert!(against.relative_difference.abs() < 1e-6 && against.ln_ppl_ratio_se.unwrap() < 1e-6);
                assert!(distributions.kl_mean < 1e-9 && distributions.top1_agreement > 0.99, "{of:?}");
                assert!(
                    distributions.logit_difference_max < 1e-4 && distributions.logit_difference_max > 0.0
                );
            }
            halves => panic!("{halves:?}"),
        }
    }
    assert!(close(found[0].figures.as_ref().unwrap().perplexity, expected, 1e-9 * expected));

    let plain = Host::new();
    std::fs::copy(host.path("tokens.json"), plain.path("tokens.json")).unwrap();
    let (ended, without) = eval(&plain, &gated(model, &backends, "distributions = false"));
    ended.succeeds();
    for (with, without) in found.iter().zip(&without) {
        let (with, without) = (with.figures.as_ref().unwrap(), without.figures.as_ref().unwrap());
        assert!(close(with.logprob_mean, without.logprob_mean, 1e-6) && without.distributions.is_none());
        assert_eq!(with.against.is_some(), without.against.is_some());
    }
}

#[test]
fn a_backend_that_is_off_is_marked_beside_every_speed() {
    let host = Host::new();
    likely_tokens(&host, "faulty", TINY);
    let backends = faulty("good", "") + &faulty("twin", "") + &faulty("bad", "fault = \"logits_noise\"");
    host.write("config.toml", &gated(TINY, &backends, ""));
    let ran = host.run(&["run", "config.toml", "--out", "out"]);
    let text = &ran.succeeds().stdout;
    assert!(text.contains("accuracy: 3 of 3 evaluations recorded, 1 baseline, 1 pass, 1 FAILED"), "{text}");
    for call in ["tiny, prefill\n", "tiny, generate cached\n", "tiny, accuracy: "] {
        let table = text.split(call).nth(1).unwrap().split("\n\n").next().unwrap();
        let marked: Vec<&str> = table.lines().filter(|line| line.contains("FAILED")).collect();
        assert!(marked.len() == 1 && marked[0].contains(" bad "), "{call}: {table}");
        assert!(table.lines().any(|line| line.contains(" twin ") && line.contains("pass")), "{table}");
    }
    let report = std::fs::read_to_string(host.path("out/report.md")).unwrap();
    let tables = report.lines().filter(|line| line.starts_with("| scenario | good (baseline)"));
    assert!(tables.clone().count() == 2 && report.contains("## Accuracy"), "{report}");
    assert!(tables.clone().all(|head| head.contains("| bad — accuracy **FAILED** |")), "{report}");
    let summary = std::fs::read_to_string(host.path("out/summary.csv")).unwrap();
    assert_eq!(summary.lines().filter(|row| row.contains(",bad,") && row.contains(",FAILED,")).count(), 2);
    let csv = std::fs::read_to_string(host.path("out/accuracy.csv")).unwrap();
    assert!(csv.lines().any(|row| row.starts_with("tiny,bad,good,FAILED,fp32,0.001,")), "{csv}");
    let analysis: Value =
        serde_json::from_str(&host.run(&["report", "out", "--json"]).succeeds().stdout).unwrap();
    assert_eq!(analysis["accuracy"]["evaluations"][2]["verdict"], "failed");
    assert!(analysis["cells"].as_array().unwrap().iter().all(|cell| cell["accuracy"].is_string()));

    host.write("config.toml", &gated(TINY, &backends, "").replace("\"test\"", "\"other\""));
    let eval = host.run(&["eval", "config.toml", "--json"]);
    eval.fails(1, &["1 of 3 evaluations do not pass the accuracy gate"]);
    let outcome: Value = serde_json::from_str(&eval.stdout).unwrap();
    assert_eq!(
        (&outcome["passed"], outcome["evaluations"].as_array().unwrap().len()),
        (&Value::from(false), 3)
    );
    assert!(outcome["run_dir"].as_str().unwrap().starts_with("runs/other-eval-"), "{outcome}");
    assert!(host.path(outcome["report"].as_str().unwrap()).is_file());
}

#[test]
fn thresholds_are_the_configs() {
    let host = Host::new();
    likely_tokens(&host, "faulty", TINY);
    let backends = faulty("good", "") + &faulty("bad", "fault = \"logits_noise\"");
    let loose = gated(TINY, &backends, "[accuracy.thresholds]\nfp32 = 2.5");
    let (ended, found) = eval(&host, &loose);
    ended.succeeds();
    assert_eq!((found[1].threshold, found[1].verdict), (Some(2.5), Verdict::Pass));
}

/// Random weights guess: any two backends agree there, and that is no evidence.
#[test]
fn a_model_that_predicts_nothing_lets_nobody_pass() {
    let host = Host::new();
    host.write("tokens.json", &format!("{:?}", (0..60).map(|i| i * 7 % 16).collect::<Vec<u32>>()));
    let (ended, found) = eval(&host, &gated(TINY, CANDLE, ""));
    ended.fails(1, &["2 of 2 evaluations do not pass"]);
    assert!(ended.stdout.contains("no signal"), "{}", ended.stdout);
    assert!(found.iter().all(|of| of.verdict == Verdict::NoSignal), "{found:?}");
}

#[test]
fn a_backend_that_is_lost_is_recorded_for_what_it_was() {
    let host = Host::new();
    likely_tokens(&host, "faulty", TINY);
    let cases = [
        ("fault = \"nan\"", DegradedKind::InvalidOutput, Stage::Verify, "no log-probability"),
        ("fault = \"wrong_shape\"", DegradedKind::InvalidOutput, Stage::Verify, "wrong shape"),
        ("fault = \"short_output\", after = 1", DegradedKind::InvalidOutput, Stage::Verify, "wrong shape"),
        ("fault = \"abort\", after = 1", DegradedKind::Crashed, Stage::Run, "signal 6"),
        ("fault = \"error\"", DegradedKind::Exception, Stage::Run, "as fault = error asks"),
        ("fault = \"out_of_memory_error\"", DegradedKind::OutOfMemory, Stage::Run, "no memory left"),
        ("fault = \"missing_runtime\", stage = \"open\"", DegradedKind::RuntimeMissing, Stage::Open, ""),
        ("fault = \"exit\", stage = \"open\"", DegradedKind::Crashed, Stage::Open, "code 3"),
        ("fault = \"hang\"", DegradedKind::Timeout, Stage::Run, "no answer within 0.5 s"),
    ];
    let mut backends = faulty("good", "");
    for (number, (options, ..)) in cases.iter().enumerate() {
        backends += &faulty(&format!("bad{number}"), options);
    }
    backends += &faulty("twin", "");
    let text = gated(TINY, &backends, "batch = 2").replace("deadline_s = 20", "deadline_s = 0.5");
    let (ended, found) = eval(&host, &text);
    ended.fails(1, &["9 of 11 evaluations do not pass"]);
    let of = |name: &str| found.iter().find(|of| of.backend == name).unwrap();
    assert_eq!((found.len(), of("good").verdict, of("twin").verdict), (11, Verdict::Baseline, Verdict::Pass));
    assert_eq!(of("twin").figures.as_ref().unwrap().distributions.unwrap().kl_mean, 0.0);
    for (number, (options, kind, stage, said)) in cases.iter().enumerate() {
        let lost = of(&format!("bad{number}"));
        let reason = lost.degraded.as_ref().unwrap();
        assert_eq!((reason.kind, reason.stage), (*kind, *stage), "{options}: {}", reason.message);
        assert!(reason.message.contains(said), "{options}: {}", reason.message);
        assert_eq!((lost.verdict, &lost.figures), (Verdict::Degraded, &None));
    }
    let report = std::fs::read_to_string(host.path("out/report.md")).unwrap();
    assert!(report.contains("**degraded**: `timeout` in run: "), "{report}");
}

#[test]
fn without_a_baseline_there_are_figures_and_no_pass() {
    let host = Host::new();
    likely_tokens(&host, "faulty", TINY);
    for (options, batch) in [("fault = \"error\", stage = \"open\"", 4), ("fault = \"error\", after = 1", 1)]
    {
        let backends = faulty("base", options) + &faulty("good", "");
        let (ended, found) = eval(&host, &gated(TINY, &backends, &format!("batch = {batch}")));
        ended.fails(1, &["2 of 2"]);
        let of = |name: &str| found.iter().find(|of| of.backend == name).unwrap();
        assert_eq!((of("base").verdict, of("good").verdict), (Verdict::Degraded, Verdict::NoBaseline));
        let figures = of("good").figures.as_ref().unwrap();
        assert!(figures.perplexity > 1.0 && figures.against.is_none() && figures.distributions.is_none());
        std::fs::remove_dir_all(host.path("out")).unwrap();
    }
    let (ended, _) = eval(&host, &gated(TINY, &faulty("base", "fault = \"error\""), ""));
    ended.fails(3, &["no backend could be evaluated"]);
}

#[test]
fn what_is_recorded_is_not_evaluated_again() {
    let host = Host::new();
    likely_tokens(&host, "faulty", TINY);
    let backends = faulty("good", "") + &faulty("twin", "") + &faulty("bad", "fault = \"abort\"");
    let text = gated(TINY, &backends, "");
    let (ended, found) = eval(&host, &text);
    ended.fails(1, &["1 of 3"]);
    let path = host.path("out/accuracy.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    host.run(&["eval", "config.toml", "--out", "out"]).fails(2, &["already holds records", "--resume"]);
    let resume = ["eval", "config.toml", "--out", "out", "--resume"];
    // The baseline stands by again and keeps its record; a line that a crash has torn is made again.
    for kept in [3, 2, 1, 0] {
        let torn = if kept < 3 { &lines[kept][..lines[kept].len() / 2] } else { "" };
        let before: String = lines[..kept].iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, format!("{before}{torn}")).unwrap();
        host.run(&resume).fails(1, &["1 of 3"]);
        let now = std::fs::read_to_string(&path).unwrap();
        assert!(now.starts_with(&before), "{now}");
        let now = evaluations(&host);
        let names =
            |of: &[Evaluation]| -> Vec<_> { of.iter().map(|of| (of.backend.clone(), of.verdict)).collect() };
        let (mut before, mut after) = (names(&found), names(&now));
        before.sort();
        after.sort();
        assert_eq!(before, after);
    }
    host.write("tokens.json", "[1, 2, 3, 4]");
    host.run(&resume).fails(2, &["tokens.json", "model `tiny`", "another --out"]);
    host.write("config.toml", &text.replace("[accuracy]\n", "[accuracy]\nmax_tokens = 4\n"));
    host.run(&resume).fails(2, &["another config", "accuracy.max_tokens"]);
}

#[test]
fn a_matrix_is_resumed_with_its_evaluations() {
    let host = Host::new();
    likely_tokens(&host, "faulty", TINY);
    host.write("config.toml", &gated(TINY, &(faulty("good", "") + &faulty("twin", "")), ""));
    host.run(&["run", "config.toml", "--out", "out"]).succeeds();
    let records = host.records();
    std::fs::remove_file(host.path("out/accuracy.jsonl")).unwrap();
    let report = host.run(&["report", "out"]).succeeds().stdout.clone();
    assert!(report.contains("2 planned evaluations of accuracy have no record"), "{report}");
    host.run(&["run", "config.toml", "--out", "out", "--resume"]).succeeds();
    assert_eq!((host.records(), evaluations(&host).len()), (records, 2));
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_models_that_are_done() {
    use nix::sys::signal::{Signal, kill};
    let host = Host::new();
    likely_tokens(&host, "faulty", TINY);
    let second = format!("[[models]]\nname = \"second\"\nsource = \"{TINY}\"\n[[backends]]");
    let backends = faulty("good", "") + &faulty("slow", "fault = \"slow\", delay_ms = 200");
    let text = gated(TINY, &backends, "batch = 1").replacen("[[backends]]", &second, 1);
    host.write("config.toml", &text);
    let child = host.start(&["eval", "config.toml", "--out", "out"]);
    let path = host.path("out/accuracy.jsonl");
    wait_until("the first model", || {
        std::fs::read_to_string(&path).is_ok_and(|text| text.lines().count() == 2)
    });
    kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    let kept = evaluations(&host);
    assert_eq!(kept.len(), 2);
    host.run(&["eval", "config.toml", "--out", "out", "--resume"]).succeeds();
    let now = evaluations(&host);
    assert_eq!((now.len(), &now[..2]), (4, &kept[..]));
}

#[test]
fn mistakes_in_a_corpus_are_told_before_anything_runs() {
    let host = Host::new();
    host.write("tokens.json", &format!("{:?}", vec![1; 40]));
    host.write("large.json", "[1, 2, 16]");
    host.write("short.json", "[1, 2, 3]");
    host.write("one.json", "[[1], [2]]");
    host.write("text.json", "hello");
    host.write("text.txt", "hello");
    host.write("empty.txt", " \n");
    std::fs::write(host.path("latin.txt"), b"caf\xe9").unwrap();
    let sound = gated(TINY, &faulty("good", ""), "");
    let tokens = "tokens = \"tokens.json\"";
    let cases: [(&str, &[&str]); 22] = [
        ("tokens = \"none.json\"", &["accuracy.tokens", "none.json", "[[ids], ...]"]),
        ("tokens = \"text.json\"", &["text.json", "[[ids], ...]"]),
        ("tokens = \"large.json\"", &["model `tiny`", "large.json: token 2 is 16", "vocabulary of 16"]),
        ("tokens = \"one.json\"", &["model `tiny`", "nothing is predicted"]),
        ("text = \"none.txt\"", &["accuracy.text", "none.txt"]),
        ("text = \"empty.txt\"", &["empty.txt", "it is empty"]),
        ("text = \"latin.txt\"", &["latin.txt", "byte 3 is not UTF-8"]),
        ("text = \"text.txt\"", &["model `tiny`", "no tokenizer"]),
        ("", &["neither text nor tokens"]),
        ("text = \"text.txt\"\ntokens = \"tokens.json\"", &["both text and tokens"]),
        ("tokens = \"tokens.json\"\nwindow = 1", &["accuracy.window is 1", "2 or more"]),
        ("tokens = \"tokens.json\"\nwindow = 33", &["accuracy.window is 33", "context is 32"]),
        ("tokens = \"short.json\"\nwindow = 8", &["has 3 tokens", "asks for 8"]),
        ("tokens = \"short.json\"\nmax_tokens = 9", &["has 3 tokens", "asks for 9"]),
        ("tokens = \"tokens.json\"\nmax_tokens = 1", &["accuracy.max_tokens is 1"]),
        ("tokens = \"tokens.json\"\nstride = 0", &["accuracy.stride is 0"]),
        ("tokens = \"tokens.json\"\nwindow = 8\nstride = 9", &["accuracy.stride is 9", "window of 8"]),
        ("tokens = \"tokens.json\"\nstride = 33", &["accuracy.stride is 33", "window of 32"]),
        ("tokens = \"tokens.json\"\nbatch = 0", &["accuracy.batch is 0"]),
        ("tokens = \"tokens.json\"\nwindw = 8", &["config.toml:", "unknown key `windw`", "`window`"]),
        ("tokens = \"tokens.json\"\n[accuracy.thresholds]\nfp23 = 1", &["unknown key `fp23`", "`fp32`"]),
        ("tokens = \"tokens.json\"\n[accuracy.thresholds]\nint8 = -1", &["accuracy.thresholds.int8 is -1"]),
    ];
    for (wrong, parts) in cases {
        host.write("config.toml", &sound.replace(tokens, wrong));
        for command in ["eval", "run"] {
            host.run(&[command, "config.toml", "--out", "out"]).fails(2, parts);
            assert!(!host.path("out").exists(), "nothing is left behind by: {wrong}");
        }
    }
    host.write("config.toml", &config("", &faulty("good", "")));
    host.run(&["eval", "config.toml"]).fails(2, &["no [accuracy] table", "text ="]);
    host.run(&["eval", "config.toml", "--resume"]).fails(2, &["no [accuracy] table"]);
}

#[test]
fn a_tokenizer_that_does_not_fit_its_model_is_told() {
    let host = Host::new();
    let model = host.path("model");
    std::fs::create_dir(&model).unwrap();
    for entry in std::fs::read_dir(golden()).unwrap().flatten() {
        std::fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
    }
    host.write("model/vocab.json", r#"{"a":0,"b":5000}"#);
    host.write("model/merges.txt", "#version: 0.2\n");
    host.write("text.txt", "aab");
    let text =
        gated(model.to_str().unwrap(), &faulty("good", ""), "").replace("tokens = \"tokens", "text = \"text");
    host.write("config.toml", &text.replace("text.json", "text.txt"));
    host.run(&["eval", "config.toml", "--out", "out"])
        .fails(2, &["model `tiny`", "its tokenizer does not fit it", "token 2", "id 5000", "has 211"]);
}

/// What transformers computes in float64 on all of the text, and what candle gave on its beginning on the day when all
/// of it came out right. Without optimisation only the beginning is run.
#[test]
fn the_trained_model_has_the_perplexity_that_transformers_gives_it() {
    let (Some(model), Some(text)) = (shared("models/gpt2-wikitext-7m"), shared("data/wikitext-2-test-a.txt"))
    else {
        return;
    };
    let (max_tokens, predicted, expected) = if cfg!(debug_assertions) {
        ("max_tokens = 2048", 2046, BEGINNING)
    } else {
        ("", 179_194, 202.700_254)
    };
    let host = Host::new();
    let first = CANDLE.split("[[backends]]").nth(1).unwrap();
    let accuracy = gated(model.to_str().unwrap(), &format!("[[backends]]{first}"), max_tokens);
    let text = format!("text = {:?}", text.canonicalize().unwrap());
    let (ended, found) = eval(&host, &accuracy.replace("tokens = \"tokens.json\"", &text));
    ended.succeeds();
    let figures = found[0].figures.as_ref().unwrap();
    assert_eq!(figures.tokens, predicted);
    assert!(close(figures.perplexity, expected, 5e-7), "{figures:?}");
}

const BEGINNING: f64 = 149.629_026_228;
