//! Who else may change a plugin's file. A plugin is code that runs with the user's rights, so one that any user of the
//! machine may write, or put another in the place of, is refused before it is loaded. Unix alone has such modes.

use std::path::{Path, PathBuf};

/// Set to 1, it does what [`Trust::WorldWritable`] says.
pub const TRUST_VARIABLE: &str = "INFERHOST_ALLOW_WORLD_WRITABLE_PLUGINS";

/// Which plugins are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Those that not everybody may change.
    Protected,
    /// Also those that everybody may change.
    WorldWritable,
}

impl Trust {
    /// As the flag says, or the environment.
    pub fn of(flag: bool) -> Self {
        let set = flag || std::env::var_os(TRUST_VARIABLE).is_some_and(|value| value == "1");
        if set { Self::WorldWritable } else { Self::Protected }
    }
}

/// A file or folder that everybody may change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{path} is world-writable (mode {mode:04o}), so anyone on this machine may change what is loaded from it; \
     chmod o-w {path}, or give --allow-world-writable-plugins"
)]
pub struct WorldWritable {
    /// Of the plugin's file, or of a folder it lies in.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
}

/// The first of `file`, the file it is a link to, and the folder that each lies in, that everybody may change. Folders
/// further up are not asked: build machines often have one that is open to all. What cannot be looked at is not told
/// here: nothing is loaded from it either.
pub fn world_writable(file: &Path) -> Option<WorldWritable> {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    let real = file.canonicalize().unwrap_or_else(|_| absolute.clone());
    let folders = [real.parent(), absolute.parent()].into_iter().flatten();
    let found = open_to_all(&real, Kind::File);
    found.or_else(|| folders.into_iter().find_map(|folder| open_to_all(folder, Kind::Folder)))
}

enum Kind {
    File,
    Folder,
}

/// In a folder with the sticky bit, as `/tmp`, nobody may replace what belongs to another.
#[cfg(unix)]
fn open_to_all(path: &Path, kind: Kind) -> Option<WorldWritable> {
    use std::os::unix::fs::PermissionsExt;
    const WRITABLE: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    let mode = path.metadata().ok()?.permissions().mode() & 0o7777;
    let protected = matches!(kind, Kind::Folder) && mode & STICKY != 0;
    (mode & WRITABLE != 0 && !protected).then(|| WorldWritable { path: path.into(), mode })
}

#[cfg(not(unix))]
fn open_to_all(_: &Path, _: Kind) -> Option<WorldWritable> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_everybody_may_change_is_told_through_links_too() {
        let root = tempfile::tempdir().unwrap();
        let (real, linked) = (root.path().join("real"), root.path().join("linked"));
        fs::create_dir(&real).unwrap();
        fs::create_dir(&linked).unwrap();
        let (file, link) = (real.join("plugin.so"), linked.join("plugin.so"));
        fs::write(&file, "").unwrap();
        symlink(&file, &link).unwrap();
        let set = |path: &Path, mode: u32| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        for (file_mode, real_mode, linked_mode, culprit) in [
            (0o644, 0o755, 0o755, None),
            (0o664, 0o775, 0o775, None),
            (0o646, 0o755, 0o755, Some(&file)),
            (0o644, 0o777, 0o755, Some(&real)),
            (0o644, 0o1777, 0o755, None),
            (0o644, 0o755, 0o757, Some(&linked)),
            (0o646, 0o1777, 0o755, Some(&file)),
        ] {
            set(&file, file_mode);
            set(&real, real_mode);
            set(&linked, linked_mode);
            let found = world_writable(&link).map(|found| found.path);
            let expected = culprit.map(|path| path.canonicalize().unwrap());
            assert_eq!(found.map(|p| p.canonicalize().unwrap()), expected, "{file_mode:o} {real_mode:o}");
        }
        set(&linked, 0o755);
        assert_eq!(world_writable(&real.join("absent.so")), None);
    }

    #[test]
    fn the_line_names_the_path_the_mode_and_the_remedy() {
        let line = WorldWritable { path: "/p/x.so".into(), mode: 0o666 }.to_string();
        assert!(line.contains("/p/x.so is world-writable (mode 0666)"), "{line}");
        assert!(line.contains("chmod o-w /p/x.so"), "{line}");
    }
}
