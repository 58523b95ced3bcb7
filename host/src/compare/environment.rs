//! What differs between two folders beside their figures, and which of it makes their cells different work.

use super::cells::Folder;
use super::outcome::{Difference, Environment};
use crate::environment::Machine;
use crate::manifest::{BackendEntry, Manifest, ModelEntry};
use serde_json::Value;
use std::collections::BTreeSet;

const SHORT_HASH: usize = 12;
/// Settings of a run that decide what is computed.
const WORK: [&str; 5] = ["seed", "prompt_text", "logits", "sampling", "stop_at_eos"];

/// All known differences, the work's as warnings too.
pub(super) fn differences(before: &Folder, after: &Folder, backends: &[(&str, &str)]) -> Environment {
    let (a, b) = (&before.manifest, &after.manifest);
    let mut found = Found::default();
    found.facts("machine", machine(&a.machine), machine(&b.machine));
    found.facts("inferhost", host(a), host(b));
    found.values("run", &settings(a), &settings(b));
    found.models(a, b);
    for (first, second) in backends {
        let entry = |of: &Manifest, name: &str| of.backends.iter().find(|entry| entry.name == name).cloned();
        let (x, y) = (entry(a, first).unwrap_or_default(), entry(b, second).unwrap_or_default());
        let of = if first == second {
            format!("backend {first}")
        } else {
            format!("backend {first}, then {second}")
        };
        found.facts(&of, plugin(&x), plugin(&y));
        found.values(&of, &x.options, &y.options);
        found.facts(&of, sessions(&x), sessions(&y));
    }
    let warnings = found.warnings();
    Environment { differences: found.differences, warnings }
}

/// Whether both sides of a worker were meant to use the processor alike: on the CPU, with the same threads and options,
/// on as many cores.
pub(super) fn same_cpu_use(a: &Folder, b: &Folder, model: &str, before: &str, after: &str) -> bool {
    let entry =
        |of: &Folder, name: &str| of.manifest.backends.iter().find(|entry| entry.name == name).cloned();
    let (Some(x), Some(y)) = (entry(a, before), entry(b, after)) else { return true };
    let (first, second) = (x.session.get(model), y.session.get(model));
    let threads = |session: Option<&inferhost_plugin_api::SessionInfo>| session.and_then(|info| info.threads);
    let on_cpu =
        [first, second].into_iter().flatten().all(|info| info.device.is_empty() || info.device == "cpu");
    let cores = |of: &Folder| of.manifest.machine.available_cores;
    on_cpu && threads(first) == threads(second) && x.options == y.options && cores(a) == cores(b)
}

type Facts = Vec<(String, Option<String>)>;

#[derive(Default)]
struct Found {
    differences: Vec<Difference>,
}

impl Found {
    fn facts(&mut self, of: &str, before: Facts, after: Facts) {
        let names: Vec<&String> = before.iter().chain(&after).map(|(what, _)| what).collect();
        let mut seen = BTreeSet::new();
        for what in names.into_iter().filter(|what| seen.insert(what.as_str())) {
            let value =
                |facts: &Facts| facts.iter().find(|(name, _)| name == what).and_then(|(_, v)| v.clone());
            let (before, after) = (value(&before), value(&after));
            if before != after {
                self.differences.push(Difference { of: of.into(), what: what.clone(), before, after });
            }
        }
    }

    /// Two JSON objects, key by key.
    fn values(&mut self, of: &str, before: &Value, after: &Value) {
        let facts = |value: &Value| -> Facts {
            let entries = value.as_object().into_iter().flatten();
            entries.map(|(key, value)| (key.clone(), (!value.is_null()).then(|| plain(value)))).collect()
        };
        self.facts(of, facts(before), facts(after));
    }

    fn models(&mut self, a: &Manifest, b: &Manifest) {
        for model in &a.models {
            let Some(other) = b.models.iter().find(|other| other.name == model.name) else { continue };
            let facts = |of: &ModelEntry| -> Facts {
                vec![
                    ("SHA-256".into(), of.sha256.as_deref().map(shortened)),
                    ("parameters".into(), of.parameters.map(|n| n.to_string())),
                    ("source".into(), Some(of.spec.clone())),
                ]
            };
            self.facts(&format!("model {}", model.name), facts(model), facts(other));
        }
    }

