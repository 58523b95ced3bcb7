//! Models of the Hugging Face hub, through the cache that its other tools share (`HF_HUB_CACHE`, `HF_HOME`).
//!
//! A model whose config and weights are in the cache is used from there, whether or not its branch has moved on.
//! Where they are not, all files of one commit are downloaded. A cached model that has no tokenizer yet, as a tool
//! that needed none leaves it, is asked for one once, of the same commit; without a network it is used as it is.

use super::{ModelError, TokenizerFiles, is_file_name};
use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Taken along where the model has them.
const OPTIONAL: [&str; 4] = ["generation_config.json", "tokenizer.json", "vocab.json", "merges.txt"];
/// Of these a tokenizer has one.
const TOKENIZERS: [&str; 2] = ["tokenizer.json", "vocab.json"];

/// Where models of the hub are kept and whether the network may be asked.
#[derive(Debug, Clone)]
pub struct Hub {
    cache: PathBuf,
    offline: bool,
}

impl Hub {
    /// A hub cache at `cache`.
    pub const fn new(cache: PathBuf, offline: bool) -> Self {
        Self { cache, offline }
    }

    /// As `HF_HUB_CACHE`, else `HF_HOME`, and `HF_HUB_OFFLINE` say; none where there is neither of the first two
    /// nor a home folder.
    pub fn from_env() -> Option<Self> {
        let set = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        let cache = cache_folder(set("HF_HUB_CACHE"), set("HF_HOME"))?;
        let offline = set("HF_HUB_OFFLINE").is_some_and(|value| {
            ["1", "true", "yes", "on"].contains(&&*value.to_string_lossy().to_lowercase())
        });
        Some(Self::new(cache, offline))
    }

    /// The folder of `repo` (`<org>/<name>`) at `revision`, downloaded first where it is not complete.
    ///
    /// # Errors
    /// A model that is not cached while offline, or that the hub does not have.
    pub fn fetch(&self, repo: &str, revision: &str) -> Result<PathBuf, ModelError> {
        let handle = Repo::with_revision(repo.into(), RepoType::Model, revision.into());
        if let Some(folder) = self.cached(&handle) {
            if !self.offline {
                self.complete(repo, &folder);
            }
            return Ok(folder);
        }
        let failed = |problem: String| ModelError::Hub { repo: named(repo, revision), problem };
        if self.offline {
            return Err(failed(self.absent("HF_HUB_OFFLINE is set")));
        }
        self.download(&handle).map_err(|error| failed(self.explain(&error)))?;
        self.cached(&handle).ok_or_else(|| {
            failed(format!("the repository has no {CONFIG} with {SINGLE}; name a model that has safetensors"))
        })
    }

    /// The snapshot's folder, where config and weights are all there.
    fn cached(&self, repo: &Repo) -> Option<PathBuf> {
        let root = self.cache.join(repo.folder_name());
        let commit = std::fs::read_to_string(root.join("refs").join(repo.revision())).ok();
        // A commit names its snapshot itself.
        let commit = commit.as_deref().map_or(repo.revision(), str::trim);
        // A cache that was copied from elsewhere must not lead out of itself.
        let folder = is_file_name(commit).then(|| root.join("snapshots").join(commit))?;
        let complete = folder.join(CONFIG).is_file()
            && (folder.join(SINGLE).is_file()
                || shards(&folder.join(INDEX))?.iter().all(|shard| folder.join(shard).is_file()));
        complete.then_some(folder)
    }

    /// Fetches what a cached snapshot lacks of the optional files. A failure is no error: the model runs without.
    fn complete(&self, repo: &str, snapshot: &Path) {
        let Some(commit) = snapshot.file_name().and_then(|name| name.to_str()) else { return };
        // The other tools' own mark for a file that a commit does not have.
        let marks = snapshot.join("../../.no_exist").join(commit);
        let has_none = TOKENIZERS.iter().all(|name| marks.join(name).is_file());
        if has_none || TokenizerFiles::find(snapshot).is_some() {
            return;
        }
        // The commit, not its branch: a branch that has moved on would leave the cached weights behind.
        let handle = Repo::with_revision(repo.into(), RepoType::Model, commit.into());
        let Ok(remote) = self.remote(&handle) else { return };
        let Ok(files) = listed(&remote) else { return };
        let _ = download_optional(&remote, &files);
        for name in TOKENIZERS.iter().filter(|name| !files.contains(**name)) {
            let _ = std::fs::create_dir_all(&marks).and_then(|()| std::fs::write(marks.join(name), ""));
        }
    }

    fn remote(&self, repo: &Repo) -> Result<ApiRepo, ApiError> {
        let mut builder = ApiBuilder::from_cache(Cache::new(self.cache.clone()));
        if let Ok(endpoint) = std::env::var("HF_ENDPOINT") {
            builder = builder.with_endpoint(endpoint);
        }
        if let Ok(token) = std::env::var("HF_TOKEN") {
            builder = builder.with_token(Some(token));
        }
        Ok(builder.build()?.repo(repo.clone()))
    }

    fn download(&self, repo: &Repo) -> Result<(), ApiError> {
        let remote = self.remote(repo)?;
        let files = listed(&remote)?;
        if files.contains(CONFIG) {
            remote.download(CONFIG)?;
        }
        download_optional(&remote, &files)?;
        if files.contains(SINGLE) {
            return remote.download(SINGLE).map(drop);
        }
        if files.contains(INDEX) { download_shards(&remote) } else { Ok(()) }
    }

