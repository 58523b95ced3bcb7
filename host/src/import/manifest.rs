//! What a manifest says of imported runs: their models and backends, and of the machine what the files say.

use super::names::{identity, sound};
use super::series::Series;
use crate::environment::Machine;
use crate::manifest::{self, BackendEntry, Counts, Manifest, ModelEntry};
use crate::record::Record;
use inferhost_plugin_api::SessionInfo;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;

/// The manifest of a folder `at` of nothing but `all`.
pub(super) fn new(at: &Path, all: &[Series]) -> Manifest {
    let name = std::path::absolute(at).unwrap_or_else(|_| at.into());
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    let times = || all.iter().map(|series| series.started_at.clone());
    Manifest {
        schema: manifest::SCHEMA,
        name: sound(&name),
        inferhost: env!("CARGO_PKG_VERSION").into(),
        git_commit: None,
        started_at: times().min().unwrap_or_default(),
        // The last time that the files give.
        ended_at: times().max(),
        config: json!({}),
        baseline: None,
        models: Vec::new(),
        backends: Vec::new(),
        artifacts: Vec::new(),
        machine: Machine::common(all.iter().map(|series| &series.machine)),
        planned_runs: 0,
        planned_evaluations: 0,
        counts: Counts::default(),
        shard: None,
        merged_from: Vec::new(),
        notes: Vec::new(),
    }
}

/// Adds what `all` was measured on, and its `records`; the notes that the user should see.
pub(super) fn add(manifest: &mut Manifest, all: &[Series], records: &[Record]) -> Vec<String> {
    let mut notes = Vec::new();
    for series in all {
        notes.extend(add_model(manifest, series));
        add_backend(manifest, series);
        notes.extend(other_machine(manifest, series));
    }
    let mut seen = BTreeSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    for note in all.iter().flat_map(marks).chain(notes.iter().cloned()) {
        if !manifest.notes.contains(&note) {
            manifest.notes.push(note);
        }
    }
    records.iter().for_each(|record| manifest.counts.add(record));
    manifest.planned_runs += records.len() as u64;
    notes
}

/// What a reader of the figures must know: that inferhost did not make them, and what was measured instead.
fn marks(series: &Series) -> Vec<String> {
    let Series { source, backend, shape, note, .. } = series;
    let version = source.tool_version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let origin = format!(
        "{} was measured by {}{version} and imported from {}.",
        backend.name, source.tool, source.file
    );
    let differs = note
        .as_ref()
        .map(|note| format!("{}, {} of {}: {note}.", backend.name, shape.mode.name(), shape.name()));
    std::iter::once(origin).chain(differs).collect()
}

/// A note where the folder's model of that name does not seem to be the same.
fn add_model(manifest: &mut Manifest, series: &Series) -> Option<String> {
    let model = &series.model;
    let Some(known) = manifest.models.iter().find(|known| known.name == model.name) else {
        manifest.models.push(ModelEntry {
            name: model.name.clone(),
            spec: model.spec.clone(),
            parameters: model.parameters,
            ..ModelEntry::default()
        });
        return None;
    };
    let (ours, theirs) = (known.parameters?, model.parameters?);
    let Series { source, backend, .. } = series;
    (ours != theirs).then(|| {
        format!(
            "The model {} has {ours} parameters, and {theirs} as {} counts them for {} ({}).",
            model.name, source.tool, backend.name, source.file
        )
    })
}

fn add_backend(manifest: &mut Manifest, series: &Series) {
    let Series { source, model, backend, .. } = series;
    let index = manifest.backends.iter().position(|known| known.name == backend.name);
    let index = index.unwrap_or_else(|| {
        manifest.backends.push(BackendEntry {
            name: backend.name.clone(),
            plugin: source.tool.into(),
            version: source.tool_version.clone(),
            runtime: Some(backend.runtime.clone()),
            runtime_version: backend.runtime_version.clone(),
            options: json!(identity(series)),
            ..BackendEntry::default()
        });
        manifest.backends.len() - 1
    });
    let session = &mut manifest.backends[index].session;
    session.entry(model.name.clone()).or_insert_with(|| SessionInfo {
        device: backend.device.clone(),
        precision: backend.precision.clone(),
        threads: backend.threads,
        runtime_version: backend.runtime_version.clone(),
        model_bytes: model.bytes,
        details: [("imported from".to_string(), source.file.clone())].into(),
        ..SessionInfo::default()
    });
}

fn other_machine(manifest: &Manifest, series: &Series) -> Option<String> {
    let (ours, theirs) = (manifest.machine.cpu.as_ref()?, series.machine.cpu.as_ref()?);
    let Series { source, backend, .. } = series;
    (ours != theirs).then(|| {
        format!(
            "{} was measured on another CPU: {theirs}, where this folder's is {ours} ({}).",
            backend.name, source.file
        )
    })
}
