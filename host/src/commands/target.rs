//! The run folder that `inferhost run` or `eval` means, and what an earlier part of the run left in it.

use crate::accuracy::{Dataset, Evaluation};
use crate::config::{Config, first_difference, measured};
use crate::error::AppError;
use crate::manifest::{Manifest, ShardEntry};
use crate::record::Record;
use crate::store::{RunFolder, StoreError, read_evaluations, read_manifest, read_records};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The run folder meant.
pub(super) struct Target {
    pub(super) path: PathBuf,
    resume: bool,
    existed: bool,
}

/// What an earlier part of the run left.
pub(super) struct Earlier {
    pub(super) manifest: Manifest,
    pub(super) records: Vec<Record>,
    pub(super) evaluations: Vec<Evaluation>,
}

impl Target {
    /// `out`, or a folder under `runs/` whose name begins with `name`.
    pub(super) fn choose(out: Option<&Path>, resume: bool, name: &str) -> Result<Self, AppError> {
        let path = match (out, resume) {
            (Some(out), true) if !out.exists() => {
                return Err(AppError::bad_input(format!(
                    "there is nothing to resume at {}; leave --resume out to begin there",
                    out.display()
                )));
            }
            (Some(out), _) => out.into(),
            (None, false) => return Self::fresh(name),
            (None, true) => newest(name).ok_or_else(|| {
                AppError::bad_input(format!(
                    "there is no run of {name} under runs/ to resume; name its folder with --out"
                ))
            })?,
        };
        Ok(Self { existed: path.exists(), path, resume })
    }

    /// A new folder under `runs/`, named by the time; two that begin in the same second get two folders.
    fn fresh(name: &str) -> Result<Self, AppError> {
        let failed =
            |e: std::io::Error| AppError::failed(format!("failed to create a folder under runs/: {e}"));
        let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
        std::fs::create_dir_all("runs").map_err(failed)?;
        for number in 1..1000 {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let path = Path::new("runs").join(format!("{name}-{time}{suffix}"));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path, resume: false, existed: false }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(AppError::failed("failed to find a free name under runs/; name a folder with --out"))
    }

    /// A host that was killed before its manifest was written has left nothing to go on with: then a resumed run
    /// begins anew.
    pub(super) fn open(&self, config: &Config) -> Result<(RunFolder, Option<Earlier>), AppError> {
        let store = |error: StoreError| AppError::store(&error);
        let has = |file: &str| self.path.join(file).metadata().is_ok_and(|file| file.len() > 0);
        let has_records = has("records.jsonl") || has("accuracy.jsonl");
        if self.resume && has_records && !has("manifest.json") {
            return Err(AppError::bad_input(format!(
                "{} holds records but no manifest.json, so it cannot be resumed; give another --out",
                self.path.display()
            )));
        }
        let resumable = self.resume && self.path.join("manifest.json").exists();
        if !resumable {
            return Ok((RunFolder::create(&self.path).map_err(store)?, None));
        }
        let folder = RunFolder::open(&self.path).map_err(store)?;
        let manifest = read_manifest(&self.path).map_err(store)?;
        let records = read_records(&self.path).map_err(store)?.records;
        let evaluations = read_evaluations(&self.path).map_err(store)?.evaluations;
        let now = serde_json::to_value(config).map_err(AppError::failed)?;
        if let Some(difference) = first_difference(&measured(&manifest.config), &measured(&now)) {
            return Err(AppError::bad_input(format!(
                "{} was begun with another config (`{}` differs); give that config, or another --out",
                self.path.display(),
                difference.key
            )));
        }
        Ok((folder, Some(Earlier { manifest, records, evaluations })))
    }

