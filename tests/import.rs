//! Results of llama-bench and optimum-benchmark as records beside ours. The files in `tests/import/` are of the tools'
//! form; their figures are made up.

use crate::support::{Ended, Host, config, faulty};
use inferhost::manifest::Manifest;
use inferhost::record::{Mode, Record, Status};
use inferhost::store::{read_manifest, read_records};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> String {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/import");
    folder.join(name).display().to_string()
}

fn import(host: &Host, args: &[&str]) -> Ended {
    host.run(&[&["import"][..], args].concat())
}

fn manifest(host: &Host, folder: &str) -> Manifest {
    read_manifest(&host.path(folder)).unwrap()
}

fn records(host: &Host, folder: &str) -> Vec<Record> {
    read_records(&host.path(folder)).unwrap().records
}

/// What makes an imported record sound, whatever it is of.
#[track_caller]
fn sound(records: &[Record]) {
    let keys: HashSet<_> = records.iter().map(|r| (&r.cell, r.round, r.repetition)).collect();
    assert_eq!(keys.len(), records.len(), "each run once");
    for record in records {
        let Record { latency_ms, tokens_processed, throughput_tok_s, .. } = record;
        assert_eq!((record.status, record.cell.len()), (Status::Ok, 16));
        let tokens = u64::from(record.batch) * u64::from(record.prompt_tokens + record.new_tokens);
        assert_eq!(*tokens_processed, Some(tokens));
        let expected = tokens as f64 / latency_ms.unwrap() * 1e3;
        assert!((throughput_tok_s.unwrap() - expected).abs() < 1e-9 * expected);
        assert!(record.started_at.ends_with('Z') && record.worker_pid.is_none());
    }
}

fn of<'a>(records: &'a [Record], scenario: &str, mode: Mode) -> Vec<&'a Record> {
    records.iter().filter(|record| record.scenario == scenario && record.mode == mode).collect()
}

#[test]
fn llama_bench_makes_a_run_folder() {
    let host = Host::new();
    let imported = import(&host, &[&fixture("llama-bench.jsonl"), "--out", "out"]);
    assert!(imported.succeeds().stdout.contains("12 runs imported into out"), "{}", imported.stdout);
    let all = records(&host, "out");
    sound(&all);
    let prefill = of(&all, "p5", Mode::Prefill);
    let latencies: Vec<f64> = prefill.iter().filter_map(|record| record.latency_ms).collect();
    assert_eq!(latencies, [10.1002, 10.2503, 9.9801]);
    assert_eq!(prefill[0].started_at, "2026-05-01T09:00:01.000Z");
    let decode = of(&all, "n8", Mode::Generate);
    assert_eq!((decode.len(), decode[0].prompt_tokens, decode[0].new_tokens), (3, 0, 8));
    assert_eq!((decode[0].use_cache, decode[0].ttft_ms), (Some(true), None));
    let imported = decode[0].imported.as_ref().unwrap();
    assert_eq!((imported.tool.as_str(), imported.file.as_str()), ("llama-bench", "llama-bench.jsonl"));
    assert_eq!(imported.tool_version.as_deref(), Some("6100 (0a1b2c3d)"));
    assert!(imported.note.as_ref().unwrap().contains("no prompt in the time"));
    assert_eq!(of(&all, "p5-n4", Mode::Generate).len(), 3);
    assert_eq!(of(&all, "n8-d64", Mode::Generate).len(), 3, "another context is another scenario");

    let found = manifest(&host, "out");
    assert_eq!((found.planned_runs, found.counts.ok), (12, 12));
    assert_eq!((found.models.len(), found.models[0].parameters), (1, Some(124_439_808)));
    assert_eq!(
        (found.models[0].name.as_str(), found.backends[0].name.as_str()),
        ("gpt2-124m-Q8_0", "llama-bench-cpu")
    );
    assert_eq!(found.backends[0].session["gpt2-124m-Q8_0"].threads, Some(2));
    assert_eq!(found.machine.cpu.as_deref(), Some("Example CPU 3000 @ 2.10GHz"));
    assert_eq!(
        (found.machine.hostname, found.machine.logical_cores),
        (None, None),
        "nothing of this machine"
    );
    host.run(&["report", "out"]).succeeds();
}

