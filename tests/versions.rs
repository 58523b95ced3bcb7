//! Two versions of one runtime in one matrix, each with its own library in its own worker.

use crate::support::{Host, config, has_onnx_runtime, skipped};
use inferhost::record::{Record, Status};
use serde_json::Value;
use std::path::{Path, PathBuf};

const BEFORE: &str = "1.30.0";
const AFTER: &str = "1.31.1";

/// The folder of a version that `scripts/runtimes.sh ort VERSION` fetched; prints why a test is skipped without.
fn fetched(version: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.runtimes/onnxruntime").join(version);
    if folder.is_dir() {
        return Some(folder.canonicalize().unwrap());
    }
    skipped(&format!("two versions of ONNX Runtime: run scripts/runtimes.sh ort {version}"));
    None
}

fn backend(version: &str, library: &Path) -> String {
    let library = library.display();
    format!(
        "[[backends]]\nname = \"ort-{version}\"\nplugin = \"ort\"\noptions = {{ threads = 1, library = '{library}' }}\n"
    )
}

/// The matrix with both, once run.
fn both() -> Option<(Host, Vec<Record>)> {
    if !has_onnx_runtime() {
        return None;
    }
    let (before, after) = (fetched(BEFORE)?, fetched(AFTER)?);
    let host = Host::new();
    let backends = backend(BEFORE, &before) + &backend(AFTER, &after);
    let run = "modes = [\"prefill\", \"generate\", \"logprobs\"]\nuse_cache = [true, false]\nrepetitions = 2";
    let (ended, records) = host.matrix(&config(run, &backends));
    ended.succeeds();
    Some((host, records))
}

#[test]
fn two_versions_stand_in_one_matrix_and_are_compared() {
    let Some((host, records)) = both() else { return };
    assert!(records.iter().all(|record| record.status == Status::Ok), "{records:?}");
    let of = |version: &str| {
        let backend = format!("ort-{version}");
        records.iter().filter(move |record| record.backend == backend)
    };
    assert_eq!(of(BEFORE).count(), of(AFTER).count());
    let workers = |version| of(version).map(|record| record.worker_pid).collect::<Vec<_>>();
    assert!(workers(BEFORE).iter().all(|pid| !workers(AFTER).contains(pid)), "a worker ran both versions");

    let manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(host.path("out/manifest.json")).unwrap()).unwrap();
    let backends = manifest["backends"].as_array().unwrap();
    for (backend, version) in backends.iter().zip([BEFORE, AFTER]) {
        assert_eq!(backend["runtime_version"], version);
        let session = &backend["session"]["tiny"];
        assert_eq!(session["runtime_version"], version, "what the session itself says");
        let library = session["details"]["library"].as_str().unwrap();
        assert!(library.contains(&format!("/{version}/")), "{library}");
        let providers = session["details"]["providers"].as_str().unwrap();
        assert!(providers.starts_with("CPUExecutionProvider ("), "{providers}");
    }

    let pair = format!("ort-{BEFORE}=ort-{AFTER}");
    let args = ["compare", "out", "out", "--backend", &pair, "--fail-above", "1000%"];
    let shown = host.run(&args);
    shown.succeeds();
    assert!(shown.stdout.contains(&format!("ort-{BEFORE} -> ort-{AFTER}")), "{}", shown.stdout);
    let json = host.run(&[&args[..], &["--json"]].concat());
    let compared: Value = serde_json::from_str(&json.succeeds().stdout).unwrap();
    let comparison = &compared["comparisons"][0];
    let differences = comparison["environment"]["differences"].as_array().unwrap();
    let version = differences.iter().find(|difference| difference["what"] == "runtime version").unwrap();
    assert_eq!((&version["before"], &version["after"]), (&BEFORE.into(), &AFTER.into()));
    let cells = comparison["cells"].as_array().unwrap();
    // Prefill, generate with and without a cache, logprobs.
    assert_eq!(cells.len(), 4, "{cells:?}");
    assert!(cells.iter().all(|cell| cell["backend_after"] == format!("ort-{AFTER}").as_str()));
}
