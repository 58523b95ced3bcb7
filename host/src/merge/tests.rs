//! Run folders written by hand, merged.

use super::*;
use crate::accuracy::{self, Evaluation, Verdict};
use crate::environment::Machine;
use crate::manifest::{ShardEntry, sample::manifest};
use crate::record::{DegradedKind, Imported, Record, sample};
use crate::store::{RunFolder, read_evaluations, read_manifest, read_records};
use serde_json::json;
use tempfile::TempDir;

fn at(round: u32, repetition: u32, second: u32) -> Record {
    let started_at = format!("2026-11-20T16:00:{second:02}.000Z");
    Record { round, repetition, started_at, ..sample::ok() }
}

/// A run folder with a log of its own.
fn folder(root: &TempDir, name: &str, manifest: &Manifest, records: &[Record]) -> PathBuf {
    let path = root.path().join(name);
    let mut folder = RunFolder::create(&path).unwrap();
    records.iter().for_each(|record| folder.append(record).unwrap());
    folder.write_manifest(manifest).unwrap();
    fs::write(folder.logs_dir().join("ort.log"), name).unwrap();
    path
}

fn evaluate(path: &Path, evaluations: &[Evaluation]) {
    let mut folder = RunFolder::open(path).unwrap();
    evaluations.iter().for_each(|evaluation| folder.append_evaluation(evaluation).unwrap());
}

fn shard(index: u32, count: u32, runs: u64) -> Manifest {
    let entry = ShardEntry { index, count, plan_runs: 6, plan_evaluations: 0 };
    Manifest { shard: Some(entry), ..manifest(runs) }
}

/// What is left in `root` when `paths` are refused: what was there before.
#[track_caller]
fn refused(root: &TempDir, paths: &[PathBuf], options: Options, parts: &[&str]) {
    let before = fs::read_dir(root.path()).unwrap().count();
    let message = merge(paths, &root.path().join("out"), options).unwrap_err().to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert_eq!(message.lines().count(), 1);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), before, "{message}");
}

const STRICT: Options = Options { as_rounds: false, allow_versions: false };
const AS_ROUNDS: Options = Options { as_rounds: true, allow_versions: false };

#[test]
fn parts_of_one_plan_become_the_whole_in_the_order_of_time() {
    let root = tempfile::tempdir().unwrap();
    let lost = Record { repetition: 2, ..sample::degraded(DegradedKind::Timeout, "late") };
    let early = Manifest { started_at: "2026-11-20T15:00:00Z".into(), ..manifest(4) };
    let paths = [
        folder(&root, "a", &manifest(4), &[at(0, 0, 1), at(0, 1, 30)]),
        folder(&root, "b", &early, &[at(0, 1, 30), at(0, 3, 20), Record { started_at: "?".into(), ..lost }]),
    ];
    let out = root.path().join("out");
    let merged = merge(&paths, &out, STRICT).unwrap();
    let records = read_records(&out).unwrap().records;
    let order: Vec<u32> = records.iter().map(|record| record.repetition).collect();
    assert_eq!(order, [0, 1, 3, 2], "by time; one that does not say when follows the one before it");
    assert!(merged.notes[0].starts_with("1 records are in more than one"), "{:?}", merged.notes);
    let found = read_manifest(&out).unwrap();
    assert_eq!((found.planned_runs, found.counts.recorded, found.counts.ok), (4, 4, 3));
    assert_eq!(found.started_at, "2026-11-20T15:00:00Z");
    let parts: Vec<(&str, u64)> = found.merged_from.iter().map(|p| (p.folder.as_str(), p.records)).collect();
    assert_eq!(parts, [("a", 2), ("b", 2)]);
    for part in ["a", "b"] {
        assert_eq!(fs::read_to_string(out.join("logs").join(part).join("ort.log")).unwrap(), part);
    }
}

#[test]
fn shards_add_up_and_a_missing_one_is_missing() {
    let root = tempfile::tempdir().unwrap();
    let one = folder(&root, "a", &shard(1, 3, 2), &[at(0, 0, 1), at(0, 1, 2)]);
    let two = folder(&root, "b", &shard(2, 3, 2), &[at(0, 2, 3), at(0, 3, 4)]);
    let three = folder(&root, "c", &shard(3, 3, 2), &[at(0, 4, 5), at(0, 5, 6)]);
    let some = root.path().join("some");
    let Merged { manifest: merged, notes } = merge(&[one.clone(), three.clone()], &some, STRICT).unwrap();
    assert_eq!((merged.planned_runs, merged.counts.recorded, merged.shard), (6, 4, None));
    assert_eq!(
        (notes.as_slice(), merged.notes.len()),
        (&["The runs of shard 2/3 are missing.".to_string()][..], 0)
    );
    for (name, parts) in [("all", vec![three, one.clone(), two.clone()]), ("late", vec![some, two])] {
        let merged = merge(&parts, &root.path().join(name), STRICT).unwrap();
        assert_eq!((merged.manifest.planned_runs, merged.manifest.counts.recorded), (6, 6));
        assert_eq!((merged.notes.len(), merged.manifest.notes.len()), (0, 0), "{name}");
    }
    let other = folder(&root, "d", &shard(1, 2, 3), &[at(0, 0, 1)]);
    refused(&root, &[one, other], STRICT, &["shard 1/3 of 6 runs", "shard 1/2 of 6 runs"]);
}