#[test]
fn settings_that_differ_make_backends_that_differ() {
    let host = Host::new();
    let files = [fixture("llama-bench-threads.json"), fixture("llama-bench-2023.json")];
    let imported = import(&host, &[&files[0], &files[1], "--out", "out", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(&imported.succeeds().stdout).unwrap();
    let expected = serde_json::json!(["llama-bench-blas", "llama-bench-cpu-t1", "llama-bench-cpu-t4"]);
    assert_eq!((&summary["imported"], &summary["backends"]), (&6.into(), &expected));
    sound(&records(&host, "out"));
    assert_eq!(manifest(&host, "out").machine.cpu, None, "the files are of two machines");
    let names = ["--out", "named", "--backend", "peer", "--model", "m"];
    import(&host, &[&[files[0].as_str()][..], &names].concat()).succeeds();
    let named: HashSet<String> = records(&host, "named").into_iter().map(|record| record.backend).collect();
    assert_eq!(named, HashSet::from(["peer-t1".to_string(), "peer-t4".to_string()]));
    import(&host, &[&files[0], &files[1], "--out", "none", "--model", "m"])
        .fails(2, &["--model m", "one by one"]);
    import(&host, &[&files[0], "--out", "none", "--backend", "a b"])
        .fails(2, &["--backend", "`a b` is no name"]);
    assert!(!host.path("none").exists());
}

#[test]
fn optimum_benchmark_gives_ttft_and_tokens_where_it_knows_them() {
    let host = Host::new();
    let imported = import(&host, &[&fixture("optimum/benchmark_report.json"), "--out", "out"]);
    assert!(
        imported.succeeds().stderr.contains("left out first_generate, load_model"),
        "{}",
        imported.stderr
    );
    let all = records(&host, "out");
    sound(&all);
    let generated = of(&all, "b2-p5-n4", Mode::Generate);
    assert_eq!((generated.len(), generated[0].tokens_processed), (3, Some(18)));
    let round = |ms: f64| (ms * 1e6).round() / 1e6;
    assert_eq!(generated[1].ttft_ms.map(round), Some(12.0));
    let tokens: Vec<f64> = generated[1].token_ms.iter().copied().map(round).collect();
    assert_eq!(tokens, [12.0, 4.3, 4.0, 4.1]);
    assert_eq!(generated[1].latency_ms.map(round), Some(24.6));
    let telemetry = generated[1].telemetry.as_ref().unwrap();
    assert_eq!((telemetry.rss_peak_mb, telemetry.energy_j.map(round)), (Some(610.25), Some(1.08)));
    let prefill = of(&all, "b2-p5", Mode::Prefill);
    assert_eq!((prefill.len(), prefill[0].ttft_ms), (3, None));
    let found = manifest(&host, "out");
    assert_eq!(
        (found.backends[0].name.as_str(), found.models[0].name.as_str()),
        ("optimum-onnxruntime", "gpt2")
    );
    assert_eq!(found.backends[0].runtime_version.as_deref(), Some("1.20.1"));
    host.run(&["report", "out"]).succeeds();
}

#[test]
fn older_and_other_files_of_optimum_benchmark() {
    let host = Host::new();
    import(&host, &[&fixture("optimum-old/benchmark_report.json"), "--out", "old"]).succeeds();
    let old = records(&host, "old");
    sound(&old);
    let generated = of(&old, "p64-n100", Mode::Generate);
    let latencies: Vec<f64> = generated.iter().filter_map(|r| r.latency_ms).map(f64::round).collect();
    assert_eq!(latencies, [1021.0, 1041.0, 1001.0], "decode and the mean of prefill");
    assert!(generated.iter().all(|record| record.ttft_ms.is_none() && record.token_ms.is_empty()));
    assert_eq!(manifest(&host, "old").machine.gpus[0].name, "Example GPU");

    import(&host, &[&fixture("optimum-encoder.json"), "--out", "encoder"]).succeeds();
    let encoder = records(&host, "encoder");
    sound(&encoder);
    assert_eq!((encoder.len(), encoder[0].mode, encoder[0].scenario.as_str()), (2, Mode::Prefill, "b4-p32"));
    assert!(encoder[0].imported.as_ref().unwrap().note.as_ref().unwrap().contains("feature-extraction"));
}

#[test]
fn imported_runs_stand_beside_ours() {
    let host = Host::new();
    let config = config("warmups = 0\nrepetitions = 2", &faulty("good", ""));
    host.write("config.toml", &config.replace("batch = 2", "batch = 1"));
    host.run(&["run", "config.toml", "--out", "out"]).succeeds();
    let ours = std::fs::read_to_string(host.path("out/records.jsonl")).unwrap();
    let file = fixture("llama-bench.jsonl");
    let into = [file.as_str(), "--into", "out", "--model", "tiny"];
    let imported = import(&host, &into);
    assert!(
        imported.succeeds().stdout.contains("tiny on llama-bench-cpu, in n8, n8-d64, small"),
        "{}",
        imported.stdout
    );
    assert!(imported.stderr.contains("parameters"), "it is another model really: {}", imported.stderr);
    let text = std::fs::read_to_string(host.path("out/records.jsonl")).unwrap();
    assert!(text.starts_with(&ours), "ours stay as they are");
    let all = records(&host, "out");
    let mode = |mode: Mode| of(&all, "small", mode).iter().map(|r| r.backend.clone()).collect::<HashSet<_>>();
    for of_mode in [mode(Mode::Prefill), mode(Mode::Generate)] {
        assert_eq!(of_mode, HashSet::from(["good".to_string(), "llama-bench-cpu".to_string()]));
    }
    let found = manifest(&host, "out");
    assert_eq!((found.planned_runs, found.counts.recorded, found.models.len()), (4 + 12, 16, 1));
    host.run(&["report", "out"]).succeeds();
    let summary = std::fs::read_to_string(host.path("out/summary.csv")).unwrap();
    assert!(summary.contains("good") && summary.contains("llama-bench-cpu"), "{summary}");

    import(&host, &into).fails(2, &["llama-bench.jsonl is imported already", "out holds the same 3 runs"]);
    assert_eq!(std::fs::read_to_string(host.path("out/records.jsonl")).unwrap(), text);
    let threads = fixture("llama-bench-threads.json");
    import(&host, &[&threads, "--into", "out", "--backend", "good"]).succeeds();
    import(&host, &[&fixture("llama-bench-2023.json"), "--into", "out", "--backend", "good"])
        .fails(2, &["backend `good` of the folder is another one", "--backend NAME"]);
    // Resuming keeps what was imported, and plans nothing anew.
    host.run(&["run", "config.toml", "--resume", "--out", "out"]).succeeds();
    let found = manifest(&host, "out");
    assert_eq!((found.planned_runs, found.backends.len()), (20, 4));
}

#[test]
fn a_cell_has_the_same_id_wherever_it_is_imported() {
    let host = Host::new();
    let file = fixture("llama-bench.jsonl");
    import(&host, &[&file, "--out", "a"]).succeeds();
    std::fs::copy(&file, host.path("copy.jsonl")).unwrap();
    import(&host, &["copy.jsonl", "--out", "b", "--model", "m"]).succeeds();
    let cells = |folder: &str| records(&host, folder).into_iter().map(|r| r.cell).collect::<Vec<_>>();
    assert_eq!(cells("a"), cells("b"));
    assert_eq!(cells("a").into_iter().collect::<HashSet<_>>().len(), 4);
    import(&host, &[&file, "copy.jsonl", "--out", "c"]).fails(2, &["copy.jsonl is imported already"]);
    assert!(!host.path("c").exists());
}

#[test]
fn files_that_cannot_be_imported() {
    let host = Host::new();
    let good = std::fs::read_to_string(fixture("llama-bench.jsonl")).unwrap();
    let first = good.lines().next().unwrap();
    host.write("torn.jsonl", &good[..good.len() - 300]);
    host.write("wrong.jsonl", &format!("{first}\n{}\n", first.replace("\"n_gen\": 0", "\"n_gen\": \"0\"")));
    host.write("cut.json", &format!("[\n{first},\n{{\"n_prompt\": 5,\n"));
    host.write("other.json", "{\"results\": [1, 2]}");
    host.write("text.txt", "| model | size |\n");
    host.write("empty.json", "\n");
    host.write(
        "benchmark_report.json",
        &std::fs::read_to_string(fixture("optimum/benchmark_report.json")).unwrap(),
    );
    let config = fixture("optimum/benchmark_config.json");
    let cases: [(&str, &[&str]); 9] = [
        ("torn.jsonl", &["torn.jsonl: EOF while parsing", "at line 4"]),
        ("wrong.jsonl", &["wrong.jsonl: invalid type: string \"0\", expected u32 at line 2"]),
        ("cut.json", &["cut.json: EOF while parsing", "at line 4"]),
        ("other.json", &["other.json", "neither llama-bench", "nor optimum-benchmark"]),
        ("text.txt", &["text.txt", "line 1", "neither"]),
        ("empty.json", &["empty.json", "is empty"]),
        ("none.json", &["cannot read none.json"]),
        ("benchmark_report.json", &["no benchmark_config.json beside it"]),
        (&config, &["not results", "benchmark_report.json"]),
    ];
    for (file, parts) in cases {
        let ended = import(&host, &[&fixture("llama-bench.jsonl"), file, "--out", "out"]);
        ended.fails(2, parts);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(!host.path("out").exists(), "{file}");
    }
}

#[test]
fn places_that_take_no_import() {
    let host = Host::new();
    let file = fixture("llama-bench.jsonl");
    import(&host, &[&file]).fails(2, &["--out"]);
    import(&host, &[&file, "--out", "a", "--into", "b"]).fails(2, &["--into"]);
    import(&host, &[&file, "--into", "none"]).fails(2, &["none"]);
    import(&host, &[&file, "--into", "."]).fails(2, &["no manifest.json"]);
    import(&host, &[&file, "--out", "a"]).succeeds();
    import(&host, &[&fixture("llama-bench-2023.json"), "--out", "a"])
        .fails(2, &["run folder at a", "another --out"]);
    let path = host.path("a/manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let end = text.lines().find(|line| line.contains("ended_at")).unwrap();
    std::fs::write(&path, text.replace(end, "  \"ended_at\": null,")).unwrap();
    import(&host, &[&fixture("llama-bench-2023.json"), "--into", "a"])
        .fails(2, &["a has not ended", "--resume"]);
    assert_eq!(records(&host, "a").len(), 12);
}
