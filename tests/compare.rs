//! `inferhost compare` on folders written for it: what is planted is found, and noise is not taken for a change.

use crate::support::{Ended, Host, config, faulty};
use inferhost::record::{Mode, Record, Status};
use serde_json::Value;
use std::fmt::Write;

/// Numbers in [0, 1), the same on every machine: Vigna's SplitMix64.
struct Seeded(u64);

impl Seeded {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Around 1 with a coefficient of variation of `cv`, by Box and Muller.
    fn around_one(&mut self, cv: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        1.0 + cv * radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Which cells take `factor` times as long.
#[derive(Clone, Copy)]
enum Plant {
    Nothing,
    OneCell(f64),
    OneCall(f64),
    OneBackend(f64),
    Everything(f64),
}

impl Plant {
    fn factor(self, backend: &str, scenario: u32, mode: Mode) -> f64 {
        match self {
            Self::OneCell(factor) if (backend, scenario, mode) == ("alpha", 2, Mode::Prefill) => factor,
            Self::OneCall(factor) if (backend, mode) == ("alpha", Mode::Prefill) => factor,
            Self::OneBackend(factor) if backend == "alpha" => factor,
            Self::Everything(factor) => factor,
            _ => 1.0,
        }
    }
}

/// A run folder of `backends` x 3 scenarios x prefill and generate x 5 repetitions with noise of 2.5%.
fn generated(host: &Host, name: &str, backends: &[&str], seed: u64, plant: Plant) -> String {
    let mut noise = Seeded(seed);
    let mut lines = String::new();
    for backend in backends {
        for scenario in 1..=3u32 {
            for mode in [Mode::Prefill, Mode::Generate] {
                let factor = plant.factor(backend, scenario, mode);
                for repetition in 0..5 {
                    let record = run(backend, scenario, mode, repetition, factor, &mut noise);
                    writeln!(lines, "{}", serde_json::to_string(&record).unwrap()).unwrap();
                }
            }
        }
    }
    write_folder(host, name, &lines)
}

fn write_folder(host: &Host, name: &str, lines: &str) -> String {
    std::fs::create_dir_all(host.path(name)).unwrap();
    let manifest = r#"{"schema":1,"name":"made","inferhost":"0.1.0","started_at":"2026-11-20T16:00:00Z","planned_runs":0}"#;
    host.write(&format!("{name}/manifest.json"), manifest);
    host.write(&format!("{name}/records.jsonl"), lines);
    name.to_string()
}

fn run(backend: &str, scenario: u32, mode: Mode, repetition: u32, factor: f64, noise: &mut Seeded) -> Record {
    let generates = mode == Mode::Generate;
    let first = f64::from(scenario) * 5.0 * factor * noise.around_one(0.025);
    let steps: Vec<f64> = (0..7).map(|_| 2.0 * factor * noise.around_one(0.025)).collect();
    let latency = first + if generates { steps.iter().sum() } else { 0.0 };
    Record {
        schema: 1,
        cell: format!("{backend} {scenario} {}", mode.name()),
        model: "gpt2".into(),
        backend: backend.into(),
        scenario: format!("s{scenario}"),
        mode,
        batch: 1,
        prompt_tokens: 8 * scenario,
        new_tokens: if generates { 8 } else { 0 },
        use_cache: generates.then_some(true),
        round: 0,
        repetition,
        status: Status::Ok,
        latency_ms: Some(latency),
        ttft_ms: generates.then_some(first),
        token_ms: if generates { std::iter::once(first).chain(steps).collect() } else { Vec::new() },
        tokens_processed: Some(8),
        throughput_tok_s: Some(8000.0 / latency),
        degraded: None,
        telemetry: None,
        disturbances: Vec::new(),
        output_digest: None,
        started_at: "2026-11-20T16:00:00.000Z".into(),
        worker_pid: None,
        imported: None,
    }
}

fn compare(host: &Host, before: &str, after: &str) -> (Ended, Value) {
    let ended = host.run(&["compare", before, after, "--json"]);
    let json = serde_json::from_str(&ended.stdout).unwrap_or(Value::Null);
    (ended, json)
}

/// `backend scenario mode metric verdict` of every claim.
fn claims(json: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for cell in json["comparisons"][0]["cells"].as_array().unwrap() {
        let name = &cell["cell"];
        for metric in cell["metrics"].as_array().unwrap() {
            let verdict = metric["verdict"].as_str().unwrap();
            if matches!(verdict, "faster" | "slower") {
                let [backend, scenario, mode] =
                    [&name["backend"], &name["scenario"]["name"], &name["call"]["mode"]]
                        .map(|part| part.as_str().unwrap());
                found.push(format!(
                    "{backend} {scenario} {mode} {} {verdict}",
                    metric["metric"].as_str().unwrap()
                ));
            }
        }
    }
    found
}

#[test]
fn false_alarms_stay_at_or_under_the_stated_rate() {
    let host = Host::new();
    let pairs = 60;
    let alarms = (0..pairs).filter(|pair| {
        let before = generated(&host, "a", &["alpha", "beta"], 2 * pair, Plant::Nothing);
        let after = generated(&host, "b", &["alpha", "beta"], 2 * pair + 1, Plant::Nothing);
        let (ended, json) = compare(&host, &before, &after);
        assert!(matches!(ended.code, Some(0 | 1)), "{}", ended.stderr);
        !claims(&json).is_empty()
    });
    let alarms = alarms.count();
    assert!(
        alarms * 20 <= pairs as usize,
        "{alarms} of {pairs} comparisons of the same with the same claim a change"
    );
}

#[test]
fn a_planted_regression_is_found_wherever_it_is() {
    let host = Host::new();
    let both = ["alpha", "beta"];
    for (plant, backends, found_in) in [
        (Plant::OneCell(1.2), &both[..], 1),
        (Plant::OneCall(1.1), &both, 3),
        (Plant::OneBackend(1.2), &both, 6),
        (Plant::Everything(1.25), &both[..1], 6),
        (Plant::Everything(1.5), &both, 12),
    ] {
        let mut missed = 0;
        for seed in 0..10 {
            let before = generated(&host, "a", backends, 1000 + seed, Plant::Nothing);
            let after = generated(&host, "b", backends, 2000 + seed, plant);
            let (ended, json) = compare(&host, &before, &after);
            let found = claims(&json);
            let is_true = |claim: &String| {
                let parts: Vec<&str> = claim.split(' ').collect();
                let scenario = parts[1].trim_start_matches('s').parse().unwrap();
                let mode = if parts[2] == "prefill" { Mode::Prefill } else { Mode::Generate };
                plant.factor(parts[0], scenario, mode) > 1.0 && claim.ends_with("latency slower")
            };
            assert!(found.iter().all(is_true), "{found:?}");
            if found.len() < found_in {
                missed += 1;
            } else {
                ended.fails(1, &["regression", "standard output names each"]);
            }
        }
        assert!(missed <= 1, "{missed} of 10 missed");
    }
}

#[test]
fn the_bound_decides_the_exit_code_and_each_output_names_the_cell() {
    let host = Host::new();
    generated(&host, "a", &["alpha"], 1, Plant::Nothing);
    generated(&host, "b", &["alpha"], 2, Plant::OneCell(1.3));
    let cell = "gpt2 alpha, prefill, s2 1x16: latency +";
    let failed = host.run(&["compare", "a", "b"]);
    failed.fails(1, &["inferhost: 1 regression in 1 comparison; standard output names each"]);
    assert_eq!(failed.stdout.matches(cell).count(), 1, "{}", failed.stdout);
    assert!(failed.stdout.contains("5 cells show no change (--all lists them)"), "{}", failed.stdout);
    let rows =
        |text: &str| text.lines().filter(|line| line.contains("latency") && line.contains("alpha")).count();
    let all = host.run(&["compare", "a", "b", "--all"]).stdout;
    assert_eq!((rows(&all), rows(&failed.stdout)), (7, 1), "each with the regression's line: {all}");
    let passed = host.run(&["compare", "a", "b", "--fail-above", "50%"]).succeeds().stdout.clone();
    assert!(passed.contains("no regression beyond 50.0%") && passed.contains("slower by itself"), "{passed}");
    let json: Value = serde_json::from_str(&host.run(&["compare", "a", "b", "--json"]).stdout).unwrap();
    let comparison = &json["comparisons"][0];
    assert_eq!(comparison["failures"][0]["kind"], "slower");
    assert_eq!(
        (comparison["cells"].as_array().unwrap().len(), comparison["groups"].as_array().unwrap().len()),
        (6, 3)
    );
    let markdown = host.run(&["compare", "a", "b", "--markdown"]).stdout;
    assert!(markdown.starts_with("## ❌ a → b\n") && markdown.contains(cell), "{markdown}");
    // A third folder has a section of its own.
    let three = host.run(&["compare", "a", "a/../a/../b", "b", "--json"]);
    let json: Value = serde_json::from_str(&three.stdout).unwrap();
    assert_eq!(json["comparisons"].as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_compared_is_bad_input() {
    let host = Host::new();
    generated(&host, "a", &["alpha"], 1, Plant::Nothing);
    generated(&host, "b", &["beta"], 2, Plant::Nothing);
    write_folder(&host, "broken", "nonsense\n{}\n");
    for (args, parts) in [
        (&["compare", "a"][..], &["RUN_DIR"][..]),
        (&["compare", "a", "gone"], &["gone"]),
        (&["compare", "a", "b"], &["no cell is in both", "--backend BEFORE=AFTER"]),
        (&["compare", "a", "a"], &["with itself", "--backend"]),
        (&["compare", "a", "b", "--backend", "alpha"], &["BEFORE=AFTER"]),
        (&["compare", "a", "b", "--backend", "omega=beta"], &["omega", "it has alpha"]),
        (&["compare", "a", "broken"], &["line 1 is no record"]),
        (&["compare", "a", "b", "--fail-above", "0.05"], &["such as 5%"]),
        (&["compare", "a", "b", "--json", "--markdown"], &["cannot be used with"]),
        (&["compare", "a", "b", "--json", "--all"], &["cannot be used with"]),
    ] {
        host.run(args).fails(2, parts);
    }
    host.run(&["compare", "a", "b", "--backend", "alpha=beta"]).succeeds();
}

#[test]
fn a_cell_that_began_to_fail_in_a_real_run_is_named() {
    let host = Host::new();
    let settings = "modes = [\"prefill\"]\nrepetitions = 3\nwarmups = 0";
    for (name, options) in [("sound", "fault = \"none\""), ("sick", "fault = \"error\"")] {
        host.write("config.toml", &config(settings, &faulty("plugin", options)));
        host.run(&["run", "config.toml", "--out", name]);
    }
    let sick = host.run(&["compare", "sound", "sick"]);
    sick.fails(1, &["1 regression in 1 comparison"]);
    assert!(
        sick.stdout.contains("regression: tiny plugin, prefill, small 2x5: 3 runs newly degraded"),
        "{}",
        sick.stdout
    );
    let healed = host.run(&["compare", "sick", "sound"]);
    assert!(healed.succeeds().stdout.contains("no longer degraded: tiny plugin"), "{}", healed.stdout);
}