    fn warnings(&self) -> Vec<String> {
        let is_weights = |d: &Difference| d.of.starts_with("model ") && d.what == "SHA-256";
        let is_work = |d: &Difference| d.of == "run" && WORK.contains(&d.what.as_str());
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
        let warning = |d: &Difference| {
            let change = format!("{} -> {}", text(&d.before), text(&d.after));
            if is_weights(d) && d.before.is_some() && d.after.is_some() {
                Some(format!(
                    "{} is not the same model: SHA-256 {change}. Its figures are of different work.",
                    d.of
                ))
            } else if is_work(d) {
                Some(format!("the runs are not the same work: {} {change}.", d.what))
            } else {
                None
            }
        };
        self.differences.iter().filter_map(warning).collect()
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

fn shortened(hash: &str) -> String {
    hash.chars().take(SHORT_HASH).collect()
}

fn host(manifest: &Manifest) -> Facts {
    vec![
        ("version".into(), Some(manifest.inferhost.clone())),
        ("git commit".into(), manifest.git_commit.as_deref().map(shortened)),
    ]
}

/// The settings of the run, with the seed.
fn settings(manifest: &Manifest) -> Value {
    let mut settings = manifest.config.get("run").cloned().unwrap_or_default();
    if let (Some(settings), Some(seed)) = (settings.as_object_mut(), manifest.config.get("seed")) {
        settings.insert("seed".into(), seed.clone());
    }
    settings
}

fn machine(of: &Machine) -> Facts {
    let number = |value: Option<u64>| value.map(|n| n.to_string());
    let words = |parts: [&Option<String>; 2]| {
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    };
    let gpus: Vec<&str> = of.gpus.iter().map(|gpu| gpu.name.as_str()).collect();
    let facts: [(&str, Option<String>); 13] = [
        ("host", of.hostname.clone()),
        ("system", words([&of.os, &of.os_version])),
        ("kernel", of.kernel.clone()),
        ("container", of.container.clone()),
        ("CPU", words([&of.cpu, &of.arch])),
        ("physical cores", number(of.physical_cores)),
        ("logical cores", number(of.logical_cores)),
        ("available cores", number(of.available_cores)),
        ("clock, most, MHz", number(of.cpu_max_mhz)),
        ("governor", of.cpu_governor.clone()),
        ("memory, bytes", number(of.memory_bytes)),
        ("GPUs", (!gpus.is_empty()).then(|| gpus.join(", "))),
        ("NVIDIA driver", of.nvidia_driver.clone()),
    ];
    facts.into_iter().map(|(what, value)| (what.to_string(), value)).collect()
}

fn plugin(entry: &BackendEntry) -> Facts {
    let name = Some(entry.plugin.clone()).filter(|name| !name.is_empty());
    let facts: [(&str, Option<String>); 6] = [
        ("plugin", name),
        ("plugin version", entry.version.clone()),
        ("plugin SHA-256", entry.sha256.as_deref().map(shortened)),
        ("runtime", entry.runtime.clone()),
        ("runtime version", entry.runtime_version.clone()),
        ("library", entry.library.clone()),
    ];
    facts.into_iter().map(|(what, value)| (what.to_string(), value)).collect()
}

/// What each model's session really used.
fn sessions(entry: &BackendEntry) -> Facts {
    let mut facts = Facts::new();
    for (model, info) in &entry.session {
        let mut fact = |what: &str, value: Option<String>| facts.push((format!("{what} on {model}"), value));
        fact("device", Some(info.device.clone()));
        fact("precision", Some(info.precision.clone()));
        fact("threads", info.threads.map(|n| n.to_string()));
        // Where files lie is told by the library above and the artifact's own hash.
        for (key, value) in
            info.details.iter().filter(|(key, _)| !matches!(key.as_str(), "graph" | "library"))
        {
            fact(key, Some(value.clone()));
        }
    }
    facts
}
