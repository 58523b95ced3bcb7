//! Where each operating system keeps what processes use.

use std::time::Duration;

/// One process at one moment; none where the system does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) pid: u32,
    /// Since the process began, on all cores.
    pub(super) cpu: Option<Duration>,
    pub(super) resident_bytes: Option<u64>,
}

#[cfg(target_os = "linux")]
pub(crate) use of_others::children;
pub(super) use of_others::{cpu, family};
pub(super) use own::{own_cpu, own_rss_peak_bytes};

/// `VmHWM:     1234 kB` of a process's `status`, in bytes.
#[cfg(target_os = "linux")]
fn status_bytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(target_os = "linux")]
mod of_others {
    use super::{Reading, status_bytes};
    use nix::time::ClockId;
    use nix::unistd::Pid;
    use std::fs;
    use std::time::Duration;

    /// The process's own clock: to the nanosecond, where `/proc/<pid>/stat` counts hundredths of a second.
    pub(in crate::telemetry) fn cpu(pid: u32) -> Option<Duration> {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?);
        Some(ClockId::pid_cpu_clock_id(pid).ok()?.now().ok()?.into())
    }

    /// The process and those it started, as they are now; it alone where the kernel does not list children.
    pub(in crate::telemetry) fn family(pid: u32) -> Vec<Reading> {
        let mut found = Vec::new();
        let mut waiting = vec![pid];
        while let Some(pid) = waiting.pop() {
            // First the clock, for the time at which it was read counts.
            let cpu = cpu(pid);
            let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
            found.push(Reading { pid, cpu, resident_bytes: status_bytes(&status, "VmRSS") });
            waiting.extend(children(pid));
        }
        found
    }

    /// Of a process. Each thread has a list of its own.
    pub(crate) fn children(pid: u32) -> Vec<u32> {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        let pids = |list: String| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        lists.flat_map::<Vec<u32>, _>(pids).collect()
    }
}

#[cfg(not(target_os = "linux"))]
mod of_others {
    use super::Reading;
    use std::time::Duration;
    use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

    /// Not told: asking takes longer than may pass next to the worker's clock. CPU is counted from the first sample on.
    pub(in crate::telemetry) fn cpu(_: u32) -> Option<Duration> {
        None
    }

    /// The process alone.
    pub(in crate::telemetry) fn family(pid: u32) -> Vec<Reading> {
        let Ok(mut system) = System::new_with_specifics(RefreshKind::nothing()) else { return Vec::new() };
        let id = Pid::from_u32(pid);
        let wanted = ProcessRefreshKind::nothing().with_cpu().with_memory();
        let _ = system.refresh_processes_specifics(ProcessesToUpdate::Some(&[id]), false, wanted);
        let reading = system.process(id).map(|process| Reading {
            pid,
            cpu: Some(Duration::from_millis(process.accumulated_cpu_time())),
            resident_bytes: Some(process.memory()),
        });
        reading.into_iter().collect()
    }
}

#[cfg(unix)]
mod own {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::{TimeVal, TimeValLike};
    use std::time::Duration;

    pub(in crate::telemetry) fn own_cpu() -> Option<Duration> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        Some(duration(usage.user_time()) + duration(usage.system_time()))
    }

    fn duration(time: TimeVal) -> Duration {
        Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0))
    }

    /// What `getrusage` says of a process on Linux may be its parent's peak, from before it became itself.
    #[cfg(target_os = "linux")]
    pub(in crate::telemetry) fn own_rss_peak_bytes() -> Option<u64> {
        super::status_bytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM")
    }

    #[cfg(not(target_os = "linux"))]
    pub(in crate::telemetry) fn own_rss_peak_bytes() -> Option<u64> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        // macOS counts in bytes, the others in KiB.
        let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
        Some(u64::try_from(usage.max_rss()).ok()? * unit)
    }
}

#[cfg(not(unix))]
mod own {
    use std::time::Duration;

    pub(in crate::telemetry) fn own_cpu() -> Option<Duration> {
        None
    }

    pub(in crate::telemetry) fn own_rss_peak_bytes() -> Option<u64> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_field_of_status_is_read_whole() {
        let status = "Name:\tx\nVmRSSish:\t 9 kB\nVmHWM:\t   12 kB\nVmRSS:\t    8 kB\nVmData:\t odd\n";
        assert_eq!(status_bytes(status, "VmHWM"), Some(12 * 1024));
        assert_eq!(status_bytes(status, "VmRSS"), Some(8 * 1024));
        assert_eq!((status_bytes(status, "VmData"), status_bytes(status, "VmSwap")), (None, None));
    }

    #[test]
    fn a_process_is_seen_with_those_it_started() {
        // Waits for its standard input to be closed.
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let seen = family(std::process::id());
        assert_eq!(seen[0].pid, std::process::id());
        let of_child = seen.iter().find(|reading| reading.pid == child.id());
        assert!(of_child.is_some_and(|reading| reading.cpu.is_some()), "{seen:?}");
        assert!(seen[0].resident_bytes > Some(1 << 20) && seen[0].cpu > Some(Duration::ZERO), "{seen:?}");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(family(child.id()), []);
    }
}
