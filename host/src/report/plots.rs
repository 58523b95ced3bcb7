//! The charts as files: `plots/*.svg`. Those of an earlier report that this one does not have are removed; files that no
//! report wrote are left alone.

use super::charts::{Chart, Place};
use crate::store::{StoreError, plain, write_atomic};
use crate::text;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The folder's name.
const FOLDER: &str = "plots";
/// What every file of ours begins with, after XML's own line.
const MARK: &str = "<!-- written by inferhost report, and removed by it when no longer needed -->";

/// The file's path from the run folder, for links.
pub(super) fn link(chart: &Chart) -> String {
    format!("{FOLDER}/{}.svg", chart.figure.id)
}

/// The charts' section of `report.md`: what sums up as pictures, the rest as links; nothing without charts.
pub(super) fn markdown(charts: &[Chart]) -> String {
    let (mut pictures, mut links) = (String::new(), String::new());
    for chart in charts {
        let (title, link) = (text::markdown(&chart.figure.title), link(chart));
        match chart.place {
            Place::Table(..) | Place::Model(_) => links.push_str(&format!("- [{title}]({link})\n")),
            _ => pictures.push_str(&format!("![{title}]({link})\n\n")),
        }
    }
    if charts.is_empty() { String::new() } else { format!("\n## Plots\n\n{pictures}{links}") }
}

/// Writes the charts under `run_dir`, each whole or not at all; their folder, where there are any.
///
/// # Errors
/// What the system refused.
pub(super) fn write(run_dir: &Path, charts: &[Chart]) -> Result<Option<PathBuf>, StoreError> {
    let folder = run_dir.join(FOLDER);
    let names: HashSet<OsString> =
        charts.iter().map(|chart| format!("{}.svg", chart.figure.id).into()).collect();
    plain(&folder)?;
    if !charts.is_empty() {
        fs::create_dir_all(&folder).map_err(|source| refused("create", &folder, source))?;
    }
    for chart in charts {
        let path = run_dir.join(link(chart));
        write_atomic(
            &path,
            format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{MARK}\n{}\n", chart.figure.file())
                .as_bytes(),
        )?;
    }
    remove_others(&folder, &names)?;
    Ok((!charts.is_empty()).then_some(folder))
}

fn remove_others(folder: &Path, names: &HashSet<OsString>) -> Result<(), StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(refused("read", folder, source)),
    };
    for entry in entries {
        let path = entry.map_err(|source| refused("read", folder, source))?.path();
        let is_svg = path.extension().is_some_and(|extension| extension == "svg");
        let is_current = path.file_name().is_some_and(|name| names.contains(name));
        if is_svg && !is_current && is_ours(&path) {
            fs::remove_file(&path).map_err(|source| refused("remove", &path, source))?;
        }
    }
    Ok(())
}

/// A file that cannot be read is not ours.
fn is_ours(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(256).read_to_end(&mut start));
    read.is_ok() && String::from_utf8_lossy(&start).contains(MARK)
}

fn refused(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { action, path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::{Axis, Figure, Panel, Point, Series};

    fn chart(id: &str) -> Chart {
        let series = vec![Series::points("a", 0, vec![Point::default()])];
        let panel = Panel { title: String::new(), x: Axis::linear("x"), y: Axis::linear("y"), series };
        Chart { place: Place::Overview, figure: Figure::single(id, "title", "description", panel) }
    }

    #[test]
    fn stale_charts_go_and_other_files_stay() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(write(root.path(), &[]).unwrap(), None);
        assert!(!root.path().join(FOLDER).exists());
        let folder = write(root.path(), &[chart("one"), chart("two")]).unwrap().unwrap();
        fs::write(folder.join("mine.svg"), "<svg/>").unwrap();
        fs::write(folder.join("notes.txt"), MARK).unwrap();
        write(root.path(), &[chart("two")]).unwrap();
        let mut names: Vec<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["mine.svg", "notes.txt", "two.svg"]);
    }
}
