//! On what it was measured: backends, models, machine.

use super::{header, table};
use crate::environment::Machine;
use crate::manifest::{ArtifactEntry, BackendEntry, Manifest, ModelEntry};
use crate::report::artifacts;
use crate::report::figure::{NONE, bytes, count, figure};
use crate::text::markdown;
use inferhost_plugin_api::SessionInfo;

const SHORT_HASH: usize = 12;

/// The sections.
pub(super) fn setup(manifest: &Manifest) -> String {
    let artifacts = artifacts(&manifest.artifacts);
    backends(&manifest.backends) + &models(&manifest.models) + &artifacts + &environment(manifest)
}

fn backends(entries: &[BackendEntry]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let names = ["backend", "plugin", "version", "runtime", "device", "precision", "threads", "library"];
    let rows: Vec<Vec<String>> = entries.iter().map(backend_row).collect();
    format!("## Backends\n\n{}", table(&header(&names), names.len(), &rows))
}

fn backend_row(entry: &BackendEntry) -> Vec<String> {
    let runtime = [entry.runtime.as_deref(), entry.runtime_version.as_deref()];
    let runtime: Vec<&str> = runtime.into_iter().flatten().collect();
    vec![
        markdown(&entry.name),
        markdown(&entry.plugin),
        known(entry.version.as_deref()),
        known(Some(runtime.join(" ").as_str()).filter(|text| !text.is_empty())),
        known(in_use(entry, |info| info.device.clone()).as_deref()),
        known(in_use(entry, |info| info.precision.clone()).as_deref()),
        known(in_use(entry, |info| info.threads.map(|n| n.to_string()).unwrap_or_default()).as_deref()),
        known(entry.library.as_deref()),
    ]
}

/// What the sessions really used: one value where all models agree, else all that occur.
pub(in crate::report) fn in_use(entry: &BackendEntry, fact: fn(&SessionInfo) -> String) -> Option<String> {
    let mut values: Vec<String> =
        entry.session.values().map(fact).filter(|value| !value.is_empty()).collect();
    values.sort();
    values.dedup();
    Some(values.join(", ")).filter(|text| !text.is_empty())
}

fn models(entries: &[ModelEntry]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = entries.iter().map(model_row).collect();
    let header = header(&["model", "from", "SHA-256", "size", "parameters"]);
    format!("## Models\n\n{}", table(&header, 3, &rows))
}

fn model_row(entry: &ModelEntry) -> Vec<String> {
    let hash = entry.sha256.as_deref().map(|hash| hash.chars().take(SHORT_HASH).collect::<String>());
    vec![
        markdown(&entry.name),
        markdown(&entry.spec),
        known(hash.as_deref()),
        entry.bytes.map_or_else(|| NONE.into(), bytes),
        entry.parameters.map_or_else(|| NONE.into(), count),
    ]
}

fn artifacts(entries: &[ArtifactEntry]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| artifacts::row(entry).iter().map(|text| markdown(text)).collect())
        .collect();
    format!("## Artifacts\n\n{}", table(&header(&artifacts::COLUMNS), 5, &rows))
}

fn environment(manifest: &Manifest) -> String {
    let facts = facts(manifest).into_iter();
    let rows: Vec<Vec<String>> =
        facts.filter_map(|(name, value)| Some(vec![name.to_string(), markdown(&value?)])).collect();
    format!("## Environment\n\n{}", table(&header(&["", ""]), 2, &rows))
}

/// What is known of the run and its machine, by name; none where it is not.
pub(in crate::report) fn facts(manifest: &Manifest) -> Vec<(&'static str, Option<String>)> {
    let about_run = [
        ("inferhost", Some(manifest.inferhost.clone())),
        ("git commit", manifest.git_commit.clone()),
        ("started", Some(manifest.started_at.clone())),
        ("ended", manifest.ended_at.clone()),
    ];
    about_run.into_iter().chain(machine(&manifest.machine)).collect()
}

/// What is known of the machine; none where it is not.
fn machine(machine: &Machine) -> Vec<(&'static str, Option<String>)> {
    let words = |parts: [Option<&str>; 2]| {
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    };
    let mhz = |value: Option<u64>| value.map(|mhz| format!("{mhz} MHz"));
    let gpus: Vec<&str> = machine.gpus.iter().map(|gpu| gpu.name.as_str()).collect();
    vec![
        ("host", machine.hostname.clone()),
        ("system", words([machine.os.as_deref(), machine.os_version.as_deref()])),
        ("kernel", machine.kernel.clone()),
        ("container", machine.container.clone()),
        ("CPU", words([machine.cpu.as_deref(), machine.arch.as_deref()])),
        ("cores", cores(machine)),
        ("clock", mhz(machine.cpu_mhz)),
        ("clock, most", mhz(machine.cpu_max_mhz)),
        ("governor", machine.cpu_governor.clone()),
        ("memory", machine.memory_bytes.map(bytes)),
        ("load at the start", machine.load_average.map(load)),
        ("GPUs", (!gpus.is_empty()).then(|| gpus.join(", "))),
        ("NVIDIA driver", machine.nvidia_driver.clone()),
    ]
}

fn cores(machine: &Machine) -> Option<String> {
    let named = [
        (machine.physical_cores, "physical"),
        (machine.logical_cores, "logical"),
        (machine.available_cores, "available"),
    ];
    let known: Vec<String> = named.iter().filter_map(|(n, name)| n.map(|n| format!("{n} {name}"))).collect();
    (!known.is_empty()).then(|| known.join(", "))
}

fn load(averages: [f64; 3]) -> String {
    averages.map(|average| figure(Some(average))).join(", ")
}

fn known(text: Option<&str>) -> String {
    text.map_or_else(|| NONE.into(), markdown)
}
