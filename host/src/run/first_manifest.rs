//! The manifest as it is before the first run.

use super::Setup;
use crate::config::Config;
use crate::environment::Machine;
use crate::environment::git::head_commit;
use crate::manifest::{self, ArtifactEntry, BackendEntry, Manifest, ModelEntry};
use crate::plan::Plan;
use std::collections::BTreeMap;
use std::path::Path;

/// What is known of `config`'s run before it begins.
pub fn first_manifest(config: &Config, plan: &Plan, setup: &Setup) -> Manifest {
    Manifest {
        schema: manifest::SCHEMA,
        name: config.name.clone(),
        inferhost: env!("CARGO_PKG_VERSION").into(),
        git_commit: head_commit(Path::new(".")),
        started_at: super::now(),
        ended_at: None,
        config: serde_json::to_value(config).unwrap_or_default(),
        baseline: Some(config.baseline.clone()),
        models: models(config, setup),
        backends: backends(config, setup),
        artifacts: artifacts(config, setup),
        machine: Machine::probe(),
        planned_runs: plan.runs(),
        planned_evaluations: planned_evaluations(config),
        counts: manifest::Counts::default(),
        shard: None,
        merged_from: Vec::new(),
        notes: Vec::new(),
    }
}

fn planned_evaluations(config: &Config) -> u64 {
    config.accuracy.as_ref().map_or(0, |_| (config.models.len() * config.backends.len()) as u64)
}

fn models(config: &Config, setup: &Setup) -> Vec<ModelEntry> {
    let entry = |(model, ready): (&crate::config::Model, &super::ReadyModel)| ModelEntry {
        name: model.name.clone(),
        spec: model.source.clone(),
        parameters: ready.resolved.parameters,
        claimed_params: model.claimed_params,
        sha256: Some(ready.resolved.sha256.clone()),
        bytes: Some(ready.resolved.bytes),
    };
    config.models.iter().zip(&setup.models).map(entry).collect()
}

fn backends(config: &Config, setup: &Setup) -> Vec<BackendEntry> {
    let entry = |(b, (backend, ready)): (usize, (&crate::config::Backend, &super::ReadyBackend))| {
        let description = ready.description.as_ref().ok();
        BackendEntry {
            name: backend.name.clone(),
            plugin: ready.file.as_ref().map_or(&backend.plugin, |file| &file.name).clone(),
            path: ready.file.as_ref().map(|file| file.path.display().to_string()),
            sha256: ready.hashed.as_ref().map(|hashed| hashed.sha256.clone()),
            version: description.map(|d| d.version.clone()),
            runtime: description.map(|d| d.runtime.name.clone()),
            runtime_version: description.and_then(|d| d.runtime.version.clone()),
            library: description.and_then(|d| d.runtime.library.clone()),
            options: serde_json::Value::Object(backend.options.clone()),
            disk_bytes: disk_bytes(config, setup, b),
            session: BTreeMap::new(),
        }
    };
    config.backends.iter().zip(&setup.backends).enumerate().map(entry).collect()
}

/// By model, what the `backend` opens.
fn disk_bytes(config: &Config, setup: &Setup, backend: usize) -> BTreeMap<String, u64> {
    let models = config.models.iter().zip(&setup.models).enumerate();
    let bytes = models.filter_map(|(m, (model, ready))| {
        let prepared = setup.pairs.get(&(m, backend))?.as_ref().ok()?;
        let artifact = prepared.artifact.as_ref().map(|artifact| artifact.bytes);
        Some((model.name.clone(), artifact.unwrap_or(ready.resolved.bytes)))
    });
    bytes.collect()
}

fn artifacts(config: &Config, setup: &Setup) -> Vec<ArtifactEntry> {
    let entry = |(&(m, b), pair): (&(usize, usize), &Result<crate::prepare::Prepared, _>)| {
        let prepared = pair.as_ref().ok()?;
        let artifact = prepared.artifact.as_ref()?;
        Some(ArtifactEntry {
            model: config.models[m].name.clone(),
            backend: config.backends[b].name.clone(),
            name: artifact.name.to_string(),
            path: prepared.path.display().to_string(),
            sha256: Some(artifact.sha256.clone()),
            bytes: Some(artifact.bytes),
            build_seconds: Some(artifact.build_seconds),
            computes_in: match &artifact.engine {
                Some(engine) => engine.layers.clone(),
                None => artifact.coverage.products.clone(),
            },
            profiles: artifact.engine.as_ref().map(|engine| engine.profiles.clone()).unwrap_or_default(),
            built_by: artifact
                .engine
                .as_ref()
                .map(|engine| format!("{} on {}", engine.identity.runtime, engine.identity.device)),
        })
    };
    setup.pairs.iter().filter_map(entry).collect()
}
