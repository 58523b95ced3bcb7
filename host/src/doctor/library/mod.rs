//! Which libraries a library needs and whether the system's loader would find them, told without running anything of
//! it. Where a library is in ELF, each name is looked for as `ld.so` does, through all that it needs in turn; of other
//! formats the names alone are told.

mod image;
mod search;

use image::{Image, Kind};
use search::System;
use serde::Serialize;
use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};

/// Libraries that are followed from one file.
const FOLLOW_LIMIT: usize = 2000;

/// What a library needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Dependencies {
    /// The library.
    pub file: PathBuf,
    /// What it names itself.
    pub needed: Vec<String>,
    /// How many libraries it needs in all, theirs included; none where they are not followed.
    pub resolved: Option<usize>,
    /// Those that the loader would not find.
    pub missing: Vec<Missing>,
    /// Why its tables, or those of one that it needs, could not be read.
    pub unreadable: Option<String>,
}

/// A library that is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// As it is asked for.
    pub name: String,
    /// The library that asks for it.
    pub needed_by: PathBuf,
    /// Where it was looked for, in order.
    pub tried: Vec<String>,
}

/// One library on the way.
struct Visit {
    file: PathBuf,
    image: Image,
    /// `DT_RPATH` of all that led here, nearest first.
    inherited: Vec<PathBuf>,
}

/// Looks for libraries as a worker's loader does.
#[derive(Debug)]
pub(super) struct Resolver {
    system: System,
}

impl Resolver {
    /// Of this machine and this environment.
    pub(super) fn new() -> Self {
        let variable = std::env::var_os("LD_LIBRARY_PATH");
        Self { system: System::new(Path::new("/"), variable.as_deref()) }
    }

    /// The file that the loader takes for `name` where nothing but the system's own places is searched.
    pub(super) fn find(&self, name: &str) -> Option<PathBuf> {
        let own = image::read(&std::env::current_exe().ok()?).ok()?;
        let nothing = Visit { file: PathBuf::new(), image: own, inherited: Vec::new() };
        self.locate(name, &nothing).ok()
    }

    /// What the library at `file` needs.
    pub(super) fn dependencies(&self, file: &Path) -> Dependencies {
        let mut found = Dependencies { file: file.into(), ..Dependencies::default() };
        let image = match image::read(file) {
            Ok(image) => image,
            Err(reason) => return Dependencies { unreadable: Some(reason), ..found },
        };
        found.needed.clone_from(&image.needed);
        if cfg!(unix) && matches!(image.kind, Some(Kind::Elf(..))) {
            self.follow(Visit { file: file.into(), image, inherited: Vec::new() }, &mut found);
        }
        found
    }

    /// Breadth first, as the loader does: a name that was found once serves all that ask for it.
    fn follow(&self, first: Visit, found: &mut Dependencies) {
        let mut seen = HashSet::<String>::new();
        let mut queue = VecDeque::from([first]);
        let mut resolved = 0;
        while let Some(visit) = queue.pop_front() {
            for name in &visit.image.needed {
                if seen.len() >= FOLLOW_LIMIT || !seen.insert(name.clone()) {
                    continue;
                }
                let file = match self.locate(name, &visit) {
                    Ok(file) => file,
                    Err(tried) => {
                        let (name, needed_by) = (name.clone(), visit.file.clone());
                        found.missing.push(Missing { name, needed_by, tried });
                        continue;
                    }
                };
                resolved += 1;
                match image::read(&file) {
                    Ok(image) => queue.push_back(Visit { inherited: visit.passed_on(), file, image }),
                    Err(reason) => {
                        found.unreadable.get_or_insert(format!("{}: {reason}", file.display()));
                    }
                }
            }
        }
        found.resolved = Some(resolved);
    }

    /// The file that the loader takes for `name`.
    ///
    /// # Errors
    /// Where it was looked for.
    fn locate(&self, name: &str, by: &Visit) -> Result<PathBuf, Vec<String>> {
        if name.contains('/') {
            let path = by.expand(name);
            return if by.is_like(&path) { Ok(path) } else { Err(vec![path.display().to_string()]) };
        }
        let mut tried = Vec::new();
        let mut look = |label: &str, folders: &[PathBuf]| {
            let found = folders.iter().map(|folder| folder.join(name)).find(|path| by.is_like(path));
            tried.extend(folders.iter().map(|folder| format!("{label}{}", folder.display())));
            found
        };
        let System { variable, folders, cache_name, .. } = &self.system;
        let found = if by.image.runpath.is_empty() { look("RPATH ", &by.passed_on()) } else { None };
        let found = found.or_else(|| look("LD_LIBRARY_PATH ", variable));
        let found = found.or_else(|| look("RUNPATH ", &by.expanded(&by.image.runpath)));
        let cached = || self.system.cached(name).iter().find(|path| by.is_like(path)).cloned();
        if let Some(found) = found.or_else(cached) {
            return Ok(found);
        }
        let found = look("", folders);
        tried.extend(cache_name.clone());
        found.ok_or(tried)
    }
}

impl Visit {
    /// Whether the loader takes the file at `path`: it passes over those of another machine.
    fn is_like(&self, path: &Path) -> bool {
        path.is_file() && image::read(path).is_ok_and(|image| image.kind == self.image.kind)
    }

    /// `DT_RPATH`s that hold for what this library needs. One with a `DT_RUNPATH` has none of its own.
    fn passed_on(&self) -> Vec<PathBuf> {
        let own = if self.image.runpath.is_empty() { self.expanded(&self.image.rpath) } else { Vec::new() };
        own.into_iter().chain(self.inherited.iter().cloned()).take(FOLLOW_LIMIT).collect()
    }

    fn expanded(&self, folders: &[String]) -> Vec<PathBuf> {
        folders.iter().map(|folder| self.expand(folder)).collect()
    }

    /// With this library's own folder in place of `$ORIGIN`.
    fn expand(&self, path: &str) -> PathBuf {
        let real = self.file.canonicalize().unwrap_or_else(|_| self.file.clone());
        let own = real.parent().unwrap_or(Path::new("/")).display().to_string();
        path.replace("${ORIGIN}", &own).replace("$ORIGIN", &own).into()
    }
}
