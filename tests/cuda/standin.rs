//! ONNX Runtime's real CUDA provider over a stand-in for CUDA: which nodes it takes of every artifact, and what a decode
//! step asks of the device. Kernels do nothing, so nobody looks at numbers here.

use super::of_gpu;
use crate::support::Host;
use inferhost::record::DegradedKind;
use object::{Object, ObjectSymbol};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the provider is linked with.
const NAMES: [&str; 5] =
    ["libcudart.so.13", "libcublas.so.13", "libcublasLt.so.13", "libcurand.so.10", "libcuda.so.1"];

/// GPT-2 with heads of 8, so that the ort dialect has `GroupQueryAttention`.
const MODEL: &str = "synthetic:gpt2?layers=2&embd=16&heads=2&vocab=16&ctx=32&seed=1";

/// A host that finds ONNX Runtime for GPUs and the stand-in.
struct StandIn {
    host: Host,
    runtime: PathBuf,
    cuda: PathBuf,
}

impl StandIn {
    /// None without the package for GPUs, which is said.
    fn new() -> Option<Self> {
        let runtime = of_gpu()?;
        let host = Host::new();
        let cuda = host.path("cuda");
        std::fs::create_dir(&cuda).unwrap();
        let rest = cuda.join("rest.c");
        let written = std::fs::read_to_string(source()).unwrap();
        let needed = needed(&runtime.join("libonnxruntime_providers_cuda.so"));
        let missing = needed.iter().filter(|name| {
            !written.contains(&format!(" {name}(")) && !written.contains(&format!("*{name}("))
        });
        let functions: String = missing.map(|name| format!("int {name}(void) {{ return 0; }}\n")).collect();
        std::fs::write(&rest, functions).unwrap();
        let library = cuda.join(NAMES[0]);
        let compiler = std::env::var_os("CC").unwrap_or("cc".into());
        let flags = ["-shared", "-fPIC", "-w", "-o"];
        let built =
            Command::new(compiler).args(flags).arg(&library).arg(source()).arg(&rest).status().unwrap();
        assert!(built.success());
        for name in &NAMES[1..] {
            std::os::unix::fs::symlink(&library, cuda.join(name)).unwrap();
        }
        Some(Self { host, runtime, cuda })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.host.command(args);
        command.env("LD_LIBRARY_PATH", &self.cuda).env("INFERHOST_CUDA_TRACE", "1");
        // cuDNN is not stood in for; without it the provider takes other kernels.
        command.env("ORT_ENABLE_CUDNN_FLASH_ATTENTION", "0");
        command
    }

