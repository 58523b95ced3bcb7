//! What targets share: files of the repository to begin with, and what every message has to be.

use std::path::Path;

/// A file of the repository, by its path from `host`.
pub(super) fn seed(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Copies the files of the repository's folder `from` into `to`.
pub(super) fn copy(from: &str, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(from);
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// That `message` is one line of bounded length that no terminal obeys.
#[track_caller]
pub(super) fn one_line(message: &str) {
    assert!(!message.is_empty() && message.chars().count() <= 1200, "{} characters", message.chars().count());
    assert!(!message.chars().any(char::is_control), "{message:?}");
}
