//! Where plugins are found, by name or by path. Nothing is loaded here: a name is read from a file's name,
//! `libinferhost_plugin_<name>.so` or what the platform calls it. [`trust`] says which files are refused, [`hashed`]
//! whether a file is still the one that a run began with.

pub mod hashed;
pub mod trust;

pub use hashed::HashedFile;
pub use trust::{Trust, WorldWritable};

use crate::config::nearest;
use std::collections::BTreeMap;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};

/// The folders named by `INFERHOST_PLUGIN_DIR` are searched after those of `--plugin-dir`.
pub const PLUGIN_DIR_VARIABLE: &str = "INFERHOST_PLUGIN_DIR";

/// The plugins that come with inferhost. The name of one that is nowhere is no mistake: it was not built.
pub const OWN: [&str; 4] = ["candle", "ort", "tensorrt", "torch"];
/// Those of them that `cargo build` makes without being asked.
pub const BUILT_BY_DEFAULT: [&str; 3] = ["candle", "ort", "torch"];

/// A plugin's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginFile {
    /// From the file's name.
    pub name: String,
    /// The first found.
    pub path: PathBuf,
    /// Others of the same name in later folders, not used.
    pub shadowed: Vec<PathBuf>,
}

/// Why a plugin was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No folder where one was named.
    #[error("--plugin-dir {0} is no folder; name the folder that holds the plugins' libraries")]
    NoFolder(PathBuf),
    /// No file at the path given.
    #[error(
        "no plugin at {0}; give the path of a plugin's library, or a name that `inferhost backends` lists"
    )]
    NoFile(PathBuf),
    /// One of [`OWN`], in no folder.
    #[error(
        "the plugin {name} is not there; build it with cargo build --release -p inferhost-plugin-{name}, or name its folder with --plugin-dir; searched {searched}"
    )]
    NotBuilt {
        /// As asked.
        name: String,
        /// The folders.
        searched: String,
    },
    /// No file of that name in any folder.
    #[error(
        "no plugin named `{name}`{hint}; searched {searched}; found {found}; add its folder with --plugin-dir or {PLUGIN_DIR_VARIABLE}"
    )]
    NoName {
        /// As asked.
        name: String,
        /// The nearest name, if any.
        hint: String,
        /// The folders.
        searched: String,
        /// What is there instead.
        found: String,
    },
    /// It is there, but everybody may change it.
    #[error("the plugin {name} is refused: {source}")]
    Refused {
        /// From the file's name.
        name: String,
        /// What is wrong with it.
        source: WorldWritable,
    },
}

/// The folders in which plugins are looked for, first match first.
#[derive(Debug, Clone)]
pub struct PluginFolders {
    folders: Vec<PathBuf>,
    trust: Trust,
}

impl PluginFolders {
    /// `--plugin-dir`, then `INFERHOST_PLUGIN_DIR`, then beside the binary, then the user's data folder.
    ///
    /// # Errors
    /// A given folder that is none.
    pub fn new(given: &[PathBuf], trust: Trust) -> Result<Self, FindError> {
        match given.iter().find(|folder| !folder.is_dir()) {
            Some(missing) => Err(FindError::NoFolder(missing.clone())),
            None => Ok(Self::whatever_is_there(given, trust)),
        }
    }

