//! Wheels that are not what they should be: `scripts/runtimes.sh` with a pip that gives it such. Nothing is downloaded.

use crate::support::skipped;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// In place of `python3`: gives the prepared wheel where pip is asked for one, and is Python otherwise.
const PYTHON: &str = r#"#!/usr/bin/env bash
if [ "$1 $2" = "-m pip" ]; then
    [ "$3" = download ] || exit 0
    while [ $# -gt 0 ] && [ "$1" != --dest ]; do shift; done
    cp "$TEST_WHEEL" "$2/given.whl" && exit "${TEST_PIP_EXIT:-0}"
fi
exec "$TEST_PYTHON" "$@"
"#;

/// Makes a ZIP file of the names given, each with some content.
const ZIP: &str = "import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as wheel:
    for name in sys.argv[2:]: wheel.writestr(name, 'content ' * 1000)";

struct Fetch {
    folder: TempDir,
    python: PathBuf,
}

impl Fetch {
    /// None without Python, which is said.
    fn new() -> Option<Self> {
        let found = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        let Some(found) = found.ok().filter(|found| found.status.success()) else {
            skipped("scripts/runtimes.sh with damaged wheels: no python3");
            return None;
        };
        let python = String::from_utf8(found.stdout).unwrap().trim().into();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        let shim = folder.path().join("bin/python3");
        fs::write(&shim, PYTHON).unwrap();
        fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).unwrap();
        Some(Self { folder, python })
    }

    fn wheel(&self, names: &[&str]) -> PathBuf {
        let path = self.folder.path().join("made.whl");
        let made = Command::new(&self.python).args(["-c", ZIP]).arg(&path).args(names).status().unwrap();
        assert!(made.success());
        path
    }

    fn run(&self, wheel: &Path, args: &[&str], pip_exit: &str) -> Output {
        let search =
            format!("{}:{}", self.folder.path().join("bin").display(), std::env::var("PATH").unwrap());
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/runtimes.sh"))
            .args(args)
            .env("PATH", search)
            .env("INFERHOST_RUNTIMES", self.folder.path().join("runtimes/here"))
            .env("TEST_WHEEL", wheel)
            .env("TEST_PYTHON", &self.python)
            .env("TEST_PIP_EXIT", pip_exit)
            .output()
            .unwrap()
    }

    /// It ends with one line that holds `part`, and leaves nothing.
    #[track_caller]
    fn refuses(&self, wheel: &Path, args: &[&str], pip_exit: &str, part: &str) {
        let output = self.run(wheel, args, pip_exit);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("runtimes.sh: ") && last.contains(part), "{said}");
        assert!(!said.contains("Traceback"), "{said}");
        assert_eq!(self.files(), Vec::<PathBuf>::new(), "left behind");
    }

    /// All files that are there now, but what the test put there itself.
    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push(path.strip_prefix(self.folder.path()).unwrap().into()),
                }
            }
        }
        found.retain(|path: &PathBuf| path != Path::new("bin/python3") && path != Path::new("made.whl"));
        found
    }
}

const LIBRARY: &str = "onnxruntime/capi/libonnxruntime.so.9.9.9";

#[test]
fn a_wheel_of_another_hash_is_refused_and_leaves_nothing() {
    let Some(fetch) = Fetch::new() else { return };
    let wheel = fetch.wheel(&[LIBRARY]);
    fetch.refuses(&wheel, &["ort"], "0", "has SHA-256 ");
    fetch.refuses(&wheel, &["torch"], "0", "; nothing was installed");
    fetch.refuses(&wheel, &["ort", "9.9.9"], "0", "has no pinned hash");
}

