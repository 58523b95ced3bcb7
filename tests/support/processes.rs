//! The processes of a host: its worker, and what is left of either.

use std::path::Path;

/// The child process of `host` that serves as its worker.
pub(crate) fn worker_of(host: u32) -> Option<u32> {
    // Before it has become the worker it is a copy of the host.
    children_of(host).into_iter().find(|&pid| !is_guard(pid))
}

/// The child process of `host` that cleans up after it.
pub(crate) fn guard_of(host: u32) -> Option<u32> {
    children_of(host).into_iter().find(|&pid| is_guard(pid))
}

fn children_of(host: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{host}/task/{host}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn is_guard(pid: u32) -> bool {
    argument(pid, 1).as_deref() == Some("guard")
}

fn argument(pid: u32, index: usize) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    line.split(|&byte| byte == 0).nth(index).map(|argument| String::from_utf8_lossy(argument).into_owned())
}

/// Whether the process is there and no zombie, which is dead and waits to be reaped.
pub(crate) fn is_alive(process: u32) -> bool {
    !matches!(state(process), None | Some('Z'))
}

fn state(process: u32) -> Option<char> {
    stat(process)?.chars().next()
}

/// The processes that a host started whose temporary folder lies in `temporary`.
pub(crate) fn of_hosts_in(temporary: &Path) -> Vec<u32> {
    let mark = format!("INFERHOST_SCRATCH={}/", temporary.display());
    let marked =
        |environ: Vec<u8>| environ.split(|&byte| byte == 0).any(|entry| entry.starts_with(mark.as_bytes()));
    pids().filter(|pid| std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(marked)).collect()
}

/// The children of `host` that have ended and that it has not reaped.
pub(crate) fn zombies_of(host: u32) -> Vec<u32> {
    let parent = |pid: u32| stat(pid).and_then(|fields| fields.split(' ').nth(1)?.parse::<u32>().ok());
    pids().filter(|&pid| state(pid) == Some('Z') && parent(pid) == Some(host)).collect()
}

fn pids() -> impl Iterator<Item = u32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What follows the name in the process's `stat`.
fn stat(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.to_string())
}
