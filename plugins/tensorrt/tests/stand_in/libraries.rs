//! The stand-ins as libraries, and processes that find them where the system's own would be.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Tells a process of a test's own where the stand-ins lie.
const VARIABLE: &str = "INFERHOST_STAND_IN";
/// The interfaces of TensorRT's that the stand-in implements, in parts.
const INTERFACES: [&str; 3] = ["VRuntime", "VCudaEngine", "VExecutionContext"];

/// Runs `body` in a process of its own, as the test `name`, with the stand-ins for libraries.
#[track_caller]
pub(crate) fn isolated(name: &str, body: impl FnOnce()) {
    if std::env::var_os(VARIABLE).is_some() {
        return body();
    }
    let Some(folder) = folder() else { return };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture"]).env(VARIABLE, folder).env("LD_LIBRARY_PATH", folder);
    let ended = command.env_remove("INFERHOST_TENSORRT").output().unwrap();
    let said =
        [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).join("\n");
    assert!(ended.status.success(), "{}\n{said}", ended.status);
    assert!(said.contains("1 passed"), "there is no test {name}:\n{said}");
}

/// Where TensorRT's stand-in lies, in a process of a test's own.
pub(crate) fn tensorrt() -> PathBuf {
    Path::new(&std::env::var_os(VARIABLE).unwrap()).join("libnvinfer.so.11")
}

/// The stand-ins, compiled; none, and a line that says why, without a compiler.
fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER.get_or_init(compiled).as_deref()
}

fn compiled() -> Option<PathBuf> {
    let compiler = std::env::var_os("CXX").unwrap_or("c++".into());
    if let Err(problem) = Command::new(&compiler).arg("--version").output() {
        // On the terminal itself: the test harness swallows what a passing test prints.
        let (mut terminal, compiler) = (std::io::stderr(), compiler.to_string_lossy());
        writeln!(terminal, "skipped: no C++ compiler {compiler} for the stand-ins: {problem}").unwrap();
        return None;
    }
    let headers = headers();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = ["cuda.cpp", "kernels.cpp", "nvinfer.cpp", "cuda.h", "decoder.h"]
        .map(|name| here.join("tests/stand_in").join(name));
    let refused = refused(&std::fs::read_to_string(headers.join("NvInferImpl.h")).unwrap());
    let mut digest = Sha256::new();
    sources.iter().for_each(|source| digest.update(std::fs::read(source).unwrap()));
    digest.update(std::fs::read(here.join("src/kernels/kernels.cu")).unwrap());
    digest.update(&refused);
    let mut name = String::from("stand_in-");
    digest.finalize().iter().take(8).for_each(|byte| write!(name, "{byte:02x}").unwrap());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    let making = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::write(making.path().join("refused.h"), refused).unwrap();
    let [cuda, kernels, nvinfer, ..] = &sources;
    let compile = |library: &str, sources: &[&PathBuf]| {
        let mut command = Command::new(&compiler);
        command.args(["-std=c++20", "-O1", "-w", "-shared", "-fPIC", "-o", library]).args(sources);
        command.arg(format!("-Wl,-soname,{library}")).arg("-I.").arg("-I").arg(&headers);
        command.arg("-I").arg(headers.parent().unwrap()).current_dir(making.path());
        command.args((library != "libcuda.so.1").then_some(["-L.", "-l:libcuda.so.1"]).into_iter().flatten());
        assert!(command.status().unwrap().success(), "{library} could not be compiled");
    };
    compile("libcuda.so.1", &[cuda, kernels]);
    compile("libnvinfer.so.11", &[nvinfer]);
    // The name that is looked for first.
    std::os::unix::fs::symlink("libcuda.so.1", making.path().join("libcuda.so")).unwrap();
    // Another process may have been faster.
    let _ = std::fs::rename(making.path(), &folder);
    Some(folder)
}