    /// A run that never began leaves no folder behind.
    pub(super) fn discard_if_unused(&self) {
        if !self.existed && !self.path.join("manifest.json").exists() {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

impl Earlier {
    /// Refuses to go on with another part of the plan than the one that was begun.
    ///
    /// # Errors
    /// Where `now` is not what the run began with.
    pub(super) fn same_shard(&self, now: Option<ShardEntry>, path: &Path) -> Result<(), AppError> {
        let place = |entry: ShardEntry| (entry.index, entry.count);
        let before = self.manifest.shard;
        if before.map(place) == now.map(place) {
            return Ok(());
        }
        let name = |entry: Option<ShardEntry>| {
            entry.map_or_else(|| "the whole plan".into(), |of| format!("shard {}/{}", of.index, of.count))
        };
        let option = before
            .map_or_else(|| "without --shard".into(), |of| format!("with --shard {}/{}", of.index, of.count));
        Err(AppError::bad_input(format!(
            "{} was begun as {}, not as {}; go on {option}, or give another --out",
            path.display(),
            name(before),
            name(now)
        )))
    }

    /// The manifest of the whole run: begun when the first part began, with the sessions it opened and with what was
    /// merged or imported into its folder.
    ///
    /// # Errors
    /// A model that is not the one the run began with.
    pub(super) fn continued(&self, mut now: Manifest) -> Result<Manifest, AppError> {
        if let Some(model) = other_model(&self.manifest, &now) {
            return Err(AppError::bad_input(format!(
                "model `{model}` is not the one this run began with (its SHA-256 differs); give another --out"
            )));
        }
        now.counts.spared = self.manifest.counts.spared;
        now.started_at.clone_from(&self.manifest.started_at);
        for (before, after) in self.manifest.backends.iter().zip(&mut now.backends) {
            after.session.clone_from(&before.session);
        }
        let Manifest { models, backends, shard, merged_from, notes, planned_runs, .. } = &self.manifest;
        now.models.extend(models.iter().skip(now.models.len()).cloned());
        now.backends.extend(backends.iter().skip(now.backends.len()).cloned());
        // More than the plan's where rounds were merged or runs imported.
        now.planned_runs = now.planned_runs.max(*planned_runs);
        now.shard = *shard;
        now.merged_from.clone_from(merged_from);
        now.notes.clone_from(notes);
        Ok(now)
    }

    /// Refuses to mix evaluations of two corpora.
    ///
    /// # Errors
    /// A model whose tokens are not those it was evaluated on.
    pub(super) fn same_corpus(&self, config: &Config, datasets: &[Dataset]) -> Result<(), AppError> {
        for (model, dataset) in config.models.iter().zip(datasets) {
            let of_model = self.evaluations.iter().filter(|earlier| earlier.model == model.name);
            if of_model.into_iter().any(|earlier| earlier.corpus != dataset.corpus) {
                return Err(AppError::bad_input(format!(
                    "the tokens of {} for model `{}` are not those this evaluation began with; give another --out",
                    dataset.corpus.name, model.name
                )));
            }
        }
        Ok(())
    }

    /// What is not as it was when the run began: the records made from here on may not be like those before.
    pub(super) fn changes(&self, now: &Manifest) -> Vec<String> {
        let changed = other_backends(&self.manifest, now);
        changed
            .map(|name| format!("the plugin or runtime of {name} is not the one this run began with"))
            .collect()
    }
}

/// The first model that is not what it was.
pub(super) fn other_model<'a>(before: &'a Manifest, now: &Manifest) -> Option<&'a str> {
    let mut models = before.models.iter().zip(&now.models);
    models.find(|(a, b)| a.sha256 != b.sha256).map(|(model, _)| model.name.as_str())
}

/// The backends whose plugin or runtime is not what it was.
pub(super) fn other_backends<'a>(before: &'a Manifest, now: &'a Manifest) -> impl Iterator<Item = &'a str> {
    let pairs = before.backends.iter().zip(&now.backends);
    let changed = pairs.filter(|(a, b)| (&a.sha256, &a.runtime_version) != (&b.sha256, &b.runtime_version));
    changed.map(|(a, _)| a.name.as_str())
}

fn newest(name: &str) -> Option<PathBuf> {
    let is_time = |time: &str| time.len() >= 15 && time.chars().all(|c| c.is_ascii_digit() || c == '-');
    let ours = |path: &PathBuf| {
        let file = path.file_name().and_then(|file| file.to_str());
        file.and_then(|file| file.strip_prefix(name)?.strip_prefix('-')).is_some_and(is_time)
    };
    let folders = std::fs::read_dir("runs").ok()?.flatten().map(|entry| entry.path());
    folders.filter(ours).max()
}
