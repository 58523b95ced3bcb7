//! What one matrix was: the content of `manifest.json`.
//!
//! Written when a matrix starts and again when it ends. A reader takes fields it does not know (a newer host wrote
//! them) and does without those an older host did not write.

use crate::environment::Machine;
use crate::record::{DegradedKind, Record, Status};
use inferhost_plugin_api::SessionInfo;
use inferhost_plugin_api::shapes::Profile;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The version of the manifest's fields.
pub const SCHEMA: u32 = 1;

/// Everything needed to read the records and to run the matrix again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The matrix's name, as in its config.
    pub name: String,
    /// The host's version.
    pub inferhost: String,
    /// The commit of the working folder's git repository; null outside one.
    #[serde(default)]
    pub git_commit: Option<String>,
    /// When the matrix began, RFC 3339 in UTC.
    pub started_at: String,
    /// When it ended; null while it runs and where it was killed.
    #[serde(default)]
    pub ended_at: Option<String>,
    /// The config as resolved.
    #[serde(default)]
    pub config: Value,
    /// The backend others are compared with; null: the first of `backends`.
    #[serde(default)]
    pub baseline: Option<String>,
    /// The models, in the config's order.
    #[serde(default)]
    pub models: Vec<ModelEntry>,
    /// The backends, in the config's order.
    #[serde(default)]
    pub backends: Vec<BackendEntry>,
    /// What was built or taken from the cache for them.
    #[serde(default)]
    pub artifacts: Vec<ArtifactEntry>,
    /// Where it ran.
    #[serde(default)]
    pub machine: Machine,
    /// How many records the whole matrix makes; of a shard: the shard. Imported records count as planned.
    pub planned_runs: u64,
    /// How many pairs of model and backend are evaluated; 0 where accuracy is not.
    #[serde(default)]
    pub planned_evaluations: u64,
    /// How many it made, as counted when the manifest was last written.
    #[serde(default)]
    pub counts: Counts,
    /// Which part of the plan was run here; null: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardEntry>,
    /// The run folders that were merged into this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged_from: Vec<MergedPart>,
    /// What a reader must know of how this folder came about, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A part of a plan, and how much the whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// Which one, from 1.
    pub index: u32,
    /// Of how many.
    pub count: u32,
    /// Runs of the whole plan.
    pub plan_runs: u64,
    /// Evaluations of the whole plan.
    #[serde(default)]
    pub plan_evaluations: u64,
}

/// One of the run folders that a merged one was made from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MergedPart {
    /// The folder's name, without its place; its logs are in the folder of this name under `logs/`.
    pub folder: String,
    /// The host's version.
    pub inferhost: String,
    /// When it began, RFC 3339 in UTC.
    pub started_at: String,
    /// When it ended; null where it did not.
    pub ended_at: Option<String>,
    /// Where it ran.
    pub machine: Machine,
    /// How many of its records were taken; one that an earlier part holds too is not counted again.
    pub records: u64,
    /// What was added to its records' rounds.
    pub rounds_before: u32,
}

/// A model of the matrix.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelEntry {
    /// The name in records.
    pub name: String,
    /// Where it came from, as in the config: a folder, a hub id, a synthetic shape.
    pub spec: String,
    /// Parameters, counted from the tensors.
    pub parameters: Option<u64>,
    /// Parameters the config claims.
    pub claimed_params: Option<u64>,
    /// SHA-256 over its files.
    pub sha256: Option<String>,
    /// Size of the weight files.
    pub bytes: Option<u64>,
}

/// A backend of the matrix.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendEntry {
    /// The name in records.
    pub name: String,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's file.
    pub path: Option<String>,
    /// SHA-256 of that file.
    pub sha256: Option<String>,
    /// The plugin's version.
    pub version: Option<String>,
    /// The runtime it drives.
    pub runtime: Option<String>,
    /// The runtime's version, as the runtime says.
    pub runtime_version: Option<String>,
    /// The runtime's library file; null where it is compiled in.
    pub library: Option<String>,
    /// The options of the plugin, as resolved.
    pub options: Value,
    /// Bytes on disk of what each model is opened from: the artifact, else the model's own weight files; a model that it
    /// cannot open is absent.
    pub disk_bytes: BTreeMap<String, u64>,
    /// What each model's session really used; a model whose session never opened is absent.
    pub session: BTreeMap<String, SessionInfo>,
}

