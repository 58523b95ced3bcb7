//! Run folders and other programs' results: damaged, made up, or with figures that no clock gives.

use super::mutate::Mutator;
use super::support::{copy, one_line, seed};
use inferhost::compare::{self, BackendPair, Listed};
use inferhost::error::AppError;
use inferhost::import::{Names, Place, import};
use inferhost::merge::{self, merge};
use inferhost::report::{Layout, Report};
use inferhost::stats::Test;
use inferhost::store::{read_evaluations, read_records};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const RUN: &str = "../tests/hostile/run";

/// Reads, analyses and reports a run folder; its outputs are what they should be whatever its strings and figures.
fn reported(run: &Path) {
    let report = match Report::read(run, Test::Welch) {
        Err(error) => return one_line(&AppError::report(error).message),
        Ok(report) => report,
    };
    for layout in [Layout::Plain, Layout::Terminal { width: 80 }] {
        let text = report.terminal(layout);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    }
    let files = report.write(run).unwrap();
    assert!(files.iter().all(|file| file.starts_with(run)));
    let analysis: Value = serde_json::from_slice(&fs::read(run.join("analysis.json")).unwrap()).unwrap();
    assert!(analysis.is_object());
    for plot in fs::read_dir(run.join("plots")).into_iter().flatten() {
        let svg = fs::read_to_string(plot.unwrap().path()).unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("\"inf"), "{svg}");
        roxmltree::Document::parse(&svg).unwrap();
    }
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_string).collect()
}

pub(super) fn run_folder(input: &mut Mutator, folder: &Path) {
    let run = folder.join("run");
    copy(RUN, &run);
    let name = input.pick(&["manifest.json", "records.jsonl", "accuracy.jsonl"]);
    let path = run.join(name);
    if name == "manifest.json" {
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, input.json(&text)).unwrap();
    } else {
        let mut lines: Vec<Vec<u8>> = lines(&path).into_iter().map(String::into_bytes).collect();
        for _ in 0..=input.below(3) {
            let at = input.below(lines.len());
            lines[at] = input.json(&String::from_utf8_lossy(&lines[at]));
        }
        let text = lines.join(&b'\n');
        fs::write(&path, if input.one_in(4) { input.bytes(&text) } else { text }).unwrap();
    }
    reported(&run);
    if let Err(error) = read_records(&run) {
        one_line(&AppError::store(&error).message);
    }
    if let Err(error) = read_evaluations(&run) {
        one_line(&AppError::store(&error).message);
    }
}

/// Figures that a record may hold and no run has.
const FIGURES: [f64; 12] =
    [0.0, -0.0, 5e-324, 1e-300, 1e-9, 1.0, 1e16, 1e300, f64::MAX, -1.0, -1e300, 4_294_967_295.0];

/// Every record is one by its schema, and its figures are out of all proportion.
pub(super) fn extremes(input: &mut Mutator, folder: &Path) {
    let run = folder.join("run");
    copy(RUN, &run);
    let share = 1 + input.below(8);
    for name in ["records.jsonl", "accuracy.jsonl"] {
        let path = run.join(name);
        let changed = lines(&path).into_iter().map(|line| {
            let mut record: Value = serde_json::from_str(&line).unwrap();
            exaggerate(input, &mut record, share);
            record.to_string() + "\n"
        });
        let changed: String = changed.collect();
        fs::write(&path, changed).unwrap();
    }
    let path = run.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    exaggerate(input, &mut manifest, share * 2);
    fs::write(&path, manifest.to_string()).unwrap();
    reported(&run);
}

/// Changes one in `share` of the numbers below `value`, and makes some lists of figures very long.
fn exaggerate(input: &mut Mutator, value: &mut Value, share: usize) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if key != "schema" {
                    exaggerate(input, value, share);
                }
            }
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|item| exaggerate(input, item, share));
            if !items.is_empty() && items[0].is_number() && input.one_in(200) {
                let length = input.below(300_000);
                *items = items.iter().cycle().take(length).cloned().collect();
            }
        }
        Value::Number(number) if input.one_in(share) => {
            *value = match number.is_f64() {
                true => Value::from(FIGURES[input.below(FIGURES.len())]),
                false => Value::from([0, 1, 3, 65_536, u32::MAX][input.below(5)]),
            };
        }
        _ => {}
    }
}

pub(super) fn compared(input: &mut Mutator, folder: &Path) {
    let runs = [folder.join("before"), folder.join("after")];
    for run in &runs {
        copy(RUN, run);
    }
    let path = runs[1].join("records.jsonl");
    let share = 1 + input.below(8);
    let changed = lines(&path).into_iter().map(|line| {
        let mut record: Value = serde_json::from_str(&line).unwrap();
        exaggerate(input, &mut record, share);
        record.to_string() + "\n"
    });
    let changed: String = changed.collect();
    fs::write(&path, changed).unwrap();
    let path = runs[1].join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    if input.one_in(2) {
        fs::write(&path, input.json(&text)).unwrap();
    }
    let pairs: Vec<BackendPair> =
        "candle-f32=ort-fp32".parse().into_iter().filter(|_| input.one_in(3)).collect();
    let settings = compare::Settings { threshold: 0.02, fail_above: 0.05 };
    match compare::compare(&runs[0], &runs[1..], &pairs, settings) {
        Err(error) => one_line(&AppError::bad_input(error).message),
        Ok(compared) => {
            let text = compare::terminal(&compared, Layout::Plain, Listed::All);
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
            compare::markdown(&compared);
            serde_json::to_string(&compared).unwrap();
        }
    }
    let out = folder.join("merged");
    for as_rounds in [false, true] {
        let options = merge::Options { as_rounds, allow_versions: true };
        match merge(&runs, &out.join(as_rounds.to_string()), options) {
            Err(error) => one_line(&AppError::bad_input(error).message),
            Ok(merged) => merged.notes.iter().for_each(|note| one_line(&AppError::failed(note).message)),
        }
    }
}

pub(super) fn import_results(input: &mut Mutator, folder: &Path) {
    let (name, beside) = match input.below(5) {
        0 => ("llama-bench.jsonl", None),
        1 => ("llama-bench-threads.json", None),
        2 => ("llama-bench-2023.json", None),
        3 => ("optimum/benchmark_report.json", Some("optimum/benchmark_config.json")),
        _ => ("optimum-old/benchmark_report.json", Some("optimum-old/experiment_config.json")),
    };
    let mut files = Vec::new();
    for path in std::iter::once(name).chain(beside) {
        let file = folder.join(Path::new(path).file_name().unwrap());
        let text = String::from_utf8_lossy(&seed(&format!("../tests/import/{path}"))).into_owned();
        let lines: Vec<Vec<u8>> = match name.ends_with(".jsonl") {
            true => text.lines().map(|line| input.json(line)).collect(),
            false => vec![input.json(&text)],
        };
        fs::write(&file, lines.join(&b'\n')).unwrap();
        files.push(file);
    }
    let files: Vec<PathBuf> = files.into_iter().take(1).collect();
    let names = Names { model: input.one_in(2).then(|| "m".into()), backend: None };
    let out = folder.join("out");
    match import(&files, &Place::New(out.clone()), &names) {
        Err(error) => one_line(&AppError::bad_input(error).message),
        Ok(_) => reported(&out),
    }
}
