//! What a host needs of the machine, whatever the plugins: folders to write in, workers, descriptors, quiet.

use super::check::Check;
use super::library::Resolver;
use crate::environment::Machine;
use crate::model::cache::{CACHE_DIR_VARIABLE, cache_dir};
use std::path::{Path, PathBuf};

/// Less free space than this is told.
const LEAST_FREE: u64 = 2 << 30;
/// Fewer file descriptors than this are told; a worker takes about ten, a large report some dozens.
const LEAST_DESCRIPTORS: u64 = 256;
/// A load average above this share of the cores shows in measurements.
const QUIET_SHARE: f64 = 0.25;

/// Everything but what takes a worker.
pub(super) fn checks(resolver: &Resolver) -> Vec<Check> {
    let machine = Machine::probe();
    let checks = [
        Some(cache_folder()),
        Some(runs_folder()),
        Some(temporary_folder()),
        Some(runtimes()),
        descriptors(),
        quiet(&machine),
        governor(&machine),
        Some(gpu(&machine, resolver)),
    ];
    checks.into_iter().flatten().collect()
}

fn cache_folder() -> Check {
    let folder = cache_dir();
    let name = "cache folder";
    match std::fs::create_dir_all(&folder).and_then(|()| writable(&folder)) {
        Ok(()) => with_space(name, &folder),
        Err(error) => Check::fail(name, format!("{} cannot be written: {error}", folder.display())).fix(
            format!("make {} writable, or name another folder with {CACHE_DIR_VARIABLE}", folder.display()),
        ),
    }
}

/// Where `run` puts its folder unless told otherwise.
fn runs_folder() -> Check {
    let name = "run folder";
    let runs = Path::new("runs");
    let folder = if runs.exists() { runs } else { Path::new(".") };
    let shown = std::path::absolute(runs).unwrap_or_else(|_| runs.into());
    match writable(folder) {
        Ok(()) => with_space(name, &shown),
        Err(error) => Check::warn(name, format!("{} cannot be written: {error}", shown.display()))
            .fix("give --out DIR to inferhost run"),
    }
}

fn temporary_folder() -> Check {
    let folder = std::env::temp_dir();
    let name = "temp folder";
    match writable(&folder) {
        Ok(()) => with_space(name, &folder),
        Err(error) => Check::fail(name, format!("{} cannot be written: {error}", folder.display()))
            .fix("name a folder that can be written with TMPDIR (TEMP on Windows)"),
    }
}

fn writable(folder: &Path) -> std::io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

/// The folder, which can be written, with what is free there.
fn with_space(name: &'static str, folder: &Path) -> Check {
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    match free(existing) {
        None => Check::ok(name, folder.display().to_string()),
        Some(bytes) => {
            let found = format!("{}, {:.1} GB free", folder.display(), bytes as f64 / 1e9);
            if bytes >= LEAST_FREE {
                return Check::ok(name, found);
            }
            Check::warn(name, found).fix("free some space there: models and artifacts take gigabytes")
        }
    }
}

/// Bytes that this user may still write.
#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(folder).ok()?;
    // Their widths differ between systems.
    #[expect(clippy::useless_conversion, reason = "u32 on macOS")]
    let blocks = u64::from(found.blocks_available());
    Some(blocks.saturating_mul(found.fragment_size()))
}

#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}

/// The folders that `scripts/runtimes.sh` fills, as plugins look for them.
fn runtimes() -> Check {
    let name = "runtimes";
    let folders = runtime_folders();
    let fetched: Vec<String> = folders.iter().filter(|folder| folder.is_dir()).map(|f| listed(f)).collect();
    if !fetched.is_empty() {
        return Check::ok(name, fetched.join("; "));
    }
    let looked = match std::env::var_os("INFERHOST_RUNTIMES") {
        Some(named) => format!("INFERHOST_RUNTIMES is {}, which is no folder", Path::new(&named).display()),
        None => "INFERHOST_RUNTIMES is not set".into(),
    };
    Check::warn(name, format!("none fetched: {looked}, and there is no .runtimes above the program or here"))
        .fix("scripts/runtimes.sh ort")
}