/// A model in the form a backend loads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArtifactEntry {
    /// Of which model.
    pub model: String,
    /// For which backend.
    pub backend: String,
    /// Its name in the artifact cache.
    pub name: String,
    /// Where it lies.
    pub path: String,
    /// SHA-256 over its files.
    pub sha256: Option<String>,
    /// Their size.
    pub bytes: Option<u64>,
    /// Wall time of the build, seconds, when it was built.
    pub build_seconds: Option<f64>,
    /// What it computes in, read back from what was built: an engine's layers, else a graph's products, by precision.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub computes_in: BTreeMap<String, u32>,
    /// An engine's profiles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<Profile>,
    /// What built an engine: the runtime and the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built_by: Option<String>,
}

/// How many runs a matrix has made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Records written.
    pub recorded: u64,
    /// Those with a valid measurement.
    pub ok: u64,
    /// Those without, by kind.
    pub degraded: BTreeMap<DegradedKind, u64>,
    /// Planned runs that were not made, for those before them had the interval asked for (`run.target_ci`).
    #[serde(skip_serializing_if = "is_zero")]
    pub spared: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Counts {
    /// `28 of 30 planned runs recorded`, with those that were not needed.
    pub fn of_planned(&self, planned: u64) -> String {
        let recorded = format!("{} of {planned} planned runs recorded", self.recorded);
        match self.spared {
            0 => recorded,
            spared => format!("{recorded}, {spared} not needed"),
        }
    }

    /// Counts one more record.
    pub fn add(&mut self, record: &Record) {
        self.recorded += 1;
        match (record.status, &record.degraded) {
            (Status::Ok, _) => self.ok += 1,
            (Status::Degraded, Some(degraded)) => *self.degraded.entry(degraded.kind).or_default() += 1,
            (Status::Degraded, None) => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod sample {
    use super::*;
    use serde_json::json;

    /// Backends `ort` (the baseline) and `candle` on one model, `planned` runs.
    pub(crate) fn manifest(planned: u64) -> Manifest {
        Manifest {
            schema: SCHEMA,
            name: "quick".into(),
            inferhost: "0.1.0".into(),
            git_commit: Some("dcd085d1".into()),
            started_at: "2026-11-20T16:00:00Z".into(),
            ended_at: Some("2026-11-20T16:00:09Z".into()),
            config: json!({}),
            baseline: None,
            models: vec![ModelEntry {
                name: "gpt2-5m".into(),
                spec: "synthetic:gpt2-5m".into(),
                parameters: Some(5_037_312),
                sha256: Some("0123456789abcdef0123456789abcdef".into()),
                ..ModelEntry::default()
            }],
            backends: vec![backend("ort", "1.31.1"), backend("candle", "0.11.0")],
            artifacts: Vec::new(),
            machine: Machine {
                os: Some("Debian GNU/Linux".into()),
                logical_cores: Some(2),
                ..Machine::default()
            },
            planned_runs: planned,
            planned_evaluations: 0,
            counts: Counts::default(),
            shard: None,
            merged_from: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn backend(name: &str, runtime_version: &str) -> BackendEntry {
        let info = SessionInfo {
            device: "cpu".into(),
            precision: "f32".into(),
            threads: Some(2),
            model_bytes: Some(20_149_248),
            ..SessionInfo::default()
        };
        BackendEntry {
            name: name.into(),
            plugin: name.into(),
            version: Some("0.1.0".into()),
            runtime: Some(name.into()),
            runtime_version: Some(runtime_version.into()),
            disk_bytes: BTreeMap::from([("gpt2-5m".to_string(), 20_150_000)]),
            session: BTreeMap::from([("gpt2-5m".to_string(), info)]),
            ..BackendEntry::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn survives_a_round_trip() {
        let mut manifest = sample::manifest(4);
        manifest.counts.degraded.insert(DegradedKind::Timeout, 2);
        let text = serde_json::to_string(&manifest).unwrap();
        let back: Manifest = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }

    #[test]
    fn fields_of_a_newer_host_are_passed_over_and_those_of_an_older_one_are_not_missed() {
        let text = json!({"schema": 1, "name": "q", "inferhost": "0.9", "started_at": "t", "planned_runs": 3,
            "backends": [{"name": "ort", "colour": "red"}], "machine": {"quantum": true}, "weather": "fine"});
        let manifest: Manifest = serde_json::from_value(text).unwrap();
        assert_eq!(manifest.backends[0].name, "ort");
        assert_eq!(manifest.counts, Counts::default());
    }
}
