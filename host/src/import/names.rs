//! Names for what was measured: as the folder has them, as the user gives them, or from what the files say.

use super::series::{Series, Shape};
use super::{ImportError, Names};
use crate::config::{check_name, first_difference};
use crate::manifest::Manifest;
use crate::record::Record;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const LONGEST: usize = 64;
/// Longer than this, what tells two backends apart is a number.
const LONGEST_SUFFIX: usize = 32;

/// `text` as a name that configs and file names take.
pub(super) fn sound(text: &str) -> String {
    let mut name = String::new();
    for c in text.trim().chars() {
        match c {
            c if c.is_ascii_alphanumeric() || "._".contains(c) => name.push(c),
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    let name: String = name.trim_matches(['-', '.']).chars().take(LONGEST).collect();
    if name.is_empty() { "unknown".into() } else { name }
}

/// Puts the names that the user gives into `all`, and tells backends of one name apart by their settings.
pub(super) fn settle(all: &mut [Series], names: &Names) -> Result<(), ImportError> {
    if let Some(model) = &names.model {
        check_name("--model", model).map_err(ImportError::Name)?;
        let found: BTreeSet<&str> = all.iter().map(|series| series.model.name.as_str()).collect();
        if found.len() > 1 {
            let found = found.into_iter().collect::<Vec<_>>().join(", ");
            return Err(ImportError::Name(format!(
                "--model {model} names one model, and the files are of several ({found}); import them one by one"
            )));
        }
        all.iter_mut().for_each(|series| series.model.name.clone_from(model));
    }
    if let Some(backend) = &names.backend {
        check_name("--backend", backend).map_err(ImportError::Name)?;
        all.iter_mut().for_each(|series| series.backend.name.clone_from(backend));
    }
    tell_apart(all);
    Ok(())
}

/// Gives each of several settings of one name a name of its own.
fn tell_apart(all: &mut [Series]) {
    let mut of_name: BTreeMap<String, Vec<BTreeMap<String, String>>> = BTreeMap::new();
    for series in all.iter() {
        let known = of_name.entry(series.backend.name.clone()).or_default();
        let identity = identity(series);
        if !known.contains(&identity) {
            known.push(identity);
        }
    }
    for series in all.iter_mut() {
        let Some(known) = of_name.get(&series.backend.name).filter(|known| known.len() > 1) else { continue };
        let identity = identity(series);
        let number = known.iter().position(|other| *other == identity).unwrap_or(0) + 1;
        let suffixes: Vec<String> = known.iter().map(|of| suffix(of, known)).collect();
        let suffix = &suffixes[number - 1];
        let is_unique = suffixes.iter().filter(|other| *other == suffix).count() == 1;
        let tells = is_unique && (1..=LONGEST_SUFFIX).contains(&suffix.len());
        let suffix = if tells { suffix.clone() } else { number.to_string() };
        let base: String = series.backend.name.chars().take(LONGEST - 1 - suffix.len()).collect();
        series.backend.name = format!("{base}-{suffix}");
    }
}

/// All that makes a backend another one.
pub(super) fn identity(series: &Series) -> BTreeMap<String, String> {
    let mut identity = series.backend.settings.clone();
    let facts = [
        ("runtime_version", series.backend.runtime_version.clone()),
        ("cpu", series.machine.cpu.clone()),
        ("gpu", series.machine.gpus.first().map(|gpu| gpu.name.clone())),
    ];
    identity.extend(facts.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?))));
    identity
}

/// The settings that not all have, with the option's letters where the tool has them: `t4-ngl0`.
fn suffix(of: &BTreeMap<String, String>, all: &[BTreeMap<String, String>]) -> String {
    let letters = [
        ("n_threads", "t"),
        ("n_gpu_layers", "ngl"),
        ("n_batch", "b"),
        ("n_ubatch", "ub"),
        ("flash_attn", "fa"),
        ("type_k", "ctk-"),
        ("type_v", "ctv-"),
        ("runtime_version", ""),
        ("torch_dtype", ""),
        ("device", ""),
    ];
    let differs = |key: &String| all.iter().any(|other| other.get(key) != of.get(key));
    let told = of.iter().filter(|(key, _)| differs(key)).map(|(key, value)| {
        let letters = letters.iter().find(|(long, _)| long == key);
        let key = letters.map_or_else(|| format!("{key}-"), |(_, short)| (*short).to_string());
        format!("{key}{value}")
    });
    let told = told.collect::<Vec<_>>().join("-");
    if told.is_empty() { told } else { sound(&told) }
}

/// Refuses a backend whose name the folder has for another.
pub(super) fn check_backends(all: &[Series], manifest: &Manifest) -> Result<(), ImportError> {
    for series in all {
        let name = &series.backend.name;
        let Some(entry) = manifest.backends.iter().find(|entry| entry.name == *name) else { continue };
        let ours = serde_json::to_value(identity(series)).unwrap_or_default();
        let Some(found) = first_difference(&entry.options, &ours) else { continue };
        let [there, here] = found.values.map(|value| match value {
            Value::Null => "not set".into(),
            value => value.to_string(),
        });
        return Err(ImportError::Name(format!(
            "backend `{name}` of the folder is another one (`{}` is {there} there and {here} in {}); give --backend NAME",
            found.key, series.source.file
        )));
    }
    Ok(())
}

/// The scenarios of a folder, by shape.
#[derive(Debug, Default)]
pub(super) struct Scenarios(Vec<(u32, u32, u32, String)>);

impl Scenarios {
    /// Those that its config lists.
    pub(super) fn of(manifest: &Manifest) -> Self {
        #[derive(Deserialize)]
        struct Listed {
            name: String,
            batch: u32,
            prompt_tokens: u32,
            #[serde(default)]
            new_tokens: u32,
        }
        let listed = manifest.config.get("scenarios").cloned().unwrap_or_default();
        let listed: Vec<Listed> = serde_json::from_value(listed).unwrap_or_default();
        Self(listed.into_iter().map(|of| (of.batch, of.prompt_tokens, of.new_tokens, of.name)).collect())
    }

    /// Takes note of a record's.
    pub(super) fn add(&mut self, record: &Record) {
        let Record { batch, prompt_tokens, new_tokens, scenario, .. } = record;
        let shape = (*batch, *prompt_tokens, *new_tokens, scenario.clone());
        if record.imported.is_none() && !self.0.contains(&shape) {
            self.0.push(shape);
        }
    }

    /// What the folder calls `shape`; its own name where the folder has none like it.
    pub(super) fn name(&self, shape: Shape) -> String {
        let Shape { batch, prompt_tokens, new_tokens, .. } = shape;
        let is_like = |of: &&(u32, u32, u32, String)| {
            // A prefill makes no new tokens, whatever its scenario asks of generation.
            (of.0, of.1) == (batch, prompt_tokens) && (new_tokens == 0 || of.2 == new_tokens)
        };
        let known = self.0.iter().find(is_like).filter(|_| shape.context == 0);
        known.map_or_else(|| shape.name(), |(.., name)| name.clone())
    }
}