#[test]
fn what_does_not_belong_together_is_refused_with_the_first_difference() {
    let root = tempfile::tempdir().unwrap();
    let config = |seed: u64, source: &str| Manifest {
        config: json!({"seed": seed, "models": [{"name": "m", "source": source}]}),
        ..manifest(2)
    };
    let a = folder(&root, "a", &config(1, "/here/gpt2"), &[at(0, 0, 1)]);
    let b = folder(&root, "b", &config(2, "/here/gpt2"), &[]);
    refused(
        &root,
        &[a.clone(), b],
        STRICT,
        &["/a and ", "/b", "`seed` of the config is 1", "2 in the second"],
    );
    let elsewhere = folder(&root, "c", &config(1, "/there/gpt2"), &[at(0, 1, 1)]);
    merge(&[a.clone(), elsewhere], &root.path().join("places"), STRICT).unwrap();

    let mut model = config(1, "/here/gpt2");
    model.models[0].sha256 = Some("ffff".into());
    let model = folder(&root, "d", &model, &[]);
    refused(&root, &[a.clone(), model], AS_ROUNDS, &["model `gpt2-5m`", "0123", "ffff"]);
    refused(&root, &[a.clone(), a.clone()], STRICT, &["/a is given twice"]);
    refused(&root, std::slice::from_ref(&a), STRICT, &["two run folders"]);
    refused(&root, &[a.clone(), root.path().join("gone")], STRICT, &["gone"]);
    let message = merge(&[a.clone(), root.path().join("c")], &a, STRICT).unwrap_err().to_string();
    assert!(message.contains("one of the folders"), "{message}");

    let writer = RunFolder::open(&root.path().join("c")).unwrap();
    refused(&root, &[a, root.path().join("c")], STRICT, &["another inferhost is writing"]);
    drop(writer);
}

#[test]
fn another_version_of_a_runtime_is_merged_only_where_that_is_allowed() {
    let root = tempfile::tempdir().unwrap();
    let mut newer = manifest(2);
    newer.backends[0].runtime_version = Some("1.32.0".into());
    newer.backends[0].session.clear();
    newer.machine = Machine { hostname: Some("other".into()), logical_cores: Some(2), ..Machine::default() };
    newer.inferhost = "0.2.0".into();
    let a = folder(&root, "a", &manifest(2), &[at(0, 0, 1)]);
    let b = folder(&root, "b", &newer, &[at(0, 1, 2)]);
    let paths = [a, b];
    refused(
        &root,
        &paths,
        STRICT,
        &["runtime's version of backend `ort`", "1.31.1", "1.32.0", "--allow-versions"],
    );
    let allowed = Options { allow_versions: true, ..STRICT };
    let merged = merge(&paths, &root.path().join("out"), allowed).unwrap().manifest;
    for part in ["its cells mix them", "0.1.0, 0.2.0", "2 machines", "other"] {
        assert!(merged.notes.iter().any(|note| note.contains(part)), "{part}: {:?}", merged.notes);
    }
    assert_eq!((merged.machine.logical_cores, &merged.machine.os), (Some(2), &None), "what both have");
    assert_eq!(merged.merged_from[1].machine.hostname.as_deref(), Some("other"));
    assert!(merged.backends[0].session.contains_key("gpt2-5m"), "what one of them knows");
}

#[test]
fn another_build_of_an_artifact_is_another_version() {
    let root = tempfile::tempdir().unwrap();
    let built = |sha256: &str| Manifest {
        artifacts: vec![crate::manifest::ArtifactEntry {
            model: "gpt2-5m".into(),
            backend: "ort".into(),
            name: "onnx-fp32".into(),
            sha256: Some(sha256.into()),
            ..crate::manifest::ArtifactEntry::default()
        }],
        ..manifest(2)
    };
    let paths = [
        folder(&root, "a", &built("aaaa"), &[at(0, 0, 1)]),
        folder(&root, "b", &built("bbbb"), &[at(0, 1, 2)]),
    ];
    refused(&root, &paths, STRICT, &["onnx-fp32 of `gpt2-5m`", "aaaa", "bbbb", "--allow-versions"]);
}

