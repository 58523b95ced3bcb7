//! Whether run folders are of one plan: what must not differ, and what may but has to be told.

use super::error::Difference;
use super::part::Part;
use super::{MergeError, Options};
use crate::config::{first_difference, without_places};
use crate::environment::Machine;
use crate::manifest::{BackendEntry, ShardEntry};
use serde_json::Value;
use std::collections::BTreeSet;

const CONFIG: &str = "merge runs of one config only";
const MODEL: &str = "merge runs of one model only";
const SHARDS: &str = "merge the shards of one division only";
const PARTS: &str = "these are parts of the same rounds: merge them without --as-rounds";
const VERSIONS: &str =
    "a cell of both would measure two things: give --allow-versions to merge them all the same";

/// What a reader of the merged folder must always know, a line each.
///
/// # Errors
/// The first thing that does not belong together.
pub(super) fn compare(parts: &[Part], options: Options) -> Result<Vec<String>, MergeError> {
    let mut notes = Vec::new();
    for (i, b) in parts.iter().enumerate() {
        for a in &parts[..i] {
            same_config(a, b)?;
            same_models(a, b)?;
            same_division(a, b, options)?;
            notes.extend(same_versions(a, b, options)?);
        }
    }
    notes.extend(settings(parts));
    notes.extend(hosts(parts));
    notes.extend(machines(parts));
    let mut seen = BTreeSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    Ok(notes)
}

fn differs(a: &Part, b: &Part, what: String, values: [String; 2], remedy: &'static str) -> MergeError {
    let folders = [a, b].map(|part| part.path.clone());
    MergeError::Differs(Box::new(Difference { folders, what, values, remedy }))
}

fn same_config(a: &Part, b: &Part) -> Result<(), MergeError> {
    let [in_a, in_b] = [a, b].map(|part| without_places(&part.manifest.config));
    let Some(found) = first_difference(&in_a, &in_b) else { return Ok(()) };
    let what = match found.key.as_str() {
        "" => "the config".into(),
        key => format!("`{key}` of the config"),
    };
    Err(differs(a, b, what, found.values.map(|value| shown(&value)), CONFIG))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        value => crate::text::clipped(&value.to_string(), 80),
    }
}

fn same_models(a: &Part, b: &Part) -> Result<(), MergeError> {
    for model in &a.manifest.models {
        let other = b.manifest.models.iter().find(|other| other.name == model.name);
        let Some((in_a, in_b)) = model.sha256.as_ref().zip(other.and_then(|other| other.sha256.as_ref()))
        else {
            continue;
        };
        if in_a != in_b {
            let what = format!("the SHA-256 of model `{}`", model.name);
            return Err(differs(a, b, what, [in_a.clone(), in_b.clone()], MODEL));
        }
    }
    Ok(())
}

fn same_division(a: &Part, b: &Part, options: Options) -> Result<(), MergeError> {
    let (Some(in_a), Some(in_b)) = (a.manifest.shard, b.manifest.shard) else { return Ok(()) };
    let division = |shard: ShardEntry| (shard.count, shard.plan_runs);
    let remedy = if division(in_a) != division(in_b) {
        SHARDS
    } else if options.as_rounds && in_a.index != in_b.index {
        PARTS
    } else {
        return Ok(());
    };
    let values = [in_a, in_b]
        .map(|shard| format!("shard {}/{} of {} runs", shard.index, shard.count, shard.plan_runs));
    Err(differs(a, b, "what was run".into(), values, remedy))
}

/// What is said of reports is no part of a measurement, but one merged folder has one price.
fn settings(parts: &[Part]) -> Option<String> {
    let of = |part: &Part| part.manifest.config.get("report").cloned();
    let first = parts.first()?;
    let other = parts.iter().find(|part| of(part) != of(first))?;
    Some(format!(
        "[report] of the configs of {} and {} differs; that of {} holds.",
        first.name, other.name, first.name
    ))
}

/// What `--allow-versions` lets pass.
fn same_versions(a: &Part, b: &Part, options: Options) -> Result<Vec<String>, MergeError> {
    let mut notes = Vec::new();
    let mut facts = artifact_facts(a, b);
    for in_a in &a.manifest.backends {
        let Some(in_b) = b.manifest.backends.iter().find(|other| other.name == in_a.name) else { continue };
        facts.extend(version_facts(in_a, in_b));
        notes.extend(sessions(in_a, in_b, [a, b]));
    }
    for (what, values) in facts {
        if !options.allow_versions {
            return Err(differs(a, b, what, values, VERSIONS));
        }
        let [in_a, in_b] = values;
        notes
            .push(format!("In {} {what} is {in_a}, in {} it is {in_b}: its cells mix them.", a.name, b.name));
    }
    Ok(notes)
}

