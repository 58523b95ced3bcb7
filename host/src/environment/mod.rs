//! The machine a matrix ran on, as far as it can be known: [`Machine::probe`].
//!
//! Nothing is assumed: what the system does not tell is null. Files that one operating system alone has are read in
//! `platform`; the commit of the working folder comes from [`git`].

pub mod git;
mod platform;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::num::NonZero;
use std::thread::available_parallelism;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// A machine's hardware and the state that moves a measurement.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The host's name.
    pub hostname: Option<String>,
    /// The operating system's name.
    pub os: Option<String>,
    /// Its version.
    pub os_version: Option<String>,
    /// The kernel's version.
    pub kernel: Option<String>,
    /// The instruction set this host was built for: `x86_64`.
    pub arch: Option<String>,
    /// The CPU's model.
    pub cpu: Option<String>,
    /// Physical cores.
    pub physical_cores: Option<u64>,
    /// Logical cores of the machine.
    pub logical_cores: Option<u64>,
    /// Logical cores this process may use, after affinity and quotas.
    pub available_cores: Option<u64>,
    /// The current clock of the first core, MHz.
    pub cpu_mhz: Option<u64>,
    /// The clock's upper limit, MHz.
    pub cpu_max_mhz: Option<u64>,
    /// The frequency governor of the first core: `performance`, `powersave`.
    pub cpu_governor: Option<String>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Load averages over 1, 5 and 15 minutes at the start.
    pub load_average: Option<[f64; 3]>,
    /// What this process seems to be contained in: `docker`, `podman`, `kubernetes`, `lxc`.
    pub container: Option<String>,
    /// GPUs; empty where none can be asked.
    pub gpus: Vec<Gpu>,
    /// The NVIDIA kernel driver's version.
    pub nvidia_driver: Option<String>,
}

/// One GPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gpu {
    /// Its model.
    pub name: String,
    /// Bytes of its memory.
    pub memory_bytes: Option<u64>,
}

impl Machine {
    /// What all of `machines` have in common.
    pub fn common<'a>(machines: impl Iterator<Item = &'a Self>) -> Self {
        let fields = |machine: &Self| match serde_json::to_value(machine) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let common = machines.map(fields).reduce(|mut common, other| {
            common.retain(|key, value| other.get(key) == Some(value));
            common
        });
        serde_json::from_value(Value::Object(common.unwrap_or_default())).unwrap_or_default()
    }

    /// Asks the system. Takes some milliseconds.
    pub fn probe() -> Self {
        let facts = platform::Facts::probe();
        let hardware = Hardware::probe();
        Self {
            hostname: System::host_name().ok().and_then(known),
            os: System::name().ok().and_then(known),
            os_version: System::os_version().ok().and_then(known),
            kernel: System::kernel_version().ok().and_then(known),
            arch: known(std::env::consts::ARCH.to_string()),
            cpu: hardware.cpu,
            physical_cores: System::physical_core_count().ok().map(|n| n as u64),
            logical_cores: hardware.logical_cores,
            available_cores: available_parallelism().ok().map(NonZero::get).map(|n| n as u64),
            cpu_mhz: hardware.cpu_mhz,
            cpu_max_mhz: facts.cpu_max_mhz,
            cpu_governor: facts.cpu_governor,
            memory_bytes: hardware.memory_bytes,
            load_average: System::load_average().ok().map(|load| [load.one, load.five, load.fifteen]),
            container: facts.container,
            gpus: facts.nvidia_gpus.into_iter().map(|name| Gpu { name, memory_bytes: None }).collect(),
            nvidia_driver: facts.nvidia_driver,
        }
    }
}

#[derive(Default)]
struct Hardware {
    cpu: Option<String>,
    logical_cores: Option<u64>,
    cpu_mhz: Option<u64>,
    memory_bytes: Option<u64>,
}

impl Hardware {
    fn probe() -> Self {
        let wanted = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_frequency())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let Ok(system) = System::new_with_specifics(wanted) else { return Self::default() };
        let first = system.cpus().first();
        Self {
            cpu: first.and_then(|cpu| known(cpu.brand().to_string())),
            logical_cores: above_zero(system.cpus().len() as u64),
            cpu_mhz: first.and_then(|cpu| above_zero(cpu.frequency())),
            memory_bytes: above_zero(system.total_memory()),
        }
    }
}

fn known(text: String) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_string())
}

fn above_zero(value: u64) -> Option<u64> {
    (value > 0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_knows_at_least_its_cores_and_survives_json() {
        let machine = Machine::probe();
        assert!(machine.available_cores.is_some_and(|n| n > 0));
        let text = serde_json::to_string(&machine).unwrap();
        let back: Machine = serde_json::from_str(&text).unwrap();
        assert_eq!(back.cpu, machine.cpu);
    }
}