    fn backend(&self, artifact: &str, more: &str) -> String {
        let name = name_of(artifact);
        let library = self.runtime.display();
        format!(
            "[[backends]]\nname = \"{name}\"\nplugin = \"ort\"\nartifact = \"{artifact}\"\noptions = {{ device = \"cuda:1\", library = \
             '{library}'{more} }}\n"
        )
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cuda/standin.c")
}

/// The functions of CUDA's that a library needs.
fn needed(library: &Path) -> Vec<String> {
    let bytes = std::fs::read(library).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let undefined = file.dynamic_symbols().filter(ObjectSymbol::is_undefined);
    let names = undefined.filter_map(|symbol| Some(symbol.name().ok()?.to_string()));
    let is_cuda = |name: &String| {
        let rest = name.strip_prefix("__").unwrap_or(name).strip_prefix("cu");
        rest.is_some_and(|rest| {
            rest.starts_with(|c: char| c.is_ascii_uppercase())
                || rest.starts_with("da")
                || rest.starts_with("blas")
        })
    };
    names.filter(is_cuda).collect()
}

/// Artifacts with the operators that fall back, and what to open instead.
const FALLEN: [(&str, &str, &str); 7] = [
    ("onnx-fp32", "GroupQueryAttention x 2", "onnx-fp32?dialect=portable"),
    ("onnx-bf16", "GroupQueryAttention x 2", "onnx-bf16?dialect=portable"),
    ("onnx-int8-weight", "GroupQueryAttention x 2", "onnx-int8-weight?dialect=portable"),
    ("onnx-int4-weight", "GroupQueryAttention x 2", "onnx-int4-weight?dialect=portable"),
    ("onnx-int8-qdq", "GroupQueryAttention x 2", "onnx-int8-qdq?dialect=portable"),
    ("onnx-int8-dynamic", "DynamicQuantizeMatMul x 9", "onnx-int8-weight?dialect=portable"),
    ("onnx-int8-dynamic?dialect=portable", "MatMulInteger x 9", "onnx-int8-weight?dialect=portable"),
];

/// Artifacts of which the GPU computes everything.
const WHOLE: [&str; 7] = [
    "onnx-fp16",
    "onnx-fp32?dialect=portable",
    "onnx-fp16?dialect=portable",
    "onnx-bf16?dialect=portable",
    "onnx-int8-weight?dialect=portable",
    "onnx-int4-weight?dialect=portable",
    "onnx-int8-qdq?dialect=portable",
];

fn name_of(artifact: &str) -> String {
    artifact.replace(['?', '=', '&'], ".")
}

/// Opens all artifacts, and one that falls back where that is allowed; gives the details of those that were opened.
fn opened(stand_in: &StandIn) -> impl Fn(&str) -> Value {
    let fallen = FALLEN.iter().map(|(artifact, ..)| *artifact);
    let backends = fallen.chain(WHOLE).map(|artifact| stand_in.backend(artifact, ""));
    let allowed = stand_in.backend("onnx-fp32", ", cpu_fallback = true");
    let allowed = allowed.replacen("name = \"onnx-fp32\"", "name = \"allowed\"", 1);
    let backends: String = backends.chain([allowed]).collect();
    let config = format!(
        "name = \"placed\"\n[run]\nmodes = [\"prefill\"]\nrepetitions = 1\nwarmups = 0\n[[models]]\nname = \"m\"\nsource = \"{MODEL}\"\n\
         {backends}[[scenarios]]\nname = \"s\"\nbatch = 1\nprompt_tokens = 1\nnew_tokens = 1\n"
    );
    stand_in.host.write("config.toml", &config);
    let ran = stand_in.command(&["run", "config.toml", "--out", "out"]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let manifest = std::fs::read_to_string(stand_in.host.path("out/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    move |backend| {
        let found = manifest["backends"].as_array().unwrap().iter().find(|one| one["name"] == backend);
        found.unwrap()["session"]["m"]["details"].clone()
    }
}

#[test]
fn every_artifact_runs_on_the_gpu_as_a_whole_or_is_refused() {
    let Some(stand_in) = StandIn::new() else { return };
    let details = opened(&stand_in);
    let records = stand_in.host.records();
    for (artifact, operators, instead) in FALLEN {
        let record = records.iter().find(|record| record.backend == name_of(artifact)).unwrap();
        let degraded = record.degraded.as_ref().unwrap();
        assert_eq!(degraded.kind, DegradedKind::Unsupported, "{artifact}: {}", degraded.message);
        for part in [operators, instead, "cpu_fallback = true"] {
            assert!(degraded.message.contains(part), "{artifact}: no {part:?} in {}", degraded.message);
        }
    }
    for artifact in WHOLE {
        let details = details(&name_of(artifact));
        let providers = details["providers"].as_str().unwrap_or_default();
        assert!(providers.starts_with("CUDAExecutionProvider ("), "{artifact}: {details}");
        assert!(details["cpu_operators"].is_null(), "{artifact}: {details}");
    }
    assert_eq!(details("allowed")["cpu_operators"], "GroupQueryAttention x 2");
}

/// What generating 8 tokens with the genai fixture asks of the device.
fn calls(stand_in: &StandIn, cuda_graph: bool) -> Vec<String> {
    stand_in.host.write("tokens.json", "[[1, 2, 3]]");
    let graph = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/ort/genai").display().to_string();
    let library = format!("library={}", stand_in.runtime.display());
    let graph_option = format!("cuda_graph={cuda_graph}");
    let args =
        ["generate", "--plugin", "ort", "--model", &graph, "--tokens", "tokens.json", "--isolation", "none"];
    let options = ["device=cuda", &library, &graph_option].map(|option| ["--option", option]).concat();
    let all = [&args[..], &options, &["--max-new-tokens", "8"]].concat();
    let output = stand_in.command(&all).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said.lines().filter_map(|line| line.strip_prefix("cuda: ")).map(String::from).collect()
}

#[test]
fn a_step_takes_no_memory_and_brings_back_nothing_but_its_logits() {
    let Some(stand_in) = StandIn::new() else { return };
    let calls = calls(&stand_in, false);
    let steps: Vec<&[String]> = calls.split(|call| call == "copy to the host").collect();
    assert_eq!(steps.len(), 9, "one copy to the host for each of 8 tokens: {calls:?}");
    // The first step's memory is the arena's for all later ones.
    for step in &steps[2..8] {
        let count = |what: &str| step.iter().filter(|call| call.starts_with(what)).count();
        assert_eq!((count("malloc"), count("fill"), count("wait for the device")), (0, 0, 0), "{step:?}");
        assert_eq!(count("copy of a stream"), 3, "tokens, mask, positions: {step:?}");
        assert!(step.iter().take_while(|call| *call == "wait").count() == count("wait"), "{step:?}");
    }
}

#[test]
fn a_captured_step_is_one_launch_without_memory_taken_or_waits_between() {
    let Some(stand_in) = StandIn::new() else { return };
    let calls = calls(&stand_in, true);
    let count = |what: &str| calls.iter().filter(|call| *call == what).count();
    assert_eq!((count("begin"), count("end"), count("launch")), (1, 1, 7), "{calls:?}");
    let captured: Vec<_> = calls.iter().filter(|call| call.ends_with(" (captured)")).collect();
    assert!(!captured.is_empty() && captured.iter().all(|call| *call == "kernel (captured)"), "{captured:?}");
    let first = calls.iter().position(|call| call == "launch").unwrap();
    // The captured step's own logits come back first.
    let later = calls[first + 1..].iter().skip_while(|call| *call != "copy").skip(1);
    let steps: Vec<&str> = later.map(String::as_str).take(24).collect();
    // Inputs in, the graph, its end, logits out: all that each later step asks for.
    assert_eq!(steps, ["copy", "launch", "wait", "copy"].repeat(6), "{calls:?}");
}
