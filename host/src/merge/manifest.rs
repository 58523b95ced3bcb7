//! One manifest of several: what is the same in all, what any of them knows, and what each of them was.

use super::Options;
use super::part::Part;
use super::records::Written;
use crate::environment::Machine;
use crate::manifest::{Counts, Manifest, MergedPart};
use std::collections::BTreeMap;

/// The manifest of the folder that `parts` become.
pub(super) fn unite(parts: &[Part], options: Options, written: &Written, notes: &[String]) -> Manifest {
    let manifests: Vec<&Manifest> = parts.iter().map(|part| &part.manifest).collect();
    let planned_runs = planned_runs(&manifests, options, written);
    let mut merged = Manifest {
        inferhost: env!("CARGO_PKG_VERSION").into(),
        git_commit: agreed(&manifests, |of| of.git_commit.clone()),
        started_at: manifests.iter().map(|of| &of.started_at).min().cloned().unwrap_or_default(),
        ended_at: last_end(&manifests),
        // The rest is in `merged_from`.
        machine: Machine::common(manifests.iter().map(|of| &of.machine)),
        planned_runs,
        planned_evaluations: planned_evaluations(&manifests),
        counts: counts(&manifests, options, planned_runs, written),
        shard: None,
        merged_from: merged_from(parts, written),
        notes: earlier_notes(&manifests, notes),
        ..parts[0].manifest.clone()
    };
    for other in &manifests[1..] {
        add(&mut merged, other);
    }
    merged
}

/// The value that all have.
fn agreed<T: PartialEq>(manifests: &[&Manifest], fact: fn(&Manifest) -> Option<T>) -> Option<T> {
    let first = manifests.first().and_then(|of| fact(of));
    first.filter(|first| manifests.iter().all(|of| fact(of).as_ref() == Some(first)))
}

/// Null where one has not ended.
fn last_end(manifests: &[&Manifest]) -> Option<String> {
    let ends: Option<Vec<&String>> = manifests.iter().map(|of| of.ended_at.as_ref()).collect();
    ends?.into_iter().max().cloned()
}

/// The plan's, of which every part did some, and what was imported; as rounds, all that were planned.
fn planned_runs(manifests: &[&Manifest], options: Options, written: &Written) -> u64 {
    if options.as_rounds {
        return manifests.iter().map(|of| of.planned_runs).sum();
    }
    let of_plan = manifests.iter().zip(&written.imported_in).map(|(of, imported)| match of.shard {
        Some(shard) => shard.plan_runs,
        None => of.planned_runs.saturating_sub(*imported),
    });
    of_plan.max().unwrap_or(0) + written.imported
}

/// Parts of the same shard spared the same runs, further rounds others. A run that one part spared and another made is
/// made.
fn counts(manifests: &[&Manifest], options: Options, planned: u64, written: &Written) -> Counts {
    let mut spared: BTreeMap<usize, u64> = BTreeMap::new();
    for (place, of) in manifests.iter().enumerate() {
        let shard = of.shard.map_or(0, |shard| shard.index as usize);
        let most = spared.entry(if options.as_rounds { place } else { shard }).or_default();
        *most = of.counts.spared.max(*most);
    }
    let spared: u64 = spared.into_values().sum();
    let unrecorded = planned.saturating_sub(written.counts.recorded);
    Counts { spared: spared.min(unrecorded), ..written.counts.clone() }
}

fn planned_evaluations(manifests: &[&Manifest]) -> u64 {
    let whole = |of: &&Manifest| of.shard.map_or(of.planned_evaluations, |shard| shard.plan_evaluations);
    manifests.iter().map(whole).max().unwrap_or(0)
}

/// A part that was merged itself is told by its own parts.
fn merged_from(parts: &[Part], written: &Written) -> Vec<MergedPart> {
    let mut merged = Vec::new();
    for (index, Part { name, manifest, .. }) in parts.iter().enumerate() {
        let rounds_before = written.rounds_before[index];
        let inner = |part: &MergedPart| MergedPart {
            folder: format!("{name}/{}", part.folder),
            rounds_before: part.rounds_before + rounds_before,
            ..part.clone()
        };
        merged.extend(manifest.merged_from.iter().map(inner));
        if manifest.merged_from.is_empty() {
            merged.push(MergedPart {
                folder: name.clone(),
                inferhost: manifest.inferhost.clone(),
                started_at: manifest.started_at.clone(),
                ended_at: manifest.ended_at.clone(),
                machine: manifest.machine.clone(),
                records: written.taken[index],
                rounds_before,
            });
        }
    }
    merged
}

fn earlier_notes(manifests: &[&Manifest], notes: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for note in manifests.iter().flat_map(|of| &of.notes).chain(notes) {
        if !all.contains(note) {
            all.push(note.clone());
        }
    }
    all
}

/// Adds what `other` alone knows of models, backends and artifacts.
fn add(merged: &mut Manifest, other: &Manifest) {
    for model in &other.models {
        if !merged.models.iter().any(|known| known.name == model.name) {
            merged.models.push(model.clone());
        }
    }
    for backend in &other.backends {
        match merged.backends.iter_mut().find(|known| known.name == backend.name) {
            None => merged.backends.push(backend.clone()),
            Some(known) => {
                add_missing(&mut known.session, &backend.session);
                add_missing(&mut known.disk_bytes, &backend.disk_bytes);
            }
        }
    }
    for artifact in &other.artifacts {
        let key = (&artifact.model, &artifact.backend, &artifact.name);
        if !merged.artifacts.iter().any(|known| (&known.model, &known.backend, &known.name) == key) {
            merged.artifacts.push(artifact.clone());
        }
    }
}

fn add_missing<T: Clone>(known: &mut BTreeMap<String, T>, other: &BTreeMap<String, T>) {
    for (key, value) in other {
        known.entry(key.clone()).or_insert_with(|| value.clone());
    }
}