/// TensorRT's headers, which lie in the crate that binds them.
fn headers() -> PathBuf {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version=1", "--locked", "--filter-platform", &platform]);
    let told = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let bindings = packages.iter().find(|package| package["name"] == "trtx-sys").unwrap();
    let folder = Path::new(bindings["manifest_path"].as_str().unwrap()).with_file_name("TensorRT-Headers");
    let mut versions: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    versions.retain(|path| path.to_string_lossy().contains("TRT-Enterprise-"));
    versions.sort();
    versions.pop().unwrap()
}

/// Classes that refuse every call of [`INTERFACES`] by its name: the stand-in overrides what it has.
fn refused(header: &str) -> String {
    let code: Vec<&str> = header.lines().map(|line| line.split("//").next().unwrap()).collect();
    let code = code.join(" ");
    let mut text = String::from("namespace nvinfer1 {\n");
    for interface in INTERFACES {
        let (_, class) = code.split_once(&format!("class {interface} : public VRoot")).unwrap();
        let (body, _) = class.split_once("};").unwrap();
        writeln!(text, "class Refused_{interface} : public apiv::{interface} {{\n  public:").unwrap();
        for declaration in body.split(';') {
            let Some((_, signature)) = declaration.split_once("virtual ") else { continue };
            let (signature, _) = signature.rsplit_once('=').unwrap();
            let name = signature.split_once('(').unwrap().0.split_whitespace().last().unwrap();
            let refusal = format!("refuse(\"{interface}::{name} was not expected\");");
            writeln!(text, "{signature} override {{ {refusal} }}").unwrap();
        }
        writeln!(text, "}};").unwrap();
    }
    text + "}\n"
}

/// What the stand-ins have counted, in the order of their `Counters`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Counters {
    pub(crate) device_allocations: u64,
    pub(crate) pinned_allocations: u64,
    pub(crate) device_bytes: u64,
    pub(crate) synchronisations: u64,
    pub(crate) uploads: u64,
    pub(crate) uploaded_bytes: u64,
    pub(crate) downloads: u64,
    pub(crate) downloaded_bytes: u64,
    pub(crate) launches: u64,
    pub(crate) graph_launches: u64,
    pub(crate) captures: u64,
}

/// As of now.
pub(crate) fn counters() -> Counters {
    let read = control::<unsafe extern "C" fn() -> *const Counters>("libcuda.so", "stand_in_counters");
    // SAFETY: the stand-in gives a struct of that layout, which nobody writes meanwhile.
    unsafe { *read() }
}

/// Execution contexts that live.
pub(crate) fn contexts() -> u64 {
    let read = control::<unsafe extern "C" fn() -> u64>("libnvinfer.so.11", "stand_in_contexts");
    // SAFETY: the stand-in's function has this type.
    unsafe { read() }
}

/// Lets the device have no more than so many bytes.
pub(crate) fn limit_memory(bytes: usize) {
    let limit = control::<unsafe extern "C" fn(usize)>("libcuda.so", "stand_in_limit_memory");
    // SAFETY: the stand-in's function has this type.
    unsafe { limit(bytes) };
}

/// Makes captures fail.
pub(crate) fn fail_captures() {
    let fail = control::<unsafe extern "C" fn(i32)>("libcuda.so", "stand_in_fail_captures");
    // SAFETY: the stand-in's function has this type.
    unsafe { fail(1) };
}

/// Makes the next runs fail.
pub(crate) fn fail_enqueues(count: i32) {
    let fail = control::<unsafe extern "C" fn(i32)>("libnvinfer.so.11", "stand_in_fail_enqueues");
    // SAFETY: the stand-in's function has this type.
    unsafe { fail(count) };
}

fn control<F: Copy>(library: &str, name: &str) -> F {
    let path = tensorrt().with_file_name(library);
    // SAFETY: the library is in this process already, and stays.
    let library = unsafe { libloading::Library::new(path) }.unwrap();
    // SAFETY: the callers name functions of that type.
    let function = *unsafe { library.get::<F>(name.as_bytes()) }.unwrap();
    std::mem::forget(library);
    function
}
