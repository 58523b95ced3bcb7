//! The commit of the repository around a folder, read from git's own files: no git program has to be there.

use std::path::{Path, PathBuf};

/// The commit that is checked out in the repository around `folder`; none outside a repository and before its first
/// commit.
pub fn head_commit(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let git = folder.ancestors().find_map(git_folder)?;
    let head = read(&git.join("HEAD"))?;
    match head.strip_prefix("ref: ") {
        Some(reference) => resolve(&git, reference),
        None => commit(&head),
    }
}

/// `.git` is a folder, or in a linked worktree a file that names one.
fn git_folder(folder: &Path) -> Option<PathBuf> {
    let dot_git = folder.join(".git");
    if dot_git.is_dir() {
        return Some(dot_git);
    }
    let text = read(&dot_git)?;
    Some(folder.join(text.strip_prefix("gitdir: ")?))
}

/// Branches of a linked worktree live in the main repository's folder, which `commondir` names.
fn resolve(git: &Path, reference: &str) -> Option<String> {
    let shared = read(&git.join("commondir")).map_or_else(|| git.to_path_buf(), |path| git.join(path));
    let loose = [git, shared.as_path()].iter().find_map(|base| read(&base.join(reference)));
    loose.and_then(|text| commit(&text)).or_else(|| {
        let packed = read(&shared.join("packed-refs"))?;
        let mut pairs = packed.lines().filter_map(|line| line.split_once(' '));
        pairs.find(|(_, name)| *name == reference).and_then(|(id, _)| commit(id))
    })
}

fn commit(text: &str) -> Option<String> {
    let is_id = text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| text.to_string())
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ID: &str = "dcd085d000000000000000000000000000000001";

    #[test]
    fn finds_loose_packed_and_detached_heads() {
        let root = tempfile::tempdir().unwrap();
        let git = root.path().join(".git");
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        assert_eq!(head_commit(root.path()), None);

        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        assert_eq!(head_commit(root.path()), None);
        fs::write(git.join("packed-refs"), format!("# pack-refs\n{ID} refs/heads/main\n")).unwrap();
        assert_eq!(head_commit(&root.path().join("a/b")).as_deref(), Some(ID));

        let newer = ID.replace('1', "2");
        fs::write(git.join("refs/heads/main"), format!("{newer}\n")).unwrap();
        assert_eq!(head_commit(root.path()), Some(newer));

        fs::write(git.join("HEAD"), format!("{ID}\n")).unwrap();
        assert_eq!(head_commit(root.path()).as_deref(), Some(ID));
    }

    #[test]
    fn finds_the_head_of_a_linked_worktree() {
        let root = tempfile::tempdir().unwrap();
        let linked = root.path().join("main/.git/worktrees/tree");
        let tree = root.path().join("tree");
        fs::create_dir_all(&linked).unwrap();
        fs::create_dir_all(root.path().join("main/.git/refs/heads")).unwrap();
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join(".git"), format!("gitdir: {}\n", linked.display())).unwrap();
        fs::write(linked.join("HEAD"), "ref: refs/heads/topic\n").unwrap();
        fs::write(linked.join("commondir"), "../..\n").unwrap();
        fs::write(root.path().join("main/.git/refs/heads/topic"), format!("{ID}\n")).unwrap();
        assert_eq!(head_commit(&tree).as_deref(), Some(ID));
    }
}