    fn explain(&self, error: &ApiError) -> String {
        let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if ["401", "403", "404"].iter().any(|status| text.contains(&format!("status: {status}"))) {
            return format!(
                "the hub does not have it or does not show it to you ({text}); check the name, or set HF_TOKEN"
            );
        }
        self.absent(&text)
    }

    fn absent(&self, reason: &str) -> String {
        let cache = self.cache.display();
        format!(
            "not in the hub cache at {cache}, and not downloaded: {reason}; connect, or copy the model there or to a folder"
        )
    }
}

fn cache_folder(hub_cache: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let usual = || directories::BaseDirs::new().map(|dirs| dirs.home_dir().join(".cache/huggingface"));
    let below_home = || Some(home.map(PathBuf::from).or_else(usual)?.join("hub"));
    hub_cache.map(PathBuf::from).or_else(below_home)
}

/// The files that the hub has of a repository.
fn listed(remote: &ApiRepo) -> Result<BTreeSet<String>, ApiError> {
    Ok(remote.info()?.siblings.into_iter().map(|file| file.rfilename).collect())
}

fn download_optional(remote: &ApiRepo, files: &BTreeSet<String>) -> Result<(), ApiError> {
    OPTIONAL.iter().filter(|name| files.contains(**name)).try_for_each(|name| remote.download(name).map(drop))
}

fn download_shards(remote: &ApiRepo) -> Result<(), ApiError> {
    let index = remote.download(INDEX)?;
    shards(&index).unwrap_or_default().iter().try_for_each(|shard| remote.download(shard).map(drop))
}

/// The file names in a safetensors index; none where it cannot be read.
fn shards(index: &Path) -> Option<BTreeSet<String>> {
    let text = std::fs::read(index).ok()?;
    let index: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let names = index.get("weight_map")?.as_object()?.values();
    // Where the hub's files are put is said by the hub: nowhere but beside the index.
    names.map(|name| name.as_str().filter(|name| is_file_name(name)).map(String::from)).collect()
}

fn named(repo: &str, revision: &str) -> String {
    if revision == "main" { repo.into() } else { format!("{repo}@{revision}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_cached_model_needs_no_network() {
        let cache = tempfile::tempdir().unwrap();
        let hub = Hub::new(cache.path().into(), true);
        let root = cache.path().join("models--a--b");
        let snapshot = root.join("snapshots/123");
        write(root.join("refs/main"), "123\n");
        write(snapshot.join(CONFIG), "{}");
        assert!(hub.fetch("a/b", "main").is_err());
        write(snapshot.join(INDEX), r#"{"weight_map":{"x":"1.safetensors","y":"2.safetensors"}}"#);
        write(snapshot.join("1.safetensors"), "");
        assert!(hub.fetch("a/b", "main").is_err(), "a shard is missing");
        write(snapshot.join("2.safetensors"), "");
        assert_eq!(hub.fetch("a/b", "main").unwrap(), snapshot);
        assert_eq!(hub.fetch("a/b", "123").unwrap(), snapshot);
        assert!(hub.fetch("a/b", "v2").is_err());
    }

    /// Both marks say that there is nothing to ask the hub for, so nobody is asked.
    #[test]
    fn a_cached_model_without_tokenizer_is_used_as_it_is() {
        let cache = tempfile::tempdir().unwrap();
        let root = cache.path().join("models--a--b");
        let snapshot = root.join("snapshots/123");
        write(root.join("refs/main"), "123");
        write(snapshot.join(CONFIG), "{}");
        write(snapshot.join(SINGLE), "");
        for name in TOKENIZERS {
            write(root.join(".no_exist/123").join(name), "");
        }
        let hub = Hub::new(cache.path().into(), false);
        assert_eq!(hub.fetch("a/b", "main").unwrap(), snapshot);
    }

    #[test]
    fn the_caches_own_variable_goes_first() {
        let of =
            |hub: Option<&str>, home: Option<&str>| cache_folder(hub.map(Into::into), home.map(Into::into));
        assert_eq!(of(Some("/hub"), Some("/home")), Some("/hub".into()));
        assert_eq!(of(None, Some("/home")), Some("/home/hub".into()));
    }

    #[test]
    fn offline_and_absent_is_one_clear_line() {
        let cache = tempfile::tempdir().unwrap();
        let message = Hub::new(cache.path().into(), true).fetch("a/b", "v2").unwrap_err().to_string();
        assert!(message.starts_with("hf:a/b@v2: not in the hub cache at "), "{message}");
        assert!(message.contains("HF_HUB_OFFLINE is set") && message.lines().count() == 1, "{message}");
    }

    #[test]
    fn an_index_lists_each_shard_once() {
        let cache = tempfile::tempdir().unwrap();
        let index = cache.path().join(INDEX);
        assert_eq!(shards(&index), None);
        write(index.clone(), r#"{"weight_map":{"a":"1.safetensors","b":"1.safetensors"}}"#);
        assert_eq!(shards(&index).unwrap().into_iter().collect::<Vec<_>>(), ["1.safetensors"]);
    }
}
