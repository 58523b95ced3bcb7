//! The one line that mends what is wrong with a plugin.

use crate::plugins::{OWN, PluginFile};

/// For a plugin that is not there.
pub(super) fn build(name: &str) -> String {
    format!("cargo build --release -p inferhost-plugin-{name}")
}

/// For a file that is no plugin of this host, or ends its worker.
pub(super) fn rebuild(file: &PluginFile, reason: &str) -> String {
    if OWN.contains(&file.name.as_str()) {
        return build(&file.name);
    }
    if let Some((_, version)) = reason.rsplit_once("inferhost-plugin-api ") {
        return format!("rebuild {} against inferhost-plugin-api {version}", file.name);
    }
    format!("build {} anew, or remove {}", file.name, file.path.display())
}

/// For a plugin that computes something else, or fails to compute.
pub(super) fn wrong_answer(file: &PluginFile, reason: &str) -> String {
    remedy(reason).map_or_else(
        || format!("do not measure with {}: build it anew, or remove {}", file.name, file.path.display()),
        str::to_string,
    )
}

/// For a runtime whose library is not there, or is not right though it was found `by` what is named so.
pub(super) fn runtime(file: &PluginFile, problem: &str, by: Option<&str>) -> String {
    let is_set = |name: &&str| {
        let is_name = name.len() > 3 && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        is_name && std::env::var_os(name).is_some()
    };
    // What a variable names is taken whatever else is there, so fetching another library would not help.
    let named = problem.split(' ').next().into_iter().chain(by.filter(|by| *by != "INFERHOST_RUNTIMES"));
    if let Some(variable) = named.into_iter().find(is_set) {
        return format!("unset {variable}, or set it to where the library is");
    }
    if problem.contains("inferhost-plugin-torch-engine") {
        return "scripts/runtimes.sh torch && cargo build --release -p inferhost-plugin-torch-engine".into();
    }
    match (remedy(problem), file.name.as_str()) {
        (_, own @ ("ort" | "torch")) if problem.contains("scripts/runtimes.sh") => {
            format!("scripts/runtimes.sh {own}")
        }
        (Some(remedy), _) => remedy.into(),
        (None, name) => format!("install the runtime that {name} drives; its documentation says how"),
    }
}

/// What a message in the house's form ends with: `…; run scripts/runtimes.sh ort`.
fn remedy(message: &str) -> Option<&str> {
    const VERBS: [&str; 9] =
        ["run ", "build ", "set ", "install ", "give ", "point ", "rebuild ", "use ", "unset "];
    let last = message.rsplit_once("; ")?.1.trim();
    VERBS.iter().any(|verb| last.starts_with(verb)).then(|| last.strip_prefix("run ").unwrap_or(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> PluginFile {
        PluginFile { name: name.into(), path: format!("/p/{name}.so").into(), shadowed: Vec::new() }
    }

    #[test]
    fn a_missing_runtime_is_mended_by_the_script_or_by_what_the_plugin_says() {
        for (name, problem, fix) in [
            (
                "ort",
                "no ONNX Runtime library found; run scripts/runtimes.sh ort or set library=…",
                "scripts/runtimes.sh ort",
            ),
            (
                "torch",
                "the torch plugin has no engine at /x; build it with scripts/runtimes.sh torch && cargo build --release -p inferhost-plugin-torch-engine",
                "scripts/runtimes.sh torch && cargo build --release -p inferhost-plugin-torch-engine",
            ),
            ("other", "no library; install libother 3", "install libother 3"),
            (
                "other",
                "no library; nothing helps",
                "install the runtime that other drives; its documentation says how",
            ),
            (
                "tensorrt",
                "no CUDA driver: libcuda.so.1 was not found; install NVIDIA's driver",
                "install NVIDIA's driver",
            ),
            (
                "other",
                "NO_SUCH_VARIABLE is /x",
                "install the runtime that other drives; its documentation says how",
            ),
        ] {
            assert_eq!(runtime(&file(name), problem, None), fix, "{problem}");
        }
        // Set wherever tests run.
        let unset = runtime(&file("ort"), "cannot use it; run scripts/runtimes.sh ort", Some("PATH"));
        assert_eq!(unset, "unset PATH, or set it to where the library is");
    }

    #[test]
    fn a_file_that_is_no_plugin_is_built_anew() {
        let version = "x was built for plugin interface 2.0.0, this host speaks 1.0.0; rebuild the plugin against inferhost-plugin-api 1.0.0";
        assert_eq!(rebuild(&file("mine"), version), "rebuild mine against inferhost-plugin-api 1.0.0");
        assert_eq!(rebuild(&file("ort"), version), "cargo build --release -p inferhost-plugin-ort");
        assert_eq!(rebuild(&file("mine"), "garbage"), "build mine anew, or remove /p/mine.so");
    }
}