#[test]
fn a_torn_download_or_wheel_leaves_nothing() {
    let Some(fetch) = Fetch::new() else { return };
    let wheel = fetch.wheel(&[LIBRARY, "onnxruntime/LICENSE"]);
    let bytes = fs::read(&wheel).unwrap();
    let unpinned = ["ort", "9.9.9", "--unpinned"];
    fetch.refuses(&wheel, &unpinned, "1", "pip could not download");
    for length in [0, 1, bytes.len() / 2, bytes.len() - 30] {
        fs::write(&wheel, &bytes[..length]).unwrap();
        fetch.refuses(&wheel, &unpinned, "0", "is no whole wheel");
    }
    let mut damaged = bytes;
    damaged[60..70].fill(0xa5);
    fs::write(&wheel, damaged).unwrap();
    fetch.refuses(&wheel, &unpinned, "0", "is no whole wheel");
}

#[test]
fn no_entry_of_a_wheel_leads_out_of_its_folder() {
    let Some(fetch) = Fetch::new() else { return };
    for name in [
        "torch/include/../../../../../escaped",
        "../../LICENSE",
        "/tmp/inferhost-escaped/LICENSE",
        "a/../../LICENSE",
    ] {
        let wheel = fetch.wheel(&["torch/lib/libtorch.so", name]);
        fetch.refuses(&wheel, &["torch", "9.9.9", "--unpinned"], "0", "leads out of its folder");
    }
    assert!(!Path::new("/tmp/inferhost-escaped").exists());
    let wheel = fetch.wheel(&["onnxruntime/capi/readme.txt"]);
    fetch.refuses(&wheel, &["ort", "9.9.9", "--unpinned"], "0", "holds no library");
}

#[test]
fn a_wheel_that_is_not_pinned_is_said_not_to_have_been_checked() {
    let Some(fetch) = Fetch::new() else { return };
    let output = fetch.run(&fetch.wheel(&[LIBRARY]), &["ort", "9.9.9", "--unpinned"], "0");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("SHA-256 was not checked"), "{said}");
    let expected = PathBuf::from("runtimes/here/onnxruntime/9.9.9/libonnxruntime.so.9.9.9");
    assert_eq!(fetch.files(), [expected]);
}

#[test]
fn every_runtime_goes_where_its_plugin_looks_and_holds_no_more_than_it_needs() {
    let Some(fetch) = Fetch::new() else { return };
    let cases: [(&str, &[&str], &[&str]); 2] = [
        (
            "tensorrt-lean",
            &[
                "tensorrt_lean_libs/libnvinfer_lean.so.11",
                "tensorrt_lean_libs/__init__.py",
                "elsewhere/libnvinfer.so.11",
            ],
            &["tensorrt-lean/9.9.9/libnvinfer_lean.so.11"],
        ),
        (
            "ort-gpu",
            &[
                "onnxruntime/capi/libonnxruntime.so.1.31.1",
                "onnxruntime/capi/libonnxruntime_providers_cuda.so",
                "onnxruntime/capi/onnxruntime_pybind11_state.so",
            ],
            &[
                "onnxruntime-gpu/9.9.9/libonnxruntime.so.1.31.1",
                "onnxruntime-gpu/9.9.9/libonnxruntime_providers_cuda.so",
            ],
        ),
    ];
    for (runtime, names, expected) in cases {
        let output = fetch.run(&fetch.wheel(names), &[runtime, "9.9.9", "--unpinned"], "0");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut files = fetch.files();
        files.sort();
        let expected: Vec<_> = expected.iter().map(|file| Path::new("runtimes/here").join(file)).collect();
        assert_eq!(files, expected);
        fs::remove_dir_all(fetch.folder.path().join("runtimes")).unwrap();
        fetch.refuses(&fetch.wheel(names), &[runtime], "0", "has SHA-256 ");
        fetch.refuses(
            &fetch.wheel(&names[2..]),
            &[runtime, "9.9.9", "--unpinned"],
            "0",
            "holds no library of",
        );
    }
    let wheel = fetch.wheel(&[LIBRARY]);
    fetch.refuses(&wheel, &["tensorrt"], "0", "there are: ort, ort-gpu, tensorrt-lean, torch");
}
