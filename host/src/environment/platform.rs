//! Facts that one operating system alone can tell, from the files it keeps them in.

/// What a platform's own files say; the default where there are none.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) cpu_governor: Option<String>,
    pub(super) cpu_max_mhz: Option<u64>,
    pub(super) container: Option<String>,
    pub(super) nvidia_driver: Option<String>,
    /// The NVIDIA GPUs' models, in the order of their bus addresses.
    pub(super) nvidia_gpus: Vec<String>,
}

impl Facts {
    /// Of the running system.
    #[cfg(target_os = "linux")]
    pub(super) fn probe() -> Self {
        linux::facts(std::path::Path::new("/"))
    }

    /// Of the running system.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn probe() -> Self {
        Self::default()
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::Facts;
    use std::path::Path;

    /// Container runtimes by the mark each leaves in the control group of process 1.
    const CGROUP_MARKS: [(&str, &str); 5] = [
        ("kubepods", "kubernetes"),
        ("docker", "docker"),
        ("libpod", "podman"),
        ("containerd", "containerd"),
        ("lxc", "lxc"),
    ];

    pub(super) fn facts(root: &Path) -> Facts {
        let cpufreq = "sys/devices/system/cpu/cpu0/cpufreq";
        Facts {
            cpu_governor: read(root, &format!("{cpufreq}/scaling_governor")),
            cpu_max_mhz: read(root, &format!("{cpufreq}/cpuinfo_max_freq"))
                .and_then(|khz| khz.parse::<u64>().ok())
                .map(|khz| khz / 1000),
            container: container(root),
            nvidia_driver: read(root, "proc/driver/nvidia/version").and_then(|text| driver_version(&text)),
            nvidia_gpus: nvidia_gpus(root),
        }
    }

    fn read(root: &Path, path: &str) -> Option<String> {
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_string())
    }

    fn container(root: &Path) -> Option<String> {
        let cgroup = read(root, "proc/1/cgroup").unwrap_or_default();
        let marked = CGROUP_MARKS.iter().find(|(mark, _)| cgroup.contains(mark)).map(|(_, name)| *name);
        let by_file = [("run/.containerenv", "podman"), (".dockerenv", "docker")]
            .iter()
            .find(|(file, _)| root.join(file).exists())
            .map(|(_, name)| *name);
        marked.or(by_file).map(str::to_string)
    }

    /// The first word that is a version: `NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue …`.
    fn driver_version(text: &str) -> Option<String> {
        let is_version = |word: &&str| {
            word.contains('.') && word.split('.').all(|part| !part.is_empty() && part.parse::<u32>().is_ok())
        };
        text.lines().next()?.split_whitespace().find(is_version).map(str::to_string)
    }

    /// From the line `Model: NVIDIA H100 80GB HBM3` of each one's `information`.
    fn nvidia_gpus(root: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(root.join("proc/driver/nvidia/gpus")).into_iter().flatten().flatten();
        let mut folders: Vec<_> = entries.map(|entry| entry.path()).collect();
        folders.sort();
        let model = |folder: &Path| {
            let text = read(folder, "information")?;
            let model = text.lines().find_map(|line| line.strip_prefix("Model:"))?.trim();
            (!model.is_empty()).then(|| model.to_string())
        };
        folders.iter().filter_map(|folder| model(folder)).collect()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn write(root: &Path, path: &str, text: &str) {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        #[test]
        fn reads_what_is_there() {
            let root = tempfile::tempdir().unwrap();
            let root = root.path();
            write(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
            write(root, "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3600000\n");
            write(root, "proc/1/cgroup", "0::/kubepods/besteffort/pod1\n");
            write(
                root,
                "proc/driver/nvidia/version",
                "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC version: 12.2.0\n",
            );
            for (bus, model) in [("0000:41:00.0", "NVIDIA L4"), ("0000:01:00.0", "NVIDIA H100 80GB HBM3")] {
                let path = format!("proc/driver/nvidia/gpus/{bus}/information");
                write(root, &path, &format!("Model: \t\t {model}\nIRQ:   \t\t 44\n"));
            }
            let found = facts(root);
            assert_eq!(found.cpu_governor.as_deref(), Some("performance"));
            assert_eq!(found.cpu_max_mhz, Some(3600));
            assert_eq!(found.container.as_deref(), Some("kubernetes"));
            assert_eq!(found.nvidia_driver.as_deref(), Some("580.65.06"));
            assert_eq!(found.nvidia_gpus, ["NVIDIA H100 80GB HBM3", "NVIDIA L4"]);
        }

        #[test]
        fn nothing_there_is_nothing_known() {
            let root = tempfile::tempdir().unwrap();
            assert_eq!(facts(root.path()), Facts::default());
            write(root.path(), ".dockerenv", "");
            assert_eq!(facts(root.path()).container.as_deref(), Some("docker"));
        }
    }
}
