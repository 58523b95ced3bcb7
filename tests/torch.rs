//! The torch plugin as a host drives it: beside another runtime in one matrix, and where memory runs out.

use crate::support::{Host, config, has_runtime};
use inferhost::record::{DegradedKind, Record, Status};

fn backend(name: &str, plugin: &str, options: &str) -> String {
    format!("[[backends]]\nname = \"{name}\"\nplugin = \"{plugin}\"\noptions = {{ threads = 1{options} }}\n")
}

fn of<'a>(records: &'a [Record], backend: &str) -> Vec<&'a Record> {
    records.iter().filter(|record| record.backend == backend).collect()
}

/// Each has an OpenMP runtime or a thread pool of its own.
#[test]
fn three_runtimes_stand_in_one_matrix() {
    if !has_runtime("torch") {
        return;
    }
    let host = Host::new();
    let backends = backend("oracle", "candle", ", dtype = \"f64\"")
        + &backend("ort", "ort", "")
        + &backend("torch", "torch", "")
        + &backend("torch-f64", "torch", ", dtype = \"f64\"");
    let (ended, records) = host.matrix(&config("modes = [\"generate\", \"prefill\"]", &backends));
    ended.succeeds();
    assert!(records.iter().all(|record| record.status == Status::Ok), "{records:?}");
    let cell = |r: &Record| (r.scenario.clone(), r.mode, r.use_cache, r.output_digest.clone());
    let mut outputs: Vec<_> = records.iter().map(cell).collect();
    outputs.sort();
    outputs.dedup();
    assert_eq!(outputs.len(), 2, "one output for prefill, one for generate: {outputs:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn too_little_memory_for_libtorch_is_out_of_memory_and_nothing_more() {
    if !has_runtime("torch") {
        return;
    }
    let host = Host::new();
    let backends = backend("torch", "torch", "") + &backend("candle", "candle", "");
    let run = "modes = [\"prefill\"]\nmemory_limit_mb = 300\nrepetitions = 1";
    let (ended, records) = host.matrix(&config(run, &backends));
    ended.succeeds();
    for record in of(&records, "torch") {
        let degraded = record.degraded.as_ref().unwrap();
        assert_eq!(degraded.kind, DegradedKind::OutOfMemory, "{}", degraded.message);
    }
    assert!(of(&records, "candle").iter().all(|record| record.status == Status::Ok));
}