/// `INFERHOST_RUNTIMES`, and `.runtimes` above the program and in the current folder.
pub(super) fn runtime_folders() -> Vec<PathBuf> {
    let named = std::env::var_os("INFERHOST_RUNTIMES").map(PathBuf::from);
    let program = std::env::current_exe().unwrap_or_default();
    let above = program.ancestors().skip(1).map(Path::to_path_buf);
    let places = above.chain(std::env::current_dir().ok()).map(|folder| folder.join(".runtimes"));
    let mut folders: Vec<PathBuf> =
        named.into_iter().chain(places.filter(|folder| folder.is_dir())).collect();
    let mut seen = Vec::new();
    folders.retain(|folder| {
        let real = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let new = !seen.contains(&real);
        seen.push(real);
        new
    });
    folders
}

/// `/here/.runtimes: onnxruntime 1.31.1, torch 2.11.0`.
fn listed(folder: &Path) -> String {
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    };
    let found = names(folder).into_iter().flat_map(|package| {
        let versions = names(&folder.join(&package));
        versions.into_iter().map(move |version| format!("{package} {version}"))
    });
    let found: Vec<String> = found.take(8).collect();
    let found = if found.is_empty() { "empty".into() } else { found.join(", ") };
    format!("{}: {found}", folder.display())
}

#[cfg(unix)]
fn descriptors() -> Option<Check> {
    use nix::sys::resource::{Resource, getrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let found = format!("{soft} file descriptors");
    Some(if soft >= LEAST_DESCRIPTORS {
        Check::ok("limits", found)
    } else {
        let enough = hard.clamp(LEAST_DESCRIPTORS, 4096);
        Check::warn("limits", format!("{found}, at least {LEAST_DESCRIPTORS} are needed for large models"))
            .fix(format!("ulimit -n {enough}"))
    })
}

#[cfg(not(unix))]
fn descriptors() -> Option<Check> {
    None
}

fn quiet(machine: &Machine) -> Option<Check> {
    let [one, five, _] = machine.load_average?;
    let cores = machine.logical_cores? as f64;
    let found = format!("load average {one:.2} over 1 minute, {five:.2} over 5, on {cores} cores");
    Some(if one <= QUIET_SHARE * cores {
        Check::ok("quiet", found)
    } else {
        Check::warn("quiet", format!("{found}: something has kept this machine busy"))
            .fix("before measuring, end what runs here, or wait until it is quiet (top, uptime)")
    })
}

fn governor(machine: &Machine) -> Option<Check> {
    let governor = machine.cpu_governor.as_ref().filter(|governor| *governor != "performance")?;
    Some(
        Check::warn("governor", format!("the CPU's clock is governed by {governor}, so it moves"))
            .fix("sudo cpupower frequency-set -g performance"),
    )
}

fn gpu(machine: &Machine, resolver: &Resolver) -> Check {
    const DRIVER: &str = "libcuda.so.1";
    let library = if cfg!(target_os = "linux") { resolver.find(DRIVER) } else { None };
    match (&machine.nvidia_driver, library) {
        (Some(version), Some(library)) => {
            let gpus: Vec<&str> = machine.gpus.iter().map(|gpu| gpu.name.as_str()).collect();
            let gpus = if gpus.is_empty() { "no GPU of it seen".into() } else { gpus.join(", ") };
            Check::ok("gpu", format!("NVIDIA driver {version}, {}: {gpus}", library.display()))
        }
        (Some(version), None) => {
            Check::warn("gpu", format!("NVIDIA driver {version} is loaded, but {DRIVER} is not found"))
                .fix("install the driver's user-space libraries, in a container with --gpus all")
        }
        (None, Some(library)) => Check::warn(
            "gpu",
            format!("{} is there, but no driver (/proc/driver/nvidia/version is absent)", library.display()),
        )
        .fix("load the kernel's driver (modprobe nvidia), in a container give --gpus all"),
        (None, None) => {
            Check::ok("gpu", format!("none: neither /proc/driver/nvidia/version nor {DRIVER} is there"))
        }
    }
}