    /// As [`new`](Self::new); a folder that is none holds no plugins.
    pub fn whatever_is_there(given: &[PathBuf], trust: Trust) -> Self {
        let mut folders = given.to_vec();
        folders.extend(std::env::var_os(PLUGIN_DIR_VARIABLE).iter().flat_map(std::env::split_paths));
        folders.extend(std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_path_buf())));
        let data = directories::ProjectDirs::from("", "", "inferhost");
        folders.extend(data.map(|dirs| dirs.data_dir().join("plugins")));
        Self { folders, trust }
    }

    /// Where is looked, in that order.
    pub fn searched(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Whether the plugin may be loaded.
    ///
    /// # Errors
    /// [`FindError::Refused`].
    pub fn admit(&self, file: PluginFile) -> Result<PluginFile, FindError> {
        match trust::world_writable(&file.path).filter(|_| self.trust == Trust::Protected) {
            None => Ok(file),
            Some(source) => Err(FindError::Refused { name: file.name, source }),
        }
    }

    /// Every plugin by name.
    pub fn list(&self) -> Vec<PluginFile> {
        let mut found = BTreeMap::<String, PluginFile>::new();
        let mut seen = Vec::new();
        for path in self.folders.iter().flat_map(|folder| libraries(folder)) {
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            if seen.contains(&real) {
                continue;
            }
            seen.push(real);
            let Some(name) = plugin_name(&path) else { continue };
            match found.get_mut(&name) {
                Some(first) => first.shadowed.push(path),
                None => {
                    found.insert(name.clone(), PluginFile { name, path, shadowed: Vec::new() });
                }
            }
        }
        found.into_values().collect()
    }

    /// The plugin of that name, or at that path, where it may be loaded.
    ///
    /// # Errors
    /// [`FindError`], naming what is there instead.
    pub fn find(&self, name_or_path: &str) -> Result<PluginFile, FindError> {
        self.locate(name_or_path).and_then(|file| self.admit(file))
    }

    /// The plugin of that name, or at that path.
    ///
    /// # Errors
    /// [`FindError`], naming what is there instead.
    pub fn locate(&self, name_or_path: &str) -> Result<PluginFile, FindError> {
        if is_path(name_or_path) {
            let path = PathBuf::from(name_or_path);
            if !path.is_file() {
                return Err(FindError::NoFile(path));
            }
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let name = plugin_name(&path).or(stem).unwrap_or_default();
            return Ok(PluginFile {
                name,
                path: std::path::absolute(&path).unwrap_or(path),
                shadowed: Vec::new(),
            });
        }
        let all = self.list();
        let names: Vec<String> = all.iter().map(|p| p.name.clone()).collect();
        let found = all.into_iter().find(|p| p.name == name_or_path);
        match found {
            Some(plugin) if !plugin.path.is_file() => Err(FindError::NoFile(plugin.path)),
            Some(plugin) => Ok(plugin),
            None => Err(self.not_found(name_or_path, &names)),
        }
    }

    fn not_found(&self, name: &str, found: &[String]) -> FindError {
        let name = name.to_string();
        let searched = self.folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ");
        if OWN.contains(&name.as_str()) {
            return FindError::NotBuilt { name, searched };
        }
        let known = found.iter().map(String::as_str).chain(OWN);
        let hint = nearest(&name, known).map_or(String::new(), |near| format!(" (did you mean `{near}`?)"));
        let found = if found.is_empty() { "none".into() } else { found.join(", ") };
        FindError::NoName { name, hint, searched, found }
    }
}

/// Whether a user means a file rather than a plugin's name.
pub fn is_path(name_or_path: &str) -> bool {
    name_or_path.contains(['/', '\\']) || name_or_path.ends_with(DLL_SUFFIX)
}

fn libraries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|e| e.path()).filter(|p| plugin_name(p).is_some()).collect();
    paths.sort();
    paths
}

fn plugin_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let name = file.strip_prefix(DLL_PREFIX)?.strip_prefix("inferhost_plugin_")?.strip_suffix(DLL_SUFFIX)?;
    // The interface's own crate is no plugin, though it may lie beside them.
    (!name.is_empty() && name != "api").then(|| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(format!("{DLL_PREFIX}inferhost_plugin_{name}{DLL_SUFFIX}"));
        std::fs::write(&path, "").unwrap();
        path
    }

    fn in_folders(folders: &[&Path]) -> PluginFolders {
        let folders = folders.iter().map(|folder| folder.to_path_buf()).collect();
        PluginFolders { folders, trust: Trust::Protected }
    }

    #[test]
    fn the_first_folder_wins_and_the_second_is_named() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = library(a.path(), "candle");
        let second = library(b.path(), "candle");
        library(b.path(), "ort");
        std::fs::write(b.path().join("notes.txt"), "").unwrap();
        let folders = in_folders(&[a.path(), b.path(), a.path()]);
        let names: Vec<_> = folders.list().into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["candle", "ort"]);
        let candle = folders.find("candle").unwrap();
        assert_eq!((candle.path, candle.shadowed), (first, vec![second]));
    }

    #[test]
    fn what_is_missing_is_named_with_what_is_near() {
        let a = tempfile::tempdir().unwrap();
        library(a.path(), "candle");
        let folders = in_folders(&[a.path()]);
        assert!(folders.find("kandle").unwrap_err().to_string().contains("did you mean `candle`"));
        assert!(folders.find("torhc").unwrap_err().to_string().contains("did you mean `torch`"));
        let not_built = folders.find("torch").unwrap_err();
        assert!(matches!(not_built, FindError::NotBuilt { .. }), "{not_built}");
        assert!(not_built.to_string().contains("-p inferhost-plugin-torch"), "{not_built}");
        assert!(matches!(folders.find("./none.so").unwrap_err(), FindError::NoFile(_)));
    }

    #[cfg(unix)]
    #[test]
    fn a_plugin_that_everybody_may_change_is_refused_unless_asked_for() {
        use std::os::unix::fs::PermissionsExt;
        let a = tempfile::tempdir().unwrap();
        let path = library(a.path(), "candle");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        let folders = in_folders(&[a.path()]);
        for asked in ["candle", path.to_str().unwrap()] {
            let refused = folders.find(asked).unwrap_err();
            assert!(matches!(refused, FindError::Refused { .. }), "{refused}");
            let trusting = PluginFolders { trust: Trust::WorldWritable, ..folders.clone() };
            assert_eq!(trusting.find(asked).unwrap().path, path);
        }
        assert_eq!(folders.list().len(), 1);
    }
}