#[test]
fn a_copy_whose_rounds_were_numbered_anew_is_still_a_copy() {
    let root = tempfile::tempdir().unwrap();
    let a = folder(&root, "a", &manifest(2), &[at(0, 0, 1)]);
    let b = folder(&root, "b", &manifest(2), &[at(0, 0, 11)]);
    merge(&[a, b.clone()], &root.path().join("both"), AS_ROUNDS).unwrap();
    refused(&root, &[root.path().join("both"), b], AS_ROUNDS, &["the very same record"]);
}

#[test]
fn the_same_run_made_twice_is_refused_or_counts_as_a_further_round() {
    let root = tempfile::tempdir().unwrap();
    let paths = [
        folder(&root, "a", &manifest(3), &[at(0, 0, 1), at(1, 0, 2)]),
        folder(&root, "b", &manifest(3), &[at(0, 0, 11), at(1, 0, 12)]),
        folder(&root, "c", &manifest(3), &[at(0, 0, 21)]),
    ];
    refused(
        &root,
        &paths,
        STRICT,
        &["/a and ", "/b", "gpt2-5m on ort, micro, prefill, round 0", "--as-rounds"],
    );
    let out = root.path().join("out");
    let merged = merge(&paths, &out, AS_ROUNDS).unwrap().manifest;
    let rounds: Vec<u32> = read_records(&out).unwrap().records.iter().map(|record| record.round).collect();
    assert_eq!(rounds, [0, 1, 2, 3, 4]);
    assert_eq!((merged.planned_runs, merged.counts.recorded), (9, 5));
    let offsets: Vec<u32> = merged.merged_from.iter().map(|part| part.rounds_before).collect();
    assert_eq!(offsets, [0, 2, 4]);

    fs::remove_dir_all(&out).unwrap();
    let copy = folder(&root, "copy", &manifest(3), &[at(1, 0, 2)]);
    refused(&root, &[paths[0].clone(), copy], AS_ROUNDS, &["the very same record", "leave one folder out"]);
    let twice = folder(&root, "twice", &manifest(3), &[at(0, 0, 1), at(0, 0, 2)]);
    for options in [STRICT, AS_ROUNDS] {
        let empty = folder(&root, if options.as_rounds { "e" } else { "f" }, &manifest(3), &[]);
        refused(&root, &[twice.clone(), empty], options, &["delete one of the two lines"]);
    }
}

#[test]
fn evaluations_count_once_and_must_not_contradict() {
    let root = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder(&root, name, &manifest(2), &[]));
    let baseline = accuracy::sample::evaluation("ort", Verdict::Baseline, 0.0);
    evaluate(&a, std::slice::from_ref(&baseline));
    let later =
        Evaluation { started_at: "2026-11-20T17:00:00Z".into(), worker_pid: None, ..baseline.clone() };
    evaluate(&b, &[later, accuracy::sample::degraded("candle")]);
    let out = root.path().join("out");
    let paths = [a, b];
    merge(&paths, &out, STRICT).unwrap();
    assert_eq!(read_evaluations(&out).unwrap().evaluations, [baseline, accuracy::sample::degraded("candle")]);
    evaluate(&paths[0], &[accuracy::sample::evaluation("candle", Verdict::Pass, 0.0)]);
    fs::remove_dir_all(&out).unwrap();
    refused(&root, &paths, STRICT, &["different evaluations of candle on gpt2-5m"]);
}

#[test]
fn imported_records_count_once_as_planned() {
    let root = tempfile::tempdir().unwrap();
    let imported = |second| Record {
        cell: "llama".into(),
        imported: Some(Imported { tool: "llama-bench".into(), ..Imported::default() }),
        ..at(0, 0, second)
    };
    let paths = [
        folder(&root, "a", &manifest(3), &[at(0, 0, 1), imported(9)]),
        folder(&root, "b", &manifest(3), &[at(0, 1, 2), imported(9)]),
    ];
    let merged = merge(&paths, &root.path().join("out"), STRICT).unwrap().manifest;
    assert_eq!((merged.planned_runs, merged.counts.recorded), (3, 3), "2 of the plan and 1 imported");
}

#[test]
fn a_merged_folder_merges_again() {
    let root = tempfile::tempdir().unwrap();
    let paths = [1, 2, 3].map(|n| folder(&root, &format!("p{n}"), &shard(n, 3, 2), &[at(0, n, n)]));
    merge(&paths[..2], &root.path().join("two"), STRICT).unwrap();
    let merged =
        merge(&[root.path().join("two"), paths[2].clone()], &root.path().join("all"), STRICT).unwrap();
    let parts: Vec<&str> = merged.manifest.merged_from.iter().map(|part| part.folder.as_str()).collect();
    assert_eq!(parts, ["two/p1", "two/p2", "p3"]);
    assert_eq!(merged.manifest.planned_runs, 6);
    assert!(root.path().join("all/logs/two/p1/ort.log").is_file());
}
