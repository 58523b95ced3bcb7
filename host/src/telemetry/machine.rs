//! What the whole machine counts, whoever caused it: processor time, pages swapped, clocks lowered for heat, quotas used
//! up. Read from the files in which Linux keeps it; elsewhere they are missing, and nothing is known.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Of `/proc/stat` and `/proc/<pid>/stat`: hundredths of a second on every architecture that inferhost runs on (proc(5),
/// `USER_HZ`).
const TICK_MS: u64 = 10;

/// So many ticks.
pub(super) fn ticks(number: u64) -> Duration {
    Duration::from_millis(number.saturating_mul(TICK_MS))
}

/// The kernel's text at `path`. Its files tell no size, so that std reads them in steps of 32 bytes: this asks once.
pub(super) fn kernel_text(path: &Path) -> io::Result<String> {
    const USUAL: usize = 8 << 10;
    const MOST: u64 = 16 << 20;
    let mut bytes = Vec::with_capacity(USUAL);
    File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
    // A program's name may be no text.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Counters since boot, at one moment; none where the system does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Processor time that was not idle, to 10 ms.
    pub(super) busy: Option<Duration>,
    /// Processor time that the hypervisor gave to other machines, to 10 ms.
    pub(super) steal: Option<Duration>,
    /// Pages moved to and from swap.
    pub(super) swapped_pages: Option<u64>,
    /// Of all cores and packages.
    pub(super) thermal_throttles: Option<u64>,
    /// Of the control groups with a quota that this process is in.
    pub(super) quota_throttles: Option<u64>,
}

/// Where the counters are; what cannot appear later is looked for once.
#[derive(Debug)]
pub(super) struct Machine {
    stat: PathBuf,
    vmstat: PathBuf,
    thermal: Vec<PathBuf>,
    quotas: Vec<PathBuf>,
}

impl Machine {
    /// The machine whose files are below `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self {
            stat: root.join("proc/stat"),
            vmstat: root.join("proc/vmstat"),
            thermal: thermal(root),
            quotas: quotas(root),
        }
    }

    pub(super) fn read(&self) -> Counters {
        let stat = kernel_text(&self.stat).unwrap_or_default();
        let (busy, steal) = processor_time(&stat);
        let vmstat = kernel_text(&self.vmstat).unwrap_or_default();
        Counters {
            busy,
            steal,
            swapped_pages: counter(&vmstat, "pswpin")
                .zip(counter(&vmstat, "pswpout"))
                .map(|(i, o)| i.saturating_add(o)),
            thermal_throttles: sum(&self.thermal, |text| text.trim().parse().ok()),
            quota_throttles: sum(&self.quotas, |text| counter(text, "nr_throttled")),
        }
    }
}

/// Busy and stolen time of `cpu  user nice system idle iowait irq softirq steal guest guest_nice`; guests are in user.
fn processor_time(stat: &str) -> (Option<Duration>, Option<Duration>) {
    let Some(line) = stat.lines().find_map(|line| line.strip_prefix("cpu ")) else { return (None, None) };
    let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let busy = match fields.as_slice() {
        [user, nice, system, _, _, irq, softirq, ..] => {
            let busy = [user, nice, system, irq, softirq];
            Some(ticks(busy.into_iter().fold(0, |sum, part| sum.saturating_add(*part))))
        }
        _ => None,
    };
    (busy, fields.get(7).map(|&steal| ticks(steal)))
}

