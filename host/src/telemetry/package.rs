//! The energy of the processor packages, from the counters of RAPL (Running Average Power Limit) that Linux shows under
//! `powercap`, for AMD's processors in the same place. Most systems let only root read them.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

const UJ_PER_J: f64 = 1e6;

/// All packages of the machine. What a counter counts beyond its range is kept, as long as it is read once in a while: the
/// range is some minutes of full power.
#[derive(Debug)]
pub(super) struct Packages {
    domains: Vec<Domain>,
    total_uj: u64,
}

#[derive(Debug)]
struct Domain {
    /// Kept open: it is read next to the worker's clock.
    energy: File,
    range_uj: u64,
    last_uj: u64,
}

impl Packages {
    /// Those whose files are below `root`; none where there are none, or one cannot be read: a part is no sum.
    pub(super) fn new(root: &Path) -> Option<Self> {
        let folders = fs::read_dir(root.join("sys/class/powercap")).ok()?.flatten().map(|entry| entry.path());
        let mut packages: Vec<_> = folders.filter(|folder| is_package(folder)).collect();
        packages.sort();
        let domains: Option<Vec<Domain>> = packages.iter().map(|folder| Domain::open(folder)).collect();
        Some(Self { domains: domains?, total_uj: 0 }).filter(|found| !found.domains.is_empty())
    }

    /// Joules since the first reading; none where a counter has become unreadable.
    pub(super) fn joules(&mut self) -> Option<f64> {
        for domain in &mut self.domains {
            self.total_uj = self.total_uj.saturating_add(domain.used_uj()?);
        }
        Some(self.total_uj as f64 / UJ_PER_J)
    }
}

/// `intel-rapl:0` with the name `package-0`: not a part of a package (`intel-rapl:0:0`), not the whole board (`psys`), not
/// the same package by another way (`intel-rapl-mmio:0`).
fn is_package(folder: &Path) -> bool {
    let number = folder.file_name().and_then(|name| name.to_str()?.strip_prefix("intel-rapl:"));
    let is_top = number.is_some_and(|number| number.parse::<u32>().is_ok());
    is_top && fs::read_to_string(folder.join("name")).is_ok_and(|name| name.starts_with("package"))
}

impl Domain {
    fn open(folder: &Path) -> Option<Self> {
        let mut energy = File::open(folder.join("energy_uj")).ok()?;
        let range = fs::read_to_string(folder.join("max_energy_range_uj")).ok()?;
        let last_uj = read(&mut energy)?;
        Some(Self { energy, range_uj: range.trim().parse().ok()?, last_uj })
    }

    /// Since it was last asked.
    fn used_uj(&mut self) -> Option<u64> {
        let now = read(&mut self.energy)?;
        let used = match now.checked_sub(self.last_uj) {
            Some(used) => used,
            None => self.range_uj.saturating_sub(self.last_uj).saturating_add(now),
        };
        self.last_uj = now;
        Some(used)
    }
}

fn read(file: &mut File) -> Option<u64> {
    let mut text = [0; 24];
    file.seek(SeekFrom::Start(0)).ok()?;
    let length = file.read(&mut text).ok()?;
    str::from_utf8(&text[..length]).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(root: &Path, folder: &str, name: &str, energy: &str) {
        let folder = root.join("sys/class/powercap").join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("name"), format!("{name}\n")).unwrap();
        fs::write(folder.join("max_energy_range_uj"), "10000000\n").unwrap();
        fs::write(folder.join("energy_uj"), format!("{energy}\n")).unwrap();
    }

    #[test]
    fn packages_are_added_up_over_the_end_of_their_range() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        domain(root, "intel-rapl:0", "package-0", "9000000");
        domain(root, "intel-rapl:1", "package-1", "5");
        for (folder, name) in
            [("intel-rapl:0:0", "core"), ("intel-rapl:2", "psys"), ("intel-rapl-mmio:0", "package-0")]
        {
            domain(root, folder, name, "nonsense");
        }
        let mut packages = Packages::new(root).unwrap();
        assert_eq!(packages.joules(), Some(0.0));
        let set = |folder: &str, energy: &str| {
            fs::write(root.join("sys/class/powercap").join(folder).join("energy_uj"), energy).unwrap();
        };
        set("intel-rapl:0", "9500000\n");
        assert_eq!(packages.joules(), Some(0.5));
        set("intel-rapl:0", "1000000\n");
        set("intel-rapl:1", "2000005\n");
        assert_eq!(packages.joules(), Some(4.0));
        set("intel-rapl:1", "gone\n");
        assert_eq!(packages.joules(), None);
    }

    #[test]
    fn a_package_that_cannot_be_read_leaves_no_sum() {
        let root = tempfile::tempdir().unwrap();
        assert!(Packages::new(root.path()).is_none());
        domain(root.path(), "intel-rapl:0", "package-0", "7");
        domain(root.path(), "intel-rapl:1", "package-1", "");
        assert!(Packages::new(root.path()).is_none());
    }
}
