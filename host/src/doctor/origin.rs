//! By which of the ways in which plugins look for a runtime's library this one was found.

use super::library::Resolver;
use super::machine::runtime_folders;
use super::plugin::library_file;
use crate::plugins::PluginFile;
use std::path::{Path, PathBuf};

/// The variables by which users name libraries to the plugins of this repository, and the loader's.
const VARIABLES: [&str; 4] = ["ORT_DYLIB_PATH", "LIBTORCH", "INFERHOST_TENSORRT", "LD_LIBRARY_PATH"];

/// A runtime's library.
pub(super) struct Origin {
    pub(super) path: PathBuf,
    /// A variable's name, a folder's path, or in words: see `PluginReport::library_from`.
    pub(super) from: String,
}

/// The file behind the library that a plugin named, and how it was found: no options are given here, so it is not by
/// one of those. None where there is no such file.
pub(super) fn origin(library: Option<&str>, plugin: &PluginFile, resolver: &Resolver) -> Option<Origin> {
    let named = library?;
    let path = library_file(named, resolver).filter(|path| path.is_file())?;
    let variables = VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut by_variable = variables
        .filter(|(_, value)| std::env::split_paths(value).any(|place| holds(&place, &path)))
        .map(|(name, _)| name.to_string());
    let by_folder = || {
        let folders = runtime_folders();
        folders.iter().find(|folder| holds(folder, &path)).map(|folder| named_folder(folder))
    };
    let from = by_variable.next().or_else(by_folder).unwrap_or_else(|| {
        if !named.contains(['/', '\\']) {
            "the system's search path".into()
        } else if plugin.path.parent().is_some_and(|folder| holds(folder, &path)) {
            "the plugin's own folder".into()
        } else {
            "the plugin's own choice".into()
        }
    });
    Some(Origin { path, from })
}

fn named_folder(folder: &Path) -> String {
    if std::env::var_os("INFERHOST_RUNTIMES").is_some_and(|named| Path::new(&named) == folder) {
        return "INFERHOST_RUNTIMES".into();
    }
    folder.display().to_string()
}

/// Whether `path` is `place` or lies below it.
fn holds(place: &Path, path: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    !place.as_os_str().is_empty() && real(path).starts_with(real(place))
}
