//! Every config in the repository is one the program takes, and the reference shows every key.

use crate::support::Host;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn configs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect()
}

#[test]
fn every_config_makes_a_plan() {
    let host = Host::new();
    let configs = configs();
    assert!(configs.len() >= 4);
    for config in configs {
        let ended = host.run(&["plan", config.to_str().unwrap()]);
        assert!(ended.succeeds().stdout.contains(" runs in "), "{}", ended.stdout);
    }
}

#[test]
fn the_reference_gives_every_key_a_value_and_a_comment() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/reference.toml");
    let config = inferhost::config::load(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let mut keys = BTreeSet::new();
    collect_keys(&serde_json::to_value(&config).unwrap(), "", &mut keys);
    assert!(keys.len() > 20, "{keys:?}");
    let (shown, explained) = keys_in(&text);
    assert_eq!(keys.difference(&shown).collect::<Vec<_>>(), [""; 0], "not shown");
    assert_eq!(keys.difference(&explained).collect::<Vec<_>>(), [""; 0], "not explained");
}

/// The keys of a config with their tables, `run.seed`: those inside a backend's own options and environment are not
/// ours.
fn collect_keys(value: &Value, table: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, below) in map {
                let path = if table.is_empty() { key.clone() } else { format!("{table}.{key}") };
                let is_table = below.is_object()
                    || below.as_array().is_some_and(|items| items.iter().any(Value::is_object));
                match key.as_str() {
                    // Said once for all names, at the top.
                    "name" if !table.is_empty() => {}
                    "options" | "env" | "prices_per_hour" => drop(keys.insert(path)),
                    _ if is_table => collect_keys(below, &path, keys),
                    _ => drop(keys.insert(path)),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_keys(item, table, keys)),
        _ => {}
    }
}

/// The keys that a config's text shows, as a value or as a comment that holds one, and of these the ones with a
/// comment behind them or on the line above.
fn keys_in(text: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut shown, mut explained) = (BTreeSet::new(), BTreeSet::new());
    let (mut table, mut above_explains) = (String::new(), false);
    for line in text.lines() {
        let key = line.trim_start_matches("# ").split_once(" = ").map(|(key, _)| key);
        let is_key =
            |key: &&str| key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        match key.filter(is_key) {
            Some(key) => {
                let path = format!("{table}{key}");
                if above_explains || line.trim_start_matches("# ").contains(" # ") {
                    explained.insert(path.clone());
                }
                shown.insert(path);
                above_explains = false;
            }
            None => above_explains = line.starts_with("# "),
        }
        if line.starts_with('[') {
            table = format!("{}.", line.trim_matches(['[', ']']));
        }
    }
    (shown, explained)
}

#[test]
fn a_key_without_a_comment_of_its_own_is_found() {
    let text = "# Explained.\na = 1\nb = 2\n\n# Of c.\n\nc = 3\n[t]\n# d = 4\ne = 5 # here\n";
    let (shown, explained) = keys_in(text);
    assert_eq!(shown.iter().collect::<Vec<_>>(), ["a", "b", "c", "t.d", "t.e"]);
    assert_eq!(explained.iter().collect::<Vec<_>>(), ["a", "t.e"]);
}

/// The first number before `word` in a comment of the config's head.
fn in_head(text: &str, word: &str) -> Option<usize> {
    let head = text.lines().take_while(|line| line.starts_with('#'));
    let head: Vec<&str> = head.flat_map(str::split_whitespace).collect();
    let at = head.iter().position(|found| found.trim_end_matches([',', '.', ';']) == word)?;
    head[..at].last()?.replace(',', "").parse().ok()
}

#[test]
fn the_gpu_studies_are_as_large_as_their_heads_say() {
    let host = Host::new();
    for name in ["study-gpu.toml", "study-gpu-large.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let config = inferhost::config::load(&path).unwrap();
        let (cells, runs) = (in_head(&text, "cells").unwrap(), in_head(&text, "runs").unwrap());
        let (repetitions, planned) = (config.run.repetitions, host.run(&["plan", path.to_str().unwrap()]));
        let expected = format!("{cells} cells x {repetitions} repetitions x 1 rounds = {runs} runs");
        assert!(planned.succeeds().stdout.contains(&expected), "{name}: {}", planned.stdout);
        let evaluations = config.accuracy.as_ref().map(|_| config.models.len() * config.backends.len());
        assert_eq!(in_head(&text, "evaluations"), evaluations, "{name}");
        // Libraries are found by environment: a path here would be one machine's.
        assert!(config.backends.iter().all(|b| !b.options.contains_key("library")), "{name}");
        for backend in &config.backends {
            let artifact = backend.artifact.as_deref().unwrap_or_default();
            assert_eq!(artifact.starts_with("plan-"), backend.plugin == "tensorrt", "{}", backend.name);
        }
    }
}

#[test]
fn the_quantisation_study_is_one_study_in_two_sizes() {
    let load = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(name);
        inferhost::config::load(&path).unwrap()
    };
    let (study, small) = (load("cpu-quantization.toml"), load("cpu-quantization-small.toml"));
    assert_eq!((&study.backends, &study.scenarios), (&small.backends, &small.scenarios));
    for config in [&study, &small] {
        assert_eq!((config.run.rounds, config.run.repetitions), (3, 1), "each run in its own process");
        assert_eq!(config.baseline, "torch-fp32");
    }
    let [scenario] = study.scenarios.as_slice() else { panic!("{:?}", study.scenarios) };
    assert_eq!((scenario.batch, scenario.prompt_tokens, scenario.new_tokens), (1, 10, 100));
    // What runs on all threads runs on one, too.
    let (one, all): (Vec<_>, Vec<_>) = study.backends.iter().partition(|b| b.name.ends_with("-t1"));
    assert_eq!((one.len(), all.len()), (5, 5));
    for (one, all) in one.into_iter().zip(all) {
        let mut options = all.options.clone();
        options.insert("threads".into(), 1.into());
        assert_eq!((&one.plugin, &one.artifact, &one.options), (&all.plugin, &all.artifact, &options));
        assert_eq!(one.name, format!("{}-t1", all.name));
    }
}

#[test]
fn the_quickstart_and_the_study_have_the_studys_scenarios() {
    let Some(study) = crate::support::shared("reference/scenarios.csv") else { return };
    let text = std::fs::read_to_string(study).unwrap();
    for name in ["quickstart.toml", "study-backends.toml", "study-crossover.toml", "study-gpu.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(name);
        let config = inferhost::config::load(&path).unwrap();
        let rows: Vec<String> = config
            .scenarios
            .iter()
            .map(|s| format!("{},{},{},{}", s.name, s.batch, s.prompt_tokens, s.new_tokens))
            .collect();
        assert_eq!(rows, text.lines().skip(1).collect::<Vec<_>>(), "{name}");
    }
}
