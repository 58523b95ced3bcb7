//! Where the system's loader looks for a library, in its order: `man 8 ld.so` for ELF. What it keeps in
//! `/etc/ld.so.cache` is read from there, in the format of glibc's `dl-cache.h`; without one, from `/etc/ld.so.conf`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Bytes of a cache that are read, and of a file that names folders.
const CACHE_LIMIT: u64 = 64 << 20;
const CONF_LIMIT: u64 = 1 << 20;
/// Files that a `ld.so.conf` may include, in all; each is read once, for they may include each other.
const INCLUDE_LIMIT: usize = 256;
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// The places of the whole system.
#[derive(Debug, Default)]
pub(super) struct System {
    /// `LD_LIBRARY_PATH`.
    pub(super) variable: Vec<PathBuf>,
    cached: HashMap<String, Vec<PathBuf>>,
    /// Looked into after the cache, or, where there is none, in its place.
    pub(super) folders: Vec<PathBuf>,
    /// How reports call the cache.
    pub(super) cache_name: Option<String>,
}

impl System {
    /// Of this machine, with the folders below `root` and `LD_LIBRARY_PATH` as given.
    pub(super) fn new(root: &Path, variable: Option<&std::ffi::OsStr>) -> Self {
        let variable = variable.into_iter().flat_map(std::env::split_paths);
        let variable = variable.filter(|folder| !folder.as_os_str().is_empty()).collect();
        let cache = root.join("etc/ld.so.cache");
        let cached = bounded(&cache, CACHE_LIMIT).and_then(|bytes| parse_cache(&bytes));
        let mut folders = Vec::new();
        if cached.is_none() {
            read_conf(root, &root.join("etc/ld.so.conf"), &mut folders, &mut Vec::new());
        }
        folders.extend(["lib64", "usr/lib64", "lib", "usr/lib"].map(|folder| root.join(folder)));
        Self {
            variable,
            cache_name: cached.is_some().then(|| cache.display().to_string()),
            cached: cached.unwrap_or_default(),
            folders,
        }
    }

    /// What the cache has under `name`, the best first.
    pub(super) fn cached(&self, name: &str) -> &[PathBuf] {
        self.cached.get(name).map_or(&[], Vec::as_slice)
    }
}

fn bounded(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let found = path.metadata().ok()?;
    if !found.is_file() || found.len() > limit {
        return None;
    }
    std::fs::read(path).ok()
}

/// The names and files of a cache; none for one that is damaged or of an older format.
fn parse_cache(bytes: &[u8]) -> Option<HashMap<String, Vec<PathBuf>>> {
    // An older format may precede the newer one, whose offsets count from its own beginning.
    let start = bytes.windows(MAGIC.len()).position(|window| window == MAGIC)?;
    let bytes = &bytes[start..];
    let number = |at: usize| -> Option<usize> {
        let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_ne_bytes(four)).ok()
    };
    let text = |at: usize| -> Option<&str> {
        let rest = bytes.get(at..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    };
    let count = number(MAGIC.len())?;
    if count > bytes.len() / ENTRY {
        return None;
    }
    let mut found = HashMap::<String, Vec<PathBuf>>::new();
    for entry in (0..count).map(|index| HEADER + index * ENTRY) {
        let (name, file) = (text(number(entry + 4)?)?, text(number(entry + 8)?)?);
        found.entry(name.into()).or_default().push(file.into());
    }
    Some(found)
}

/// One folder a line, and `include` with a pattern whose last part alone has a star.
fn read_conf(root: &Path, path: &Path, folders: &mut Vec<PathBuf>, read: &mut Vec<PathBuf>) {
    if read.len() >= INCLUDE_LIMIT || read.iter().any(|seen| seen == path) {
        return;
    }
    read.push(path.into());
    let text = bounded(path, CONF_LIMIT).unwrap_or_default();
    for line in String::from_utf8_lossy(&text).lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let below_root = |path: &str| root.join(path.trim_start_matches('/'));
        match line.strip_prefix("include ").map(str::trim) {
            Some(pattern) => {
                included(&below_root(pattern)).iter().for_each(|path| read_conf(root, path, folders, read));
            }
            None if line.is_empty() => {}
            None => folders.push(below_root(line)),
        }
    }
}

fn included(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some((before, after)) = name.split_once('*') else { return vec![pattern.into()] };
    let entries = pattern.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
    };
    let mut paths: Vec<PathBuf> =
        entries.into_iter().flatten().flatten().map(|entry| entry.path()).filter(fits).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn cache(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut strings = Vec::new();
        let mut table = Vec::new();
        let base = HEADER + entries.len() * ENTRY;
        for (name, file) in entries {
            let mut at = |text: &str| {
                let offset = base + strings.len();
                strings.extend_from_slice(text.as_bytes());
                strings.push(0);
                u32::try_from(offset).unwrap_or(0)
            };
            let (key, value) = (at(name), at(file));
            for word in [0, key, value, 0, 0, 0] {
                table.extend_from_slice(&u32::to_ne_bytes(word));
            }
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(0).to_ne_bytes());
        bytes.resize(HEADER, 0);
        [bytes, table, strings].concat()
    }

    #[test]
    fn a_cache_is_read_and_a_damaged_one_is_none() {
        let bytes =
            cache(&[("liba.so.1", "/x/liba.so.1"), ("libb.so", "/y/libb.so"), ("libb.so", "/z/libb.so")]);
        let found = parse_cache(&bytes).unwrap();
        assert_eq!(found["liba.so.1"], [PathBuf::from("/x/liba.so.1")]);
        assert_eq!(found["libb.so"].len(), 2);
        let older = [b"ld.so-1.7.0\0some older entries".as_slice(), &bytes].concat();
        assert_eq!(parse_cache(&older).unwrap(), found);
        for length in 0..bytes.len() {
            assert_eq!(parse_cache(&bytes[..length]), None, "cut at {length}");
        }
        let mut many = bytes.clone();
        many[MAGIC.len()..MAGIC.len() + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(parse_cache(&many), None);
    }

    #[test]
    fn without_a_cache_the_folders_of_the_conf_come_first() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        fs::create_dir_all(etc.join("ld.so.conf.d")).unwrap();
        fs::write(etc.join("ld.so.conf"), "# a comment\ninclude /etc/ld.so.conf.d/*.conf\n/opt/own # mine\n")
            .unwrap();
        fs::write(etc.join("ld.so.conf.d/b.conf"), "/opt/b\n").unwrap();
        fs::write(etc.join("ld.so.conf.d/a.conf"), "/opt/a\ninclude /etc/ld.so.conf\n").unwrap();
        fs::write(etc.join("ld.so.conf.d/c.txt"), "/opt/c\n").unwrap();
        let system = System::new(root.path(), Some(std::ffi::OsStr::new("/v1::/v2")));
        assert_eq!(system.variable, [PathBuf::from("/v1"), "/v2".into()]);
        assert_eq!(system.folders[0], root.path().join("opt/a"));
        for folder in ["opt/b", "opt/own", "usr/lib"] {
            assert!(system.folders.contains(&root.path().join(folder)), "{folder}");
        }
        assert!(!system.folders.contains(&root.path().join("opt/c")));
        assert_eq!(system.cache_name, None);
    }
}
