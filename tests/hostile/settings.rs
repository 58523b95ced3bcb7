//! What a user writes or names: configs, specs of models and artifacts, lists of tokens, models in the hub's cache.

use super::mutate::Mutator;
use super::support::{one_line, seed};
use inferhost::accuracy::Source;
use inferhost::config::{self, AccuracySettings};
use inferhost::error::AppError;
use inferhost::model::{Hub, ModelSource};
use inferhost::plan::{self, Shard};
use inferhost::prepare::Artifact;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};

/// A plan of more runs is sound, and takes its time.
const MANY_RUNS: u64 = 100_000;

pub(super) fn config(input: &mut Mutator, folder: &Path) {
    let name = input.pick(&["reference", "quickstart", "study-backends", "cpu-quantization"]);
    let path = folder.join("config.toml");
    let text = seed(&format!("../configs/{name}.toml"));
    fs::write(&path, input.toml(&String::from_utf8_lossy(&text))).unwrap();
    match config::load(&path) {
        Err(error) => one_line(&AppError::bad_input(error).message),
        Ok(config) => {
            let cells = config.models.len() * config.backends.len() * config.scenarios.len() * 8;
            let repeated = u64::from(config.run.repetitions) * u64::from(config.run.rounds);
            if (cells as u64).saturating_mul(repeated) < MANY_RUNS {
                let planned = plan::plan(&config, &BTreeMap::new());
                assert!(planned.runs() <= cells as u64 * repeated);
            }
            let text = serde_json::to_string(&config).unwrap();
            let back: config::Config = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&back).unwrap(), text);
        }
    }
}

pub(super) fn spec(input: &mut Mutator, _: &Path) {
    let known = [
        "synthetic:gpt2?layers=2&embd=64&heads=4&vocab=1000&seed=1",
        "synthetic:llama?layers=2&embd=64&heads=4&kv_heads=2&vocab=1000&seed=1&theta=10000&tied=true",
        "synthetic:smollm2-135m",
        "hf:openai-community/gpt2@main",
        "hf:a/b@refs/pr/1",
        "onnx-int8-qdq?calibration=percentile&per_channel=true",
        "onnx-fp8-qdq?calibration=entropy&samples=3",
        "onnx-int4-weight?block=32",
        "1/2",
    ];
    let seed = input.pick(&known);
    let mut spec = String::from_utf8_lossy(&input.bytes(seed.as_bytes())).into_owned();
    if input.one_in(3) {
        let (at, text) = (spec.find(['=', '/', ':', '@']).map_or(0, |at| at + 1), input.text());
        spec.insert_str(at, &text);
    }
    match spec.parse::<ModelSource>() {
        Err(error) => one_line(&AppError::bad_input(error).message),
        Ok(ModelSource::Hub { repo, revision }) => {
            for part in [&repo, &revision] {
                let parts: Vec<_> = Path::new(part).components().collect();
                assert!(parts.iter().all(|part| matches!(part, Component::Normal(_))), "{spec}");
            }
        }
        Ok(ModelSource::Synthetic(size)) => assert!(size.context_length() > 0, "{spec}"),
        Ok(ModelSource::Path(_)) => {}
    }
    if let Err(error) = spec.parse::<Artifact>() {
        one_line(&AppError::bad_input(error).message);
    }
    if let Err(error) = spec.parse::<Shard>() {
        one_line(&AppError::bad_input(error).message);
    }
}

pub(super) fn token_list(input: &mut Mutator, folder: &Path) {
    let path = folder.join("ids.json");
    let (is_text, seed) = (input.one_in(3), input.pick(&["[[1,2,3],[4,5]]", "[1,2,3]", "[[0]]"]));
    fs::write(&path, input.json(seed)).unwrap();
    let settings = match is_text {
        true => AccuracySettings { text: Some(path), ..AccuracySettings::default() },
        false => AccuracySettings { tokens: Some(path), ..AccuracySettings::default() },
    };
    match Source::read(&settings) {
        Err(error) => one_line(&AppError::bad_input(error).message),
        Ok(Source::Tokens(rows)) => assert!(rows.iter().all(|row| !row.is_empty())),
        Ok(Source::Text(text)) => assert!(!text.is_empty()),
    }
}

/// A cache that someone else filled: whatever its references and indexes say, what is opened lies inside of it.
pub(super) fn hub_cache(input: &mut Mutator, folder: &Path) {
    let cache = folder.join("hub");
    let root = cache.join("models--a--b");
    fs::create_dir_all(root.join("refs")).unwrap();
    fs::create_dir_all(root.join("snapshots/0123")).unwrap();
    let commit = if input.one_in(2) { "0123".to_string() } else { input.text() };
    fs::write(root.join("refs/main"), &commit).unwrap();
    let outside = folder.join("escaped");
    for place in [&root.join("snapshots/0123"), &outside] {
        fs::create_dir_all(place).unwrap();
        fs::write(place.join("config.json"), seed("../tests/golden/gpt2-untied/config.json")).unwrap();
        let index = seed("../tests/golden/gpt2-untied/model.safetensors.index.json");
        let index = input.json(&String::from_utf8_lossy(&index));
        let text = input.text().replace('"', "");
        let index = String::from_utf8_lossy(&index).replace("model-00001", &text);
        fs::write(place.join("model.safetensors.index.json"), index).unwrap();
    }
    for commit in ["../../../../escaped", &outside.display().to_string(), commit.as_str()] {
        fs::write(root.join("refs/main"), commit).unwrap();
        match Hub::new(cache.clone(), true).fetch("a/b", "main") {
            Err(error) => one_line(&AppError::bad_input(error).message),
            Ok(found) => {
                let (found, cache) = (found.canonicalize().unwrap(), cache.canonicalize().unwrap());
                assert!(found.starts_with(&cache), "{} is not in the cache", found.display());
            }
        }
    }
}
