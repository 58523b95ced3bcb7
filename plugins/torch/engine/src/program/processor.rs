//! Whether this machine has the instructions that a package was compiled for: running one that it lacks ends the process.

use inferhost_plugin_api::Error;
use std::collections::BTreeMap;
use std::path::Path;

/// Names that the compiler has for sets of instructions, with the processor flags that Linux has for them.
const FLAGS: [(&str, &[&str]); 8] = [
    ("AVX2", &["avx2", "fma"]),
    ("AVX512", &["avx512f", "avx512dq", "avx512vl", "avx512bw"]),
    ("AVX512_VNNI", &["avx512_vnni"]),
    ("AVX512_BF16", &["avx512_bf16"]),
    ("AMX_TILE", &["amx_tile"]),
    ("AMX_FP16", &["amx_fp16"]),
    ("NEON", &["asimd"]),
    ("SVE256", &["sve"]),
];

/// Refuses a package for another kind of machine than this one.
///
/// # Errors
/// `Unsupported` with what it was compiled for and what is here.
pub(super) fn check(path: &Path, metadata: &BTreeMap<String, String>) -> Result<(), Error> {
    let said = |key: &str| metadata.get(key).map(String::as_str).unwrap_or_default();
    let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    let (for_system, for_machine) = (said("AOTI_PLATFORM"), said("AOTI_MACHINE"));
    let other = |found: &str, own: &str| !found.is_empty() && !found.eq_ignore_ascii_case(own);
    if other(for_system, system)
        || other(&for_machine.to_lowercase().replace("amd64", "x86_64").replace("arm64", "aarch64"), machine)
    {
        return Err(Error::unsupported(format!(
            "{} was compiled for {for_system} on {for_machine}, and this is {system} on {machine}; export it again on a machine like this one",
            path.display()
        )));
    }
    let flags = std::fs::read_to_string("/proc/cpuinfo").ok();
    let missing = flags.map(|text| missing(said("AOTI_CPU_ISA"), &text)).unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "{} was compiled for the instructions {}, of which this processor lacks {}; export it again on this machine",
        path.display(),
        said("AOTI_CPU_ISA"),
        missing.join(", ")
    )))
}

/// The sets among `compiled_for` that a processor described by `cpuinfo` lacks. A name that is not known here is let pass.
fn missing<'a>(compiled_for: &'a str, cpuinfo: &str) -> Vec<&'a str> {
    let is_flags = |line: &&str| line.starts_with("flags") || line.starts_with("Features");
    let Some(line) = cpuinfo.lines().find(is_flags) else { return Vec::new() };
    let here: Vec<&str> = line.split_whitespace().collect();
    let has = |name: &&str| {
        let known = FLAGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.is_none_or(|(_, flags)| flags.iter().all(|flag| here.contains(flag)))
    };
    compiled_for.split_whitespace().filter(|name| !has(name)).collect()
}