/// Artifacts of one name that were built to other files.
fn artifact_facts(a: &Part, b: &Part) -> Vec<(String, [String; 2])> {
    let mut facts = Vec::new();
    for in_a in &a.manifest.artifacts {
        let key = (&in_a.model, &in_a.backend, &in_a.name);
        let same = b.manifest.artifacts.iter().find(|of| (&of.model, &of.backend, &of.name) == key);
        let hashes = in_a.sha256.as_ref().zip(same.and_then(|of| of.sha256.as_ref()));
        if let Some((one, other)) = hashes.filter(|(one, other)| one != other) {
            let what =
                format!("the SHA-256 of {} of `{}` for backend `{}`", in_a.name, in_a.model, in_a.backend);
            facts.push((what, [one.clone(), other.clone()]));
        }
    }
    facts
}

/// Those that are known in both and differ.
fn version_facts(a: &BackendEntry, b: &BackendEntry) -> Vec<(String, [String; 2])> {
    let facts = [
        ("plugin's SHA-256", a.sha256.as_ref().zip(b.sha256.as_ref())),
        ("runtime's version", a.runtime_version.as_ref().zip(b.runtime_version.as_ref())),
    ];
    let known = facts.into_iter().filter_map(|(what, values)| Some((what, values?)));
    let differing = known.filter(|(_, (one, other))| one != other);
    let named = |what: &str| format!("the {what} of backend `{}`", a.name);
    differing.map(|(what, (one, other))| (named(what), [one.clone(), other.clone()])).collect()
}

fn sessions(a: &BackendEntry, b: &BackendEntry, parts: [&Part; 2]) -> Vec<String> {
    let [in_a, in_b] = parts;
    let mut notes = Vec::new();
    for (model, one) in &a.session {
        let Some(other) = b.session.get(model) else { continue };
        let threads = [one, other].map(|info| info.threads.map_or_else(|| "?".into(), |n| n.to_string()));
        let facts = [
            ("device", [one.device.clone(), other.device.clone()]),
            ("precision", [one.precision.clone(), other.precision.clone()]),
            ("number of threads", threads),
        ];
        for (what, [one, other]) in facts.into_iter().filter(|(_, [one, other])| one != other) {
            notes.push(format!(
                "The {what} of `{}` on {model} was {one} in {} and {other} in {}.",
                a.name, in_a.name, in_b.name
            ));
        }
    }
    notes
}

fn hosts(parts: &[Part]) -> Option<String> {
    let versions: BTreeSet<&str> = parts.iter().map(|part| part.manifest.inferhost.as_str()).collect();
    let list = versions.iter().copied().collect::<Vec<_>>().join(", ");
    (versions.len() > 1).then(|| format!("The parts were made by inferhost {list}."))
}

fn machines(parts: &[Part]) -> Option<String> {
    let mut found: Vec<(Machine, Vec<&str>)> = Vec::new();
    for (name, machine) in parts.iter().flat_map(ran_on) {
        let machine = lasting(machine);
        match found.iter_mut().find(|(known, _)| *known == machine) {
            Some((_, names)) => names.push(name),
            None => found.push((machine, vec![name])),
        }
    }
    let one = |(machine, names): &(Machine, Vec<&str>)| {
        let known = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "unknown".into());
        format!("{} on {} ({})", names.join(", "), known(&machine.hostname), known(&machine.cpu))
    };
    let list = found.iter().map(one).collect::<Vec<_>>().join("; ");
    (found.len() > 1)
        .then(|| format!("The parts ran on {} machines, or on one that was changed: {list}.", found.len()))
}

/// The machine of the part; of one that was merged itself, those of its parts.
fn ran_on(part: &Part) -> Vec<(&str, &Machine)> {
    match part.manifest.merged_from.as_slice() {
        [] => vec![(&part.name, &part.manifest.machine)],
        inner => inner.iter().map(|of| (of.folder.as_str(), &of.machine)).collect(),
    }
}

/// Without what changes from minute to minute.
fn lasting(machine: &Machine) -> Machine {
    Machine { load_average: None, cpu_mhz: None, ..machine.clone() }
}

/// The shards that are not there, whose runs may yet be made; none where a part is of the whole plan.
pub(super) fn missing_shards(parts: &[Part]) -> Option<String> {
    let shards: Option<Vec<ShardEntry>> = parts.iter().map(|part| part.manifest.shard).collect();
    let shards = shards?;
    let count = shards.first()?.count;
    let missing = (1..=count).filter(|index| !shards.iter().any(|shard| shard.index == *index));
    let missing: Vec<String> = missing.map(|index| format!("{index}/{count}")).collect();
    (!missing.is_empty()).then(|| format!("The runs of shard {} are missing.", missing.join(", ")))
}
