//! Where each operating system keeps what processes use.

use std::time::Duration;

/// One process at one moment; none where the system does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) pid: u32,
    /// Since the process began, on all cores.
    pub(super) cpu: Option<Duration>,
    /// Of the children that it has waited for, to 10 ms.
    pub(super) reaped_cpu: Option<Duration>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) minor_faults: Option<u64>,
    pub(super) major_faults: Option<u64>,
}

/// This process since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) cpu: Duration,
    pub(super) minor_faults: u64,
    pub(super) major_faults: u64,
    pub(super) switches: Switches,
}

/// How often the threads of a process left a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Switches {
    pub(super) voluntary: u64,
    pub(super) involuntary: u64,
}

#[cfg(target_os = "linux")]
pub(crate) use of_others::children;
pub(super) use of_others::{cpu, family, switches};
pub(super) use own::{own, own_and_reaped_cpu, own_rss_peak_bytes};

/// `VmHWM:     1234 kB` of a process's `status`, in bytes.
#[cfg(target_os = "linux")]
fn status_bytes(status: &str, key: &str) -> Option<u64> {
    Some(status_field(status, key)?.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(target_os = "linux")]
fn status_field<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

#[cfg(target_os = "linux")]
mod of_others {
    use super::super::machine::{kernel_text, ticks};
    use super::{Reading, Switches, status_field};
    use nix::time::ClockId;
    use nix::unistd::{Pid, SysconfVar, sysconf};
    use std::fs;
    use std::path::Path;
    use std::sync::LazyLock;
    use std::time::Duration;

    /// Threads whose switches are counted: each has a file of its own, and reading them costs.
    const MOST_THREADS: usize = 64;

    static PAGE_BYTES: LazyLock<u64> = LazyLock::new(|| {
        let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        size.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(4096)
    });

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
            let Ok(stat) = kernel_text(Path::new(&format!("/proc/{pid}/stat"))) else { continue };
            found.push(Reading { pid, cpu, ..reading(&stat) });
            waiting.extend(children(pid));
        }
        found
    }

    /// What `/proc/<pid>/stat` says, by proc(5).
    pub(super) fn reading(stat: &str) -> Reading {
        // The second field is the program's name, which may hold anything.
        let after_name = stat.rsplit_once(')').map_or("", |(_, after)| after);
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Reading {
            minor_faults: field(10),
            major_faults: field(12),
            reaped_cpu: field(16).zip(field(17)).map(|(user, system)| ticks(user.saturating_add(system))),
            resident_bytes: field(24).map(|pages| pages.saturating_mul(*PAGE_BYTES)),
            ..Reading::default()
        }
    }

    /// Of its threads alive, added up; none where there are too many to ask.
    pub(in crate::telemetry) fn switches(pid: u32) -> Option<Switches> {
        let threads: Vec<_> = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten().collect();
        if threads.len() > MOST_THREADS {
            return None;
        }
        let mut sum = Switches { voluntary: 0, involuntary: 0 };
        for thread in threads {
            // One that has just ended.
            let Ok(status) = kernel_text(&thread.path().join("status")) else { continue };
            sum.voluntary += status_field(&status, "voluntary_ctxt_switches")?.parse::<u64>().ok()?;
            sum.involuntary += status_field(&status, "nonvoluntary_ctxt_switches")?.parse::<u64>().ok()?;
        }
        Some(sum)
    }

    /// Of a process. Each thread has a list of its own.
    pub(crate) fn children(pid: u32) -> Vec<u32> {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let lists = threads.filter_map(|thread| kernel_text(&thread.path().join("children")).ok());
        let pids = |list: String| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        lists.flat_map::<Vec<u32>, _>(pids).collect()
    }
}

#[cfg(not(target_os = "linux"))]
mod of_others {
    use super::{Reading, Switches};
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
            ..Reading::default()
        });
        reading.into_iter().collect()
    }

    pub(in crate::telemetry) fn switches(_: u32) -> Option<Switches> {
        None
    }
}

#[cfg(unix)]
mod own {
    use super::{Own, Switches};
    use nix::sys::resource::{Usage, UsageWho, getrusage};
    use nix::sys::time::{TimeVal, TimeValLike};
    use std::time::Duration;

    pub(in crate::telemetry) fn own() -> Option<Own> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        Some(Own {
            cpu: cpu(&usage),
            minor_faults: count(usage.minor_page_faults()),
            major_faults: count(usage.major_page_faults()),
            switches: Switches {
                voluntary: count(usage.voluntary_context_switches()),
                involuntary: count(usage.involuntary_context_switches()),
            },
        })
    }

    /// With the children that it has waited for, and theirs.
    pub(in crate::telemetry) fn own_and_reaped_cpu() -> Option<Duration> {
        let of = |who| getrusage(who).ok().as_ref().map(cpu);
        Some(of(UsageWho::RUSAGE_SELF)? + of(UsageWho::RUSAGE_CHILDREN)?)
    }

    fn cpu(usage: &Usage) -> Duration {
        duration(usage.user_time()) + duration(usage.system_time())
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
    use super::Own;
    use std::time::Duration;

    pub(in crate::telemetry) fn own() -> Option<Own> {
        None
    }

    pub(in crate::telemetry) fn own_and_reaped_cpu() -> Option<Duration> {
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
    fn a_programs_name_cannot_shift_the_fields_of_stat() {
        let stat = "7 (a) R 9 (b) c) S 1 7 7 0 -1 4194304 31 99 2 9 11 12 13 14 20 0 1 0 500 4096 3 18446744073709551615\n";
        let found = of_others::reading(stat);
        assert_eq!((found.minor_faults, found.major_faults), (Some(31), Some(2)));
        assert_eq!(found.reaped_cpu, Some(Duration::from_millis(270)));
        assert_eq!(found.resident_bytes.map(|bytes| bytes % 3), Some(0), "{found:?}");
        for torn in ["", "7 (a", "7 (a) S 1"] {
            assert_eq!(of_others::reading(torn), Reading::default(), "{torn}");
        }
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
        assert!(seen[0].minor_faults > Some(0) && switches(child.id()).is_some(), "{seen:?}");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!((family(child.id()), switches(child.id())), (Vec::new(), None));
    }
}