/// The line `pswpin 12` of the kernel's counters.
pub(crate) fn counter(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// None where there is no file, or one that cannot be read: a part is no sum.
fn sum(files: &[PathBuf], value: fn(&str) -> Option<u64>) -> Option<u64> {
    let values = files.iter().map(|path| value(&kernel_text(path).ok()?));
    if files.is_empty() { None } else { values.sum() }
}

fn thermal(root: &Path) -> Vec<PathBuf> {
    let cpus = fs::read_dir(root.join("sys/devices/system/cpu")).into_iter().flatten().flatten();
    let files = cpus.flat_map(|cpu| {
        let folder = cpu.path().join("thermal_throttle");
        ["core_throttle_count", "package_throttle_count"].map(|name| folder.join(name))
    });
    files.filter(|path| path.exists()).collect()
}

/// `cpu.stat` of this process's control group and of those around it, as far as they have a quota.
fn quotas(root: &Path) -> Vec<PathBuf> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let of_line = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let mount = match controllers {
            "" => root.join("sys/fs/cgroup"),
            _ if controllers.split(',').any(|name| name == "cpu") => root.join("sys/fs/cgroup/cpu"),
            _ => return None,
        };
        Some((mount, PathBuf::from(path.trim_start_matches('/'))))
    };
    let found = groups.lines().filter_map(of_line).flat_map(|(mount, group)| {
        // In a container the path may be the host's, and the container's own group is what is mounted.
        let around: Vec<PathBuf> = group.ancestors().map(|group| mount.join(group)).collect();
        around.into_iter().filter(|group| has_quota(group)).map(|group| group.join("cpu.stat"))
    });
    found.collect()
}

/// Version 2 says `max 100000` without a quota, version 1 a quota of -1.
fn has_quota(group: &Path) -> bool {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    let second = read("cpu.max").is_some_and(|text| !text.trim_start().starts_with("max"));
    let first = read("cpu.cfs_quota_us").is_some_and(|text| text.trim().parse::<u64>().is_ok());
    second || first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn every_counter_is_read_where_it_is() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "proc/stat", "cpu  100 20 30 9000 50 4 6 7 8 9\ncpu0 1 2 3 4 5 6 7 8 9 10\n");
        write(root, "proc/vmstat", "pgfault 9\npswpin 30\npswpout 12\npswpout_zero 99\n");
        for (file, text) in
            [("cpu0/thermal_throttle/core_throttle_count", "3\n"), ("cpu1/topology/id", "1\n")]
        {
            write(root, &format!("sys/devices/system/cpu/{file}"), text);
        }
        write(root, "sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count", "4\n");
        write(root, "proc/self/cgroup", "0::/pod/box\n");
        write(root, "sys/fs/cgroup/pod/cpu.max", "200000 100000\n");
        write(root, "sys/fs/cgroup/pod/cpu.stat", "usage_usec 5\nnr_throttled 6\n");
        write(root, "sys/fs/cgroup/pod/box/cpu.max", "max 100000\n");
        write(root, "sys/fs/cgroup/pod/box/cpu.stat", "usage_usec 5\nnr_throttled 50\n");
        let expected = Counters {
            busy: Some(Duration::from_millis(1600)),
            steal: Some(Duration::from_millis(70)),
            swapped_pages: Some(42),
            thermal_throttles: Some(7),
            quota_throttles: Some(6),
        };
        assert_eq!(Machine::new(root).read(), expected);
    }

    #[test]
    fn the_first_version_of_control_groups_has_quotas_too() {
        for (quota, expected) in [("50000\n", Some(8)), ("-1\n", None)] {
            let root = tempfile::tempdir().unwrap();
            let root = root.path();
            write(root, "proc/self/cgroup", "9:name=systemd:/\n4:cpu,cpuacct:/docker/9f\n1:memory:/x\n");
            // The path is the host's: what is mounted here is the container's.
            write(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota);
            write(root, "sys/fs/cgroup/cpu/cpu.stat", "nr_periods 9\nnr_throttled 8\n");
            assert_eq!(Machine::new(root).read().quota_throttles, expected, "{quota}");
        }
    }

    #[test]
    fn what_is_missing_or_odd_is_not_known() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Machine::new(root.path()).read(), Counters::default());
        for stat in ["", "cpu", "cpu  1 2 3", "cpu  x y", "cpu0 1 2 3 4 5 6 7 8\n"] {
            assert_eq!(processor_time(stat), (None, None), "{stat}");
        }
        let (busy, steal) = processor_time("cpu  1 1 1 1 1 1 1\n");
        assert_eq!((busy, steal), (Some(Duration::from_millis(50)), None), "an old kernel counts no steal");
        let huge = format!("cpu  {0} {0} 0 0 0 0 0 0\n", u64::MAX);
        assert!(processor_time(&huge).0 > Some(Duration::from_secs(1 << 50)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_running_machine_has_been_busy() {
        let counters = Machine::new(Path::new("/")).read();
        assert!(counters.busy > Some(Duration::ZERO), "{counters:?}");
    }
}
