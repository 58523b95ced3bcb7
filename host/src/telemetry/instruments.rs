//! What is read beside the workers themselves, once for all workers of a host: the machine's counters, the energy of its
//! packages, its GPUs.

use super::gpu::{GpuReading, Gpus};
use super::history::{History, Load, Snapshot};
use super::machine::Machine;
use super::package::Packages;
use super::platform::{self, Reading};
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The variable that names another library than the driver's own for asking GPUs.
const NVML_VARIABLE: &str = "INFERHOST_NVML";

/// How new the machine's counters have to be. On a large machine reading them takes a millisecond, which must show neither
/// in a matrix of short runs nor in what sampling costs: the time from one reading to the next is at least so many
/// times what a reading takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// For a sample: at most 0.25% of a core, and five times a second.
    Sample,
    /// For the beginning or end of a call: at most 5% of the time, and once in 20 ms.
    Edge,
}

impl Need {
    fn least_age(self, cost: Duration) -> Duration {
        match self {
            Self::Sample => (cost * 400).max(Duration::from_millis(200)),
            Self::Edge => (cost * 20).max(Duration::from_millis(20)),
        }
    }
}

/// Shared by all workers of a host.
#[derive(Debug)]
pub struct Instruments {
    machine: Machine,
    nvml: Option<OsString>,
    /// None within where there is no driver: it is asked for once.
    gpus: OnceLock<Option<Gpus>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    history: History,
    /// What the last reading of the counters took.
    cost: Duration,
    packages: Option<Packages>,
    /// The workers alive.
    workers: Vec<u32>,
}

impl Default for Instruments {
    fn default() -> Self {
        Self::new(Path::new("/"), std::env::var_os(NVML_VARIABLE))
    }
}

impl Instruments {
    /// Of the machine whose files are below `root`; `nvml` is the library to ask GPUs through in place of the driver's.
    fn new(root: &Path, nvml: Option<OsString>) -> Self {
        let packages = Packages::new(root);
        let state = Mutex::new(State { packages, ..State::default() });
        Self { machine: Machine::new(root), nvml, gpus: OnceLock::new(), state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker has come to life. The GPUs' driver is loaded here, for that takes long and no run waits here.
    pub(super) fn add(&self, worker: u32) {
        self.gpus.get_or_init(|| Gpus::new(self.nvml.as_deref()));
        self.state().workers.push(worker);
    }

    /// And has ended.
    pub(super) fn remove(&self, worker: u32) {
        self.state().workers.retain(|&pid| pid != worker);
    }

    /// Reads the machine's counters where the last reading is too old; `family` is what was just read of a worker's.
    pub(super) fn refresh(&self, need: Need, family: Option<(u32, &[Reading])>) {
        let mut state = self.state();
        let start = Instant::now();
        let last = state.history.latest();
        if last.is_some_and(|last| start.duration_since(last.at) < need.least_age(state.cost)) {
            return;
        }
        let counters = self.machine.read();
        let at = Instant::now();
        let ours = ours(&state.workers, family);
        state.history.push(Snapshot { at, counters, ours });
        state.cost = start.elapsed();
    }

    /// The latest reading of the machine's counters.
    pub(super) fn latest(&self) -> Option<Snapshot> {
        self.state().history.latest()
    }

    /// What happened on the machine up to then.
    pub(super) fn load_since(&self, begin: Option<&Snapshot>) -> Load {
        self.state().history.load_since(begin)
    }

    /// Joules of all packages since the first worker; takes some microseconds.
    pub(super) fn package_joules(&self) -> Option<f64> {
        self.state().packages.as_mut()?.joules()
    }

    /// The GPUs on which one of the processes has memory.
    pub(super) fn gpus_of(&self, family: &[Reading]) -> Vec<GpuReading> {
        let Some(Some(gpus)) = self.gpus.get() else { return Vec::new() };
        let pids: Vec<u32> = family.iter().map(|process| process.pid).collect();
        gpus.used_by(&pids)
    }

    /// The energy counters of the GPUs `indices`, as far as they have one.
    pub(super) fn gpu_joules(&self, indices: &[u32]) -> Vec<(u32, f64)> {
        let Some(Some(gpus)) = self.gpus.get() else { return Vec::new() };
        indices.iter().filter_map(|&index| Some((index, gpus.joules(index)?))).collect()
    }
}

/// Processor time of this process, of the workers with what they started, and of all of them that have ended.
fn ours(workers: &[u32], family: Option<(u32, &[Reading])>) -> Option<Duration> {
    let sum = |readings: &[Reading]| -> Duration {
        let of = |process: &Reading| process.cpu.unwrap_or_default() + process.reaped_cpu.unwrap_or_default();
        readings.iter().map(of).sum()
    };
    let of_worker = |&pid: &u32| match family {
        Some((known, readings)) if known == pid => sum(readings),
        _ => sum(&platform::family(pid)),
    };
    Some(platform::own_and_reaped_cpu()? + workers.iter().map(of_worker).sum::<Duration>())
}
